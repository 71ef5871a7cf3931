"""Whether answers in use are told from those on the test images, and how often wrongly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tenfold.core.record import Interval
from tenfold.core.records.guarantees import UnlikeOnTest, UnlikeRecord
from tenfold.evaluation.drift import (
    LEVEL,
    answers_on_test,
    confidence_counts,
    largest_distance,
    likelihood_ratio,
    permutation_p_value,
)


def p_of(expected: list[int], seen: list[int], statistic: object = likelihood_ratio) -> float:
    return permutation_p_value(
        np.array(expected),
        np.array(seen),
        statistic,  # type: ignore[arg-type]
        np.random.default_rng(1),
    )


def test_what_is_kept_of_the_test_split() -> None:
    probabilities = np.array([[0.2, 0.8], [0.6, 0.4], [0.0, 1.0]], np.float32)
    unlike = UnlikeRecord(
        kept_share=0.95, threshold=1.0, held_out_count=40, held_out_quantiles=(0.0, 1.0)
    )
    kept = answers_on_test(probabilities, unlike)
    assert kept.class_counts == (1, 2)
    assert sum(kept.confidence_counts) == 3
    assert kept.confidence_counts[-1] == 1, "of 1, which is no bin of its own"
    assert kept.mean_confidence == pytest.approx(0.8)
    assert (kept.unlike_count, kept.scored_count, kept.unlike_share) == (2, 40, 0.05)
    measured = UnlikeOnTest(count=30, flagged=3, interval=Interval(low=0.03, high=0.26))
    tested = answers_on_test(probabilities, unlike.model_copy(update={"test": measured}))
    assert (tested.unlike_count, tested.scored_count) == (3, 30)
    assert answers_on_test(probabilities).unlike_share is None


def test_p_values_are_those_of_the_exact_test() -> None:
    table = [[40, 5], [12, 9]]
    assert p_of(*table) == pytest.approx(stats.fisher_exact(table).pvalue, rel=0.25)
    chi_square = stats.chi2_contingency([[300, 500, 200], [60, 80, 60]], lambda_="log-likelihood")
    assert p_of([300, 500, 200], [60, 80, 60]) == pytest.approx(chi_square.pvalue, rel=0.25)


def test_the_distance_is_that_of_two_samples() -> None:
    generator = np.random.default_rng(0)
    one, other = (generator.random(size).astype(np.float32) for size in (200, 100))
    counts = confidence_counts(one)[None], confidence_counts(other)[None]
    exact = stats.ks_2samp(np.floor(one * 50), np.floor(other * 50)).statistic
    assert largest_distance(*counts)[0] == pytest.approx(exact)


@pytest.mark.parametrize(
    ("expected", "seen"), [([10, 0], [5, 0]), ([10, 5], [0, 0]), ([0, 0], [3, 1])]
)
def test_where_nothing_can_differ(expected: list[int], seen: list[int]) -> None:
    assert p_of(expected, seen) == 1


def test_confidences_out_of_range_are_counted() -> None:
    assert confidence_counts(np.array([-0.0, 1.0, 1.0000002], np.float32)).sum() == 3


def test_a_planted_drift_is_far_below_the_level() -> None:
    assert p_of([500, 300, 200], [150, 200, 150]) < LEVEL / 3
    high, low = np.zeros(50, int), np.zeros(50, int)
    high[40:], low[30:40] = 100, 30
    assert p_of(high.tolist(), low.tolist(), largest_distance) < LEVEL / 3


@pytest.mark.slow
def test_no_drift_gives_no_more_small_p_values_than_it_says() -> None:
    """Rare classes and a small test split, for which chi-square's approximation is poor."""
    generator = np.random.default_rng(5)
    shares = np.array([0.6, 0.3, 0.05, 0.03, 0.01, 0.005, 0.005])
    for statistic in (likelihood_ratio, largest_distance):
        p_values = np.array(
            [
                permutation_p_value(
                    generator.multinomial(120, shares),
                    generator.multinomial(200, shares),
                    statistic,
                    generator,
                )
                for _ in range(300)
            ]
        )
        for level in (0.2, 0.05, 0.01):
            count = int((p_values <= level).sum())
            assert count <= stats.binom.ppf(0.9999, 300, level), (statistic, level)
