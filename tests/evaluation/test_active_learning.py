from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tenfold.evaluation.active_learning import (
    Method,
    choose_by_clusters,
    choose_by_gradients,
    choose_by_margin,
    margins,
    standardised,
)

METHODS = (choose_by_gradients, choose_by_clusters, choose_by_margin)


def pool(
    count: int = 200, seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 6)).astype(np.float32)
    return features, rng.dirichlet(np.full(4, 0.5), count)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 7, 200, 300])
def test_each_image_is_given_once(method: Method, count: int) -> None:
    features, probabilities = pool()
    places = method(features, probabilities, count, np.random.default_rng(1))
    assert len(set(places.tolist())) == len(places) == min(count, 200)
    again = method(features, probabilities, count, np.random.default_rng(1))
    np.testing.assert_array_equal(places, again)


@pytest.mark.parametrize("method", METHODS)
def test_no_images_and_one_class_are_no_trouble(method: Method) -> None:
    features, _ = pool()
    assert len(method(features[:0], np.empty((0, 4)), 5, np.random.default_rng(0))) == 0
    assert len(method(features, np.ones((200, 1)), 5, np.random.default_rng(0))) == 5


def test_the_first_has_the_longest_gradient() -> None:
    features, probabilities = pool()
    error = probabilities.copy()
    error[np.arange(200), probabilities.argmax(1)] -= 1
    gradients = (error[:, :, None] * features[:, None]).reshape(200, -1)
    first = choose_by_gradients(features, probabilities, 1, np.random.default_rng(0))
    assert first.tolist() == [np.linalg.norm(gradients, axis=1).argmax()]


def test_copies_of_one_unsure_image_are_not_bought_twice() -> None:
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(5, 6)), 40, axis=0).astype(np.float32)
    probabilities = np.full((200, 4), 0.25)
    places = choose_by_gradients(features, probabilities, 5, rng)
    assert set((places // 40).tolist()) == set(range(5))
    assert len(choose_by_clusters(features, probabilities, 10, rng)) == 10
    by_margin = choose_by_margin(features, probabilities, 5, rng)
    assert set((by_margin // 40).tolist()) == {0}


def test_of_sure_images_one_is_drawn_at_most() -> None:
    features, probabilities = pool()
    probabilities[:150] = [1, 0, 0, 0]
    places = choose_by_gradients(features, probabilities, 40, np.random.default_rng(0))
    # One stands for all images without a gradient, which is as far from the others as they are.
    assert (places < 150).sum() <= 1


def test_margins_and_standardised_features() -> None:
    assert margins(np.array([[0.2, 0.7, 0.1]])) == pytest.approx([0.5])
    features = np.array([[1, 5], [3, 5]], np.float32)
    np.testing.assert_allclose(standardised(features), [[-1, 0], [1, 0]])
