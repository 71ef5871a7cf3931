"""The gallery holds the right images in the right order."""

from __future__ import annotations

import numpy as np

from tenfold.evaluation.scores import choose_gallery

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


def test_mistakes_and_doubts() -> None:
    gallery = choose_gallery(PROBABILITIES, LABELS)
    assert gallery.mistakes.tolist() == [2, 1, 4]
    assert gallery.uncertain.tolist()[:3] == [3, 4, 5]


def test_pairs_with_their_images() -> None:
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
