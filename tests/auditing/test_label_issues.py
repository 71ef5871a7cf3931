"""Confident learning: against labels that were changed on purpose, by hand, and by cleanlab."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import SettingsError
from tenfold.evaluation.audit import confident_class, rank_label_issues


def noisy(count: int = 1000) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], set[int]]:
    """Give predictions of a good model, labels, and which of these were changed."""
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 5, count)
    probabilities = rng.dirichlet(np.full(5, 0.3), count)
    probabilities[np.arange(count), truth] += 3
    probabilities /= probabilities.sum(1, keepdims=True)
    changed = rng.choice(count, 30, replace=False)
    labels = truth.copy()
    labels[changed] = (truth[changed] + rng.integers(1, 5, 30)) % 5
    return probabilities.astype(np.float32), labels, set(changed.tolist())


def test_changed_labels_come_first_with_their_true_class() -> None:
    probabilities, labels, changed = noisy()
    ranking = rank_label_issues(probabilities, labels)
    assert set(ranking.order[:30].tolist()) == changed
    assert set(np.flatnonzero(ranking.is_flagged).tolist()) <= changed
    first = ranking.order[:30]
    assert (ranking.suggested[first] == probabilities[first].argmax(1)).all()
    assert (np.diff(ranking.score[ranking.order]) >= 0).all()


def test_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.9, 0.1]])
    labels = np.array([0, 0, 1, 1])
    # Thresholds: (0.9 + 0.7) / 2 = 0.8 and (0.8 + 0.1) / 2 = 0.45.
    assert confident_class(probabilities, labels).tolist() == [0, -1, 1, 0]
    ranking = rank_label_issues(probabilities.astype(np.float32), labels)
    assert ranking.is_flagged.tolist() == [False, False, False, True]
    assert ranking.order.tolist() == [3]
    assert ranking.score[3] == pytest.approx(0.1 / (0.1 + 0.9))


def test_a_class_without_images_attracts_nothing() -> None:
    probabilities = np.tile(np.array([0.3, 0.1, 0.6], np.float32), (4, 1))
    ranking = rank_label_issues(probabilities, np.array([0, 0, 1, 1]))
    assert not (confident_class(probabilities.astype(float), np.array([0, 0, 1, 1])) == 2).any()
    assert len(ranking.order) == 4  # not flagged, but another class is more probable


def test_cleanlab_agrees() -> None:
    filters = pytest.importorskip("cleanlab.filter")
    probabilities, labels, _ = noisy()
    ranking = rank_label_issues(probabilities, labels)
    theirs = filters.find_label_issues(
        labels, probabilities.astype(float), filter_by="confident_learning", n_jobs=1
    )
    np.testing.assert_array_equal(ranking.is_flagged, theirs)
    assert ranking.is_flagged.sum() > 10
    by_default = filters.find_label_issues(labels, probabilities.astype(float), n_jobs=1)
    chosen = rank_label_issues(probabilities, labels, is_cleanlab=True)
    np.testing.assert_array_equal(chosen.is_flagged, by_default)


def test_a_missing_cleanlab_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(SettingsError, match=r"not installed\. Install it with pip install"):
        rank_label_issues(np.eye(2, dtype=np.float32), np.array([0, 1]), is_cleanlab=True)


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(2, 6))
def test_ranks_any_predictions(seed: int, count: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.2), count).astype(np.float32)
    labels = rng.integers(0, classes, count)
    ranking = rank_label_issues(probabilities, labels)
    assert ((ranking.score >= 0) & (ranking.score <= 1)).all()
    assert (ranking.suggested[ranking.order] != labels[ranking.order]).all()
    assert len(set(ranking.order.tolist())) == len(ranking.order)
