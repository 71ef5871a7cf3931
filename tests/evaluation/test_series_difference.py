"""The test of series: how often it claims a difference where none is, and where one is."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.evaluation.series_difference import series_p_value


def _claims(shared_accuracy: float, held_out_accuracy: float, draws: int) -> float:
    """Give the share of p-values below 5%; series of unlike sizes are right or wrong together."""
    rng = np.random.default_rng(1)
    claimed = 0
    for _ in range(draws):
        sizes = np.concatenate([rng.integers(1, 9, 25), rng.integers(1, 4, 60)])
        series = np.repeat(np.arange(85), sizes)
        is_shared = series < 25
        mean = np.where(np.arange(85) < 25, shared_accuracy, held_out_accuracy)
        of_series = rng.beta(2 * mean, 2 * (1 - mean))  # intraclass correlation of a third
        is_right = rng.random(len(series)) < of_series[series]
        value = series_p_value(is_right, is_shared, series, rng, permutations=199)
        assert value is not None
        claimed += value <= 0.05
    return claimed / draws


def test_it_claims_seldom_what_is_not() -> None:
    assert 0.02 <= _claims(0.8, 0.8, 400) <= 0.08


def test_it_finds_what_is() -> None:
    assert _claims(0.95, 0.65, 100) > 0.8


@pytest.mark.parametrize(("shared", "held_out"), [(29, 40), (40, 29)])
def test_few_images_are_no_ground(shared: int, held_out: int) -> None:
    count = shared + held_out
    is_shared = np.arange(count) < shared
    generator = np.random.default_rng(0)
    assert series_p_value(is_shared, is_shared, np.arange(count), generator) is None


def test_one_series_is_no_ground_and_order_does_not_matter() -> None:
    is_shared = np.arange(80) < 40
    one = np.where(is_shared, 0, np.arange(80))
    assert series_p_value(is_shared, is_shared, one, np.random.default_rng(0)) is None
    certain = series_p_value(is_shared, is_shared, np.arange(80), np.random.default_rng(0))
    assert certain == pytest.approx(1 / 2000)
    nothing = series_p_value(np.ones(80, bool), is_shared, np.arange(80), np.random.default_rng(0))
    assert nothing == pytest.approx(1)
