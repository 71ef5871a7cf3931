"""What is said of a model that does not tell everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold.core.records.guarantees import GuaranteesRecord, PredictionSets, UnlikeRecord
from tenfold.serving.onnx_model import OnnxDescription
from tenfold.serving.prediction import load_model
from tenfold.serving.promises import missing_in_file, missing_promises

SETS = PredictionSets(
    wanted_coverage=0.95,
    least_probabilities=(0.1, 0.2),
    calibration_counts=(60, 70),
    has_own_threshold=(True, True),
    calibrated_on="validation",
)
UNLIKE = UnlikeRecord(
    kept_share=0.95, threshold=2.0, held_out_count=130, held_out_quantiles=(0.0,) * 101
)


@pytest.mark.parametrize(
    ("guarantees", "said"),
    [
        (None, ("prediction sets", "unlike", "tenfold model --out")),
        (GuaranteesRecord(unlike=UNLIKE, notes=("Too few.",)), ("Too few.",)),
        (GuaranteesRecord(sets=SETS), ("unlike", "19", "validation_fraction")),
    ],
)
def test_what_is_missing_is_said(
    guarantees: GuaranteesRecord | None, said: tuple[str, ...]
) -> None:
    notice = missing_promises(guarantees)
    assert notice is not None
    assert all(part in notice for part in said)


def test_nothing_is_said_where_nothing_is_missing() -> None:
    assert missing_promises(GuaranteesRecord(sets=SETS, unlike=UNLIKE)) is None


def test_a_file_says_what_it_lacks() -> None:
    description = OnnxDescription(
        title="one",
        model="fast",
        classes=("a", "b"),
        image_shape=(8, 8, 3),
        temperature=None,
        prediction_sets=SETS,
        versions={},
    )
    notice = missing_in_file(description)
    assert notice is not None
    assert "unlike" in notice
    assert "sets" not in notice
    assert missing_in_file(description.model_copy(update={"unlike_threshold": 1.0})) is None


def test_a_folder_of_an_earlier_version_says_so(make_model_folder: Callable[..., Path]) -> None:
    notice = load_model(make_model_folder(), device="cpu").notice
    assert notice is not None
    assert "earlier tenfold" in notice
