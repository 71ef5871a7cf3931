"""Paired comparisons: exact values, coverage, and several pairs at once."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.evaluation.differences import holm_adjusted, mcnemar_p_value, paired_interval


def test_mcnemar_is_the_exact_binomial_test() -> None:
    # R: binom.test(3, 13)$p.value
    assert mcnemar_p_value(3, 10) == pytest.approx(0.09228516, abs=1e-7)
    assert mcnemar_p_value(10, 3) == mcnemar_p_value(3, 10)
    assert mcnemar_p_value(7, 7) == 1
    assert mcnemar_p_value(0, 0) == 1


def test_interval_has_the_width_of_theory() -> None:
    differences = np.repeat([1.0, -1.0, 0.0], [300, 200, 9500])
    interval = paired_interval(differences, np.random.default_rng(0))
    error = differences.std() / 100
    assert interval.low == pytest.approx(0.01 - 1.96 * error, abs=2e-4)
    assert interval.high == pytest.approx(0.01 + 1.96 * error, abs=2e-4)


def test_the_same_answers_differ_by_nothing() -> None:
    interval = paired_interval(np.zeros(10), np.random.default_rng(0))
    assert (interval.low, interval.high) == (0, 0)


@pytest.mark.slow
def test_interval_holds_the_truth_in_95_percent() -> None:
    generator = np.random.default_rng(4)
    hits = 0
    for _ in range(2000):
        counts = generator.multinomial(2000, [0.06, 0.04, 0.9])
        differences = np.repeat([1.0, -1.0, 0.0], counts)
        hits += paired_interval(differences, generator, resamples=1000).holds(0.02)
    assert 0.93 <= hits / 2000 <= 0.97


def test_holm() -> None:
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_adjusted([0.7, 0.9]) == [1.0, 1.0]
    assert holm_adjusted([0.02]) == [0.02]
