"""The score on the test split as its source gave it, where a study corrects labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.core.records.evaluation import ClassificationScores
from tenfold.data.dataset import Images, kept_places, read_given_split
from tenfold.evaluation.scores import classification_scores

AS_GIVEN = "scores_as_given.json"
"""Beside the evaluate stage's record, if the study has corrections."""


def scores_as_given(
    acquire_folder: Path,
    classes: Sequence[str],
    predict: Callable[[Images], npt.NDArray[np.float32]],
) -> ClassificationScores | None:
    """Score all test images against the labels that the source gave; None without corrections.

    Parameters
    ----------
    acquire_folder
        Of the acquire stage.
    classes
        Class names.
    predict
        Gives probabilities, shape (N, classes), for uint8 images (N, H, W, C).
    """
    if kept_places(acquire_folder, "test") is None:
        return None
    given = read_given_split(acquire_folder, "test")
    return classification_scores(given.labels, predict(given.images), classes)
