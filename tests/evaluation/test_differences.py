"""Whether two models differ: each method against its definition and how often it holds."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.core.records.evaluation import ClassificationScores, FoldScores
from tenfold.evaluation.differences import (
    SCORE_NAMES,
    Spread,
    crossed_interval,
    fold_intervals,
    fold_means,
    fold_standard_deviations,
    holm_adjusted,
    mcnemar_p_value,
    nadeau_bengio_intervals,
    paired_interval,
)
from tenfold.evaluation.intervals import wilson_interval
from tenfold.evaluation.scores import classification_scores


def test_mcnemar_is_the_exact_binomial_test() -> None:
    # R: binom.test(3, 13)$p.value
    assert mcnemar_p_value(3, 10) == pytest.approx(0.09228516, abs=1e-7)
    assert mcnemar_p_value(10, 3) == mcnemar_p_value(3, 10)
    assert mcnemar_p_value(7, 7) == 1
    assert mcnemar_p_value(0, 0) == 1


def test_a_paired_interval_has_the_width_of_theory() -> None:
    differences = np.repeat([1.0, -1.0, 0.0], [300, 200, 9500])
    interval = paired_interval(differences, np.random.default_rng(0))
    error = differences.std() / 100
    assert interval.low == pytest.approx(0.01 - 1.96 * error, abs=2e-4)
    assert interval.high == pytest.approx(0.01 + 1.96 * error, abs=2e-4)


def test_the_same_answers_differ_by_nothing() -> None:
    interval = paired_interval(np.zeros(10), np.random.default_rng(0))
    assert (interval.low, interval.high) == (0, 0)


@pytest.mark.slow
def test_a_paired_interval_holds_the_truth_in_95_percent() -> None:
    generator = np.random.default_rng(4)
    hits = 0
    for _ in range(2000):
        counts = generator.multinomial(2000, [0.06, 0.04, 0.9])
        differences = np.repeat([1.0, -1.0, 0.0], counts)
        hits += paired_interval(differences, generator, resamples=1000).holds(0.02)
    assert 0.93 <= hits / 2000 <= 0.97


def test_holm_s_adjustment_by_hand() -> None:
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_adjusted([0.7, 0.9]) == [1.0, 1.0]
    assert holm_adjusted([0.02]) == [0.02]


def test_one_seed_gives_the_interval_of_the_images() -> None:
    differences = np.array([[1, 0, 0, -1, 1, 0, 0, 0, 1, 0]], float)
    interval = crossed_interval(differences)
    error = differences.std(ddof=1) / 10**0.5
    assert interval.low < 0.2 < interval.high
    assert np.isclose((interval.high - interval.low) / 2, 2.262 * error, rtol=1e-3)  # t, 9 degrees


def test_an_interval_of_no_difference_has_no_width() -> None:
    interval = crossed_interval(np.zeros((3, 50)))
    assert (interval.low, interval.high) == (0.0, 0.0)


def test_seeds_that_disagree_widen_the_interval() -> None:
    calm = np.tile([1.0, 0.0, 0.0, 0.0], (4, 100))
    wild = calm.copy()
    wild[0] = 1.0
    wild[1] = -1.0
    widths = [interval.high - interval.low for interval in map(crossed_interval, (calm, wild))]
    assert widths[1] > 5 * widths[0]


def test_a_crossed_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        effects = generator.normal(0.03, 0.02, (5, 1))  # one a seed
        difficulty = generator.normal(0, 0.3, (1, 400))
        noise = generator.normal(0, 0.3, (5, 400))
        held += crossed_interval(effects + difficulty + noise).holds(0.03)
    assert 0.93 <= held / 400 <= 0.99


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


def test_means_of_folds() -> None:
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


def pooled(right: int, wrong: int) -> ClassificationScores:
    labels = np.zeros(right + wrong, np.int64)
    labels[::2] = 1
    probabilities = np.eye(2)[np.where(np.arange(len(labels)) < right, labels, 1 - labels)]
    return classification_scores(labels, probabilities.astype(np.float32), ("a", "b"))


def test_folds_that_agree_are_no_surer_than_their_images() -> None:
    folds = [fold(1, 0.467), fold(2, 0.467)]
    found = fold_intervals(folds, pooled(14, 16), np.random.default_rng(0))
    wilson = wilson_interval(14, 30)
    interval = found["accuracy"]
    width = wilson.high - wilson.low
    assert interval.high - interval.low == pytest.approx(width, abs=1e-6)
    assert interval.holds(0.467)
    assert all(one.high - one.low > 0.2 for one in found.values())


def test_folds_that_differ_are_no_surer_than_their_spread() -> None:
    found = fold_intervals(FOLDS, pooled(65_000, 35_000), np.random.default_rng(0))
    assert found["accuracy"] == nadeau_bengio_intervals(FOLDS)["accuracy"]


def test_the_spread_of_three_runs_by_hand() -> None:
    spread = Spread.of([0.90, 0.92, 0.94])
    assert spread.mean == pytest.approx(0.92)
    assert spread.deviation == pytest.approx(0.02)
    # Student's quantile with 2 degrees of freedom is 4.3027; chi-square's are 0.05064 and 7.3778.
    assert spread.interval.high - spread.mean == pytest.approx(4.3027 * 0.02 / 3**0.5, rel=1e-4)
    assert spread.least_difference == pytest.approx(4.3027 * 2**0.5 * 0.02, rel=1e-4)
    assert spread.deviation_interval.low == pytest.approx(0.02 * (2 / 7.3778) ** 0.5, rel=1e-4)
    assert spread.deviation_interval.high == pytest.approx(0.02 * (2 / 0.05064) ** 0.5, rel=1e-3)


def test_equal_runs_have_no_spread() -> None:
    spread = Spread.of([0.9, 0.9])
    assert (spread.deviation, spread.least_difference) == (0, 0)
    assert spread.interval.holds(0.9)


def test_intervals_cover_the_truth_in_95_of_100() -> None:
    generator = np.random.default_rng(0)
    held = {"mean": 0, "deviation": 0, "difference": 0}
    for _ in range(2000):
        *runs, first, second = (0.9 + 0.01 * generator.standard_normal(6)).tolist()
        spread = Spread.of(runs)
        held["mean"] += spread.interval.holds(0.9)
        held["deviation"] += spread.deviation_interval.holds(0.01)
        held["difference"] += abs(first - second) <= spread.least_difference
    for name, number in held.items():
        assert 0.93 < number / 2000 < 0.97, name
