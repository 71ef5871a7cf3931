"""Measures of imbalance by hand."""

from __future__ import annotations

import math

import pytest

from tenfold.evaluation.scores import Imbalance, rank_correlation


def test_measures_by_hand() -> None:
    imbalance = Imbalance.of((300, 100))
    assert imbalance.ratio == 3
    # exp(-(0.75 ln 0.75 + 0.25 ln 0.25))
    assert imbalance.effective_classes == pytest.approx(1.7548, abs=1e-4)
    assert Imbalance.of((5, 5, 5)).effective_classes == pytest.approx(3)


def test_an_empty_class_is_an_imbalance_without_bound() -> None:
    imbalance = Imbalance.of((5, 0))
    assert imbalance.ratio == math.inf
    assert imbalance.has_empty_class
    assert imbalance.is_uneven


def test_rank_correlation() -> None:
    assert rank_correlation((1, 2, 3, 4), (4, 3, 2, 1)) == pytest.approx(-1)
    assert rank_correlation((1, 2, 2, 4), (1, 2, 3, 4)) == pytest.approx(0.9487, abs=1e-4)
    assert rank_correlation((1, 2, 3, 4), (1, 1, 1, 1)) is None
    assert rank_correlation((1, 2, 3), (1, 2, 3)) is None
