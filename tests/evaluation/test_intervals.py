"""Intervals: known values, the ends of the scale, and coverage of the truth by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tenfold.core.records.evaluation import ClassificationScores
from tenfold.evaluation.intervals import (
    MACRO_SCORES,
    f1_interval,
    macro_intervals,
    score_intervals,
    wilson_interval,
)
from tenfold.evaluation.scores import classification_scores


def scores_of(confusion: np.ndarray) -> ClassificationScores:
    """Give the scores of predictions that have this confusion matrix."""
    size = len(confusion)
    labels, predicted = np.divmod(np.repeat(np.arange(size**2), confusion.ravel()), size)
    return classification_scores(labels, np.eye(size)[predicted], [str(i) for i in range(size)])


def test_wilson_equals_a_known_value() -> None:
    # R: prop.test(8, 10, correct = FALSE)$conf.int
    interval = wilson_interval(8, 10)
    assert (interval.low, interval.high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


@given(whole=st.integers(1, 10_000), part=st.integers(0, 10_000))
def test_wilson_is_scipy_s(whole: int, part: int) -> None:
    part = min(part, whole)
    expected = binomtest(part, whole).proportion_ci(method="wilson")
    interval = wilson_interval(part, whole)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert interval.holds(part / whole)


def test_of_no_images_nothing_is_known() -> None:
    assert (wilson_interval(0, 0).low, wilson_interval(0, 0).high) == (0.0, 1.0)
    assert (f1_interval(0, 0, 0).low, f1_interval(0, 0, 0).high) == (0.0, 1.0)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_f1_lies_in_its_interval(correct: int, missed: int, wrong: int) -> None:
    interval = f1_interval(correct, correct + missed, correct + wrong)
    if correct + missed + wrong:
        assert interval.holds(2 * correct / (2 * correct + missed + wrong))
        assert interval.high - interval.low > 0.01


def test_no_error_is_no_certainty() -> None:
    intervals = score_intervals(scores_of(np.eye(4, dtype=int) * 25), np.random.default_rng(0))
    for name in (*MACRO_SCORES, "accuracy", "balanced_accuracy"):
        interval = getattr(intervals, name)
        assert 0.9 < interval.low < 0.99
        assert interval.high == 1


def test_a_class_without_test_images_counts_in_macro_scores_only() -> None:
    confusion = np.array([[40, 10, 0], [5, 45, 0], [0, 0, 0]])
    scores = scores_of(confusion)
    intervals = score_intervals(scores, np.random.default_rng(0))
    assert scores.balanced_accuracy == pytest.approx(0.85)
    assert intervals.balanced_accuracy.holds(0.85)
    assert intervals.macro_recall.high < 2 / 3
    assert (intervals.classes[2].recall.low, intervals.classes[2].recall.high) == (0, 1)


def test_macro_intervals_hold_the_score_and_shrink_with_more_images() -> None:
    small = np.array([[30, 5, 1], [4, 28, 2], [1, 6, 25]])
    widths = []
    for factor in (1, 100):
        scores = scores_of(small * factor)
        found = macro_intervals(small * factor, np.random.default_rng(1), resamples=2000)
        for name in MACRO_SCORES:
            assert found[name].holds(getattr(scores, name))
        widths.append(found["macro_f1"].high - found["macro_f1"].low)
    assert widths[1] == pytest.approx(widths[0] / 10, rel=0.1)


def test_macro_recall_has_the_width_of_theory() -> None:
    confusion = np.array([[800, 200], [100, 900]])
    interval = macro_intervals(confusion, np.random.default_rng(3))["macro_recall"]
    error = np.sqrt(0.8 * 0.2 / 1000 + 0.9 * 0.1 / 1000) / 2
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_a_class_never_recognised_widens_the_interval_upwards() -> None:
    confusion = np.array([[900, 100, 0], [100, 900, 0], [5, 5, 0]])
    interval = macro_intervals(confusion, np.random.default_rng(3))["macro_recall"]
    # Wilson: of 10 images none, so up to 28% of all.
    assert interval.high == pytest.approx(0.6 + wilson_interval(0, 10).high / 3, abs=0.005)
    assert interval.low > 0.58


RARE_POPULATION = np.array(
    [
        [0.90, 0.08, 0.01, 0.01],
        [0.10, 0.88, 0.01, 0.01],
        [0.50, 0.46, 0.03, 0.01],
        [0.40, 0.57, 0.01, 0.02],
    ]
)
"""Two classes that are hardly ever recognised, which is what imbalanced training makes of them."""


@pytest.mark.slow
def test_intervals_hold_the_truth_where_small_classes_are_hardly_recognised() -> None:
    cases = np.array([400, 300, 60, 20])
    truth = float(RARE_POPULATION.diagonal().mean())
    generator = np.random.default_rng(21)
    sets, hits = 1000, 0
    for _ in range(sets):
        rows = zip(cases, RARE_POPULATION, strict=True)
        confusion = np.array([generator.multinomial(n, row) for n, row in rows])
        hits += macro_intervals(confusion, generator, resamples=600)["macro_recall"].holds(truth)
    assert 0.94 < hits / sets < 0.985


def test_the_same_generator_gives_the_same_interval() -> None:
    confusion = np.array([[80, 20], [10, 90]])
    first, second = (macro_intervals(confusion, np.random.default_rng(3)) for _ in range(2))
    assert first == second


POPULATION = np.array(
    [
        [0.93, 0.02, 0.01, 0.00, 0.04],
        [0.01, 0.96, 0.00, 0.00, 0.03],
        [0.03, 0.00, 0.88, 0.07, 0.02],
        [0.01, 0.01, 0.10, 0.86, 0.02],
        [0.02, 0.02, 0.01, 0.00, 0.95],
    ]
)
"""Share of the predictions (columns) among all images of each class (rows)."""


@pytest.mark.slow
@pytest.mark.parametrize("cases", [(400,) * 5, (600, 300, 200, 150, 100)], ids=["even", "uneven"])
@pytest.mark.long
def test_95_percent_intervals_hold_the_truth_in_95_percent(cases: tuple[int, ...]) -> None:
    """2,000 simulated test sets with given numbers of images of each class."""
    truth = scores_of_shares(np.array(cases))
    generator = np.random.default_rng(20)
    hits: dict[str, int] = {}
    sets = 2000
    for _ in range(sets):
        confusion = np.array(
            [generator.multinomial(n, row) for n, row in zip(cases, POPULATION, strict=True)]
        )
        intervals = score_intervals(scores_of(confusion), generator, resamples=1000)
        for name, value in truth.items():
            kind, _, place = name.partition(" ")
            holder = intervals.classes[int(place)] if place else intervals
            hits[name] = hits.get(name, 0) + getattr(holder, kind).holds(value)
    coverage = {name: count / sets for name, count in hits.items()}
    # Of fewer images still, Wilson's interval jumps about 95% with the share (Brown, Cai and
    # DasGupta 2001); averages over classes do not.
    assert {name: share for name, share in coverage.items() if not 0.93 <= share <= 0.97} == {}


def scores_of_shares(cases: np.ndarray) -> dict[str, float]:
    """Give the true scores of the population; a class's have the class's place in their name."""
    expected = POPULATION * cases[:, None]
    correct = expected.diagonal()
    recall, precision = POPULATION.diagonal(), correct / expected.sum(axis=0)
    f1 = 2 * correct / (cases + expected.sum(axis=0))
    single = {
        f"{name} {place}": float(values[place])
        for name, values in (("precision", precision), ("recall", recall), ("f1", f1))
        for place in range(len(cases))
    }
    return single | {
        "accuracy": float(correct.sum() / cases.sum()),
        "macro_precision": float(precision.mean()),
        "macro_recall": float(recall.mean()),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1.mean()),
    }
