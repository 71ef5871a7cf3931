"""What the folds show beside the test split, and the leak by its name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tenfold.core.records.evaluation import CrossValidateRecord, EvaluateRecord
from tenfold.report.findings.reliability import accuracy_margin, honest_protocol, leaky_protocol
from tenfold.report.page import agreement


def _evaluate(builder: SimpleNamespace, right: int) -> EvaluateRecord:
    wrong = 500 - right
    record: EvaluateRecord = builder.evaluate_record(
        np.array([[right, wrong], [wrong, right]]), ("cat", "dog")
    )
    return record


def test_the_margin_by_hand(builder: SimpleNamespace) -> None:
    protocol = builder.protocol_record("fresh", (0.66, 0.67, 0.65))
    margin = accuracy_margin(protocol, _evaluate(builder, 330))
    assert margin == pytest.approx(2 * (0.01**2 + 0.66 * 0.34 / 1000) ** 0.5)


@pytest.mark.parametrize(
    ("right", "accuracies", "epochs", "expected"),
    [
        (330, (0.66, 0.67, 0.65), 20, "agrees"),
        (450, (0.66, 0.67, 0.65), 20, "differs"),
        (330, (0.2, 0.95), 20, "agrees"),
        (450, (0.2, 0.95), 20, "few images"),
        (330, (0.66, 0.67, 0.65), 31, "other length"),
        (330, (0.66, 0.67, 0.65), 13, "other length"),
    ],
)
def test_agreement_with_the_test_split(
    builder: SimpleNamespace, right: int, accuracies: Any, epochs: int, expected: str
) -> None:
    protocol = builder.protocol_record("fresh", accuracies)  # of 20 epochs
    train = builder.train_record((0.7,) * epochs, None)
    assert agreement(protocol, _evaluate(builder, right), train) == expected


def test_the_leak_is_told_apart(builder: SimpleNamespace) -> None:
    fresh = builder.protocol_record("fresh", (0.66, 0.67))
    warm = builder.protocol_record("warm-start", (0.72, 0.73))
    both = CrossValidateRecord(folds=2, protocols=(warm, fresh))
    assert (honest_protocol(both), leaky_protocol(both)) == (fresh, warm)
    alone = CrossValidateRecord(folds=2, protocols=(fresh,))
    assert leaky_protocol(alone) is None
