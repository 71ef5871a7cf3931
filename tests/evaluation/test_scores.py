from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from tenfold.core.errors import DataError, TrainingError
from tenfold.core.records.evaluation import ClassificationScores
from tenfold.evaluation.scores import (
    Imbalance,
    choose_gallery,
    classification_scores,
    rank_correlation,
)

NAMES = ("ant", "bee", "cat", "dog")


def random_predictions(
    count: int, seed: int, class_count: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Give labels and probabilities; not every class need occur in either."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (count, class_count))
    exponentials = np.exp(logits)
    return (
        rng.integers(0, class_count, count),
        exponentials / exponentials.sum(axis=1, keepdims=True),
    )


@given(count=st.integers(1, 60), seed=st.integers(0, 10_000))
def test_all_scores_equal_scikit_learn_s(count: int, seed: int) -> None:
    labels, probabilities = random_predictions(count, seed)
    scores = classification_scores(labels, probabilities, NAMES)

    predicted = probabilities.argmax(axis=1)
    everyone = np.arange(4)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=everyone, zero_division=0
    )
    confusion = metrics.confusion_matrix(labels, predicted, labels=everyone)
    assert scores.count == count
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert scores.macro_precision == pytest.approx(precision.mean())
    assert scores.macro_recall == pytest.approx(recall.mean())
    assert scores.macro_f1 == pytest.approx(f1.mean())
    assert scores.log_loss == pytest.approx(
        metrics.log_loss(labels, probabilities, labels=everyone)
    )
    assert scores.confusion == tuple(map(tuple, confusion.tolist()))
    for index, one in enumerate(scores.classes):
        assert one.name == NAMES[index]
        assert one.total_cases == support[index]
        assert one.total_predictions == (predicted == index).sum()
        assert one.correct == confusion[index, index]
        assert one.precision == pytest.approx(precision[index])
        assert one.recall == pytest.approx(recall[index])
        assert one.f1 == pytest.approx(f1[index])


def test_a_class_without_images_still_counts_in_the_means() -> None:
    labels = np.array([0, 0, 1])
    probabilities = np.eye(3)[[0, 0, 1]]
    scores = classification_scores(labels, probabilities, ("a", "b", "c"))
    assert scores.accuracy == 1
    assert scores.macro_recall == scores.macro_precision == scores.macro_f1 == pytest.approx(2 / 3)
    assert scores.classes[2].f1 == 0
    assert scores.confusion[2] == (0, 0, 0)


def test_a_confident_mistake_has_a_finite_loss() -> None:
    for dtype, epsilon in ((np.float32, 2**-23), (np.float64, 2**-52)):
        scores = classification_scores(np.array([1]), np.array([[1, 0]], dtype), ("a", "b"))
        assert scores.log_loss == pytest.approx(-np.log(epsilon))


def test_the_loss_of_float32_probabilities_is_summed_in_float64() -> None:
    labels, probabilities = random_predictions(5_000, 0)
    probabilities = 0.9 * probabilities + 0.025  # away from the bounds, which differ by type
    low = classification_scores(labels, probabilities.astype(np.float32), NAMES).log_loss
    high = classification_scores(labels, probabilities, NAMES).log_loss
    assert low == pytest.approx(high, rel=1e-7)


def test_the_first_class_wins_a_tie() -> None:
    scores = classification_scores(np.array([0, 1]), np.full((2, 2), 0.5), ("a", "b"))
    assert scores.confusion == ((1, 0), (1, 0))


def test_the_record_survives_json() -> None:
    labels, probabilities = random_predictions(30, 1)
    scores = classification_scores(labels, probabilities.astype(np.float32), NAMES)
    assert type(scores.confusion[0][0]) is int
    assert ClassificationScores.model_validate_json(scores.model_dump_json()) == scores


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_probability_that_is_no_number_means_a_diverged_model(bad: float) -> None:
    labels, probabilities = random_predictions(10, 0)
    probabilities[[3, 7], 1] = bad
    with pytest.raises(
        TrainingError, match=r"for 2 of 10 images \(the first: image 3\).*smaller learning rate"
    ):
        classification_scores(labels, probabilities, NAMES)


def test_logits_are_refused() -> None:
    labels = np.array([0, 1])
    with pytest.raises(DataError, match=r"add up to 1 .* 1 of 2 images \(the first: image 1\)"):
        classification_scores(labels, np.array([[0.5, 0.5], [3.0, 1.0]]), ("a", "b"))
    with pytest.raises(DataError, match="Logits have to go through a softmax first"):
        classification_scores(labels, np.array([[-1.0, 2.0], [0.5, 0.5]]), ("a", "b"))


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="no images to score"):
        classification_scores(np.empty(0, np.int64), np.empty((0, 2)), ("a", "b"))


@pytest.mark.parametrize(("label", "said"), [(2, "got 0 to 2"), (-1, "got -1 to 0")])
def test_a_label_out_of_range_is_refused(label: int, said: str) -> None:
    with pytest.raises(DataError, match=f"between 0 and 1, {said}"):
        classification_scores(np.array([0, label]), np.full((2, 2), 0.5), ("a", "b"))


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (2,)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"probabilities of the shape \(2, 2\), got \("):
        classification_scores(np.array([0, 1]), np.full(shape, 0.5), ("a", "b"))


def test_imbalance_by_hand() -> None:
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


PROBABILITIES = np.array(
    [
        [0.90, 0.06, 0.04],  # right
        [0.80, 0.15, 0.05],  # wrong
        [0.05, 0.95, 0.00],  # wrong, the surest
        [0.34, 0.33, 0.33],  # right, the least certain
        [0.60, 0.30, 0.10],  # wrong
        [0.10, 0.20, 0.70],  # right
    ]
)
LABELS = np.array([0, 1, 0, 0, 1, 2])


def test_a_gallery_has_mistakes_and_doubts() -> None:
    gallery = choose_gallery(PROBABILITIES, LABELS)
    assert gallery.mistakes.tolist() == [2, 1, 4]
    assert gallery.uncertain.tolist()[:3] == [3, 4, 5]


def test_a_gallery_has_pairs_with_their_images() -> None:
    gallery = choose_gallery(PROBABILITIES, LABELS)
    assert gallery.pairs.tolist() == [[1, 0], [0, 1]]
    assert gallery.pair_images[0].tolist() == [1, 4, *[-1] * 7]
    assert gallery.pair_images[1].tolist() == [2, *[-1] * 8]
    assert gallery.shown().tolist() == [0, 1, 2, 3, 4, 5]


def test_no_mistake_no_pair() -> None:
    gallery = choose_gallery(np.eye(3), np.arange(3))
    assert gallery.mistakes.tolist() == []
    assert gallery.pairs.shape == (0, 2)
    assert gallery.pair_images.shape == (0, 9)
