"""Mean and spread of scores over folds."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.core.records.evaluation import FoldScores
from tenfold.evaluation.differences import (
    SCORE_NAMES,
    fold_means,
    fold_standard_deviations,
    nadeau_bengio_intervals,
)


def fold(number: int, accuracy: float) -> FoldScores:
    return FoldScores(
        fold=number,
        train_count=40,
        validation_count=10,
        epochs=3,
        accuracy=accuracy,
        macro_precision=accuracy + 0.1,
        macro_recall=accuracy / 2,
        macro_f1=0.5,
        seconds=1.0,
    )


FOLDS = [fold(1, 0.6), fold(2, 0.7), fold(3, 0.65)]


def test_means() -> None:
    assert fold_means(FOLDS) == pytest.approx(
        {"accuracy": 0.65, "macro_precision": 0.75, "macro_recall": 0.325, "macro_f1": 0.5}
    )


def test_standard_deviations_have_the_divisor_folds_minus_one() -> None:
    assert fold_standard_deviations(FOLDS) == pytest.approx(
        {"accuracy": 0.05, "macro_precision": 0.05, "macro_recall": 0.025, "macro_f1": 0.0}
    )
    values = [one.accuracy for one in FOLDS]
    assert fold_standard_deviations(FOLDS)["accuracy"] == pytest.approx(np.std(values, ddof=1))


def test_all_scores_of_a_fold_are_there() -> None:
    assert tuple(fold_means(FOLDS)) == tuple(fold_standard_deviations(FOLDS)) == SCORE_NAMES


def test_one_fold_has_no_spread() -> None:
    with pytest.raises(AssertionError, match="no spread"):
        fold_standard_deviations(FOLDS[:1])


def test_nadeau_bengio_s_interval() -> None:
    # t(2 degrees) = 4.302653; the naive variance would be s² / 3 alone.
    interval = nadeau_bengio_intervals(FOLDS)["accuracy"]
    half = 4.302653 * 0.05 * np.sqrt(1 / 3 + 10 / 40)
    assert (interval.low, interval.high) == pytest.approx((0.65 - half, 0.65 + half), abs=1e-6)


def test_nadeau_bengio_s_interval_stays_on_the_scale() -> None:
    interval = nadeau_bengio_intervals([fold(1, 0.8), fold(2, 0.85)])["macro_precision"]
    assert interval.high == 1.0
