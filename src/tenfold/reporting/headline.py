"""What the few numbers and the sentence for a reader in a hurry are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tenfold.core.records.evaluation import EvaluateRecord, ProtocolRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.run_folder import Manifest
from tenfold.reporting.interpretation_cross_validation import accuracy_margin

_WIDELY_APART = 0.1
"""Scores that differ by more do not agree, even where few images leave that to chance."""


def total_seconds(manifests: Mapping[str, Manifest]) -> float:
    """Give the wall time of all complete stages."""
    return sum(manifest.seconds for manifest in manifests.values())


def devices(manifests: Mapping[str, Manifest]) -> list[str]:
    """Give the devices that stages ran on, each once."""
    return list(dict.fromkeys(manifest.device for manifest in manifests.values()))


def untested_classes(evaluate: EvaluateRecord) -> int:
    """Count the classes without a test image, which macro scores count as 0."""
    return sum(not one.total_cases for one in evaluate.scores.classes)


def of_hundred(share: float) -> str:
    """Write how many of 100 that is; never 100 or 0 where it is not all or none."""
    rounded = round(100 * share)
    if (rounded == 100 and share < 1) or (rounded == 0 and share > 0):
        return f"{100 * share:.1f}"
    return str(rounded)


def agreement(
    protocol: ProtocolRecord, evaluate: EvaluateRecord, train: TrainRecord | None
) -> Literal["other length", "agrees", "few images", "differs"]:
    """Say how the accuracy of honest folds and that on the test split go together.

    "few images": far apart, but chance explains that. "other length": the folds were trained for
    longer or shorter than a least number of steps explains. (Folds have fewer images than the
    whole, so they need more epochs for as many steps, and a time budget makes a few more or fewer.)
    """
    if train is not None:
        epochs = protocol.epochs, train.epochs
        if max(epochs) > 1.5 * min(epochs):
            return "other length"
    apart = abs(evaluate.scores.accuracy - protocol.means["accuracy"])
    if apart > accuracy_margin(protocol, evaluate):
        return "differs"
    return "few images" if apart > _WIDELY_APART else "agrees"
