"""What the test images of the page show: sure mistakes, their likes in training, and doubts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenfold.core.records.evaluation import ExplainedMistakes
from tenfold.reporting.evaluated_images import EvaluatedImages

SURE = 0.9
"""A prediction of at least this probability is called sure."""

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Mistakes:
    """How many images the model is wrong about, and how many of them it is sure about."""

    count: int
    sure: int


@dataclass(frozen=True)
class Likeness:
    """Which class the nearest training images of shown mistakes bear more often.

    Parameters
    ----------
    mistakes
        How many are shown.
    of_named, of_label
        How many have more neighbours of the class that the model named, and of the label.
    """

    mistakes: int
    of_named: int
    of_label: int


@dataclass(frozen=True)
class Doubts:
    """The images that the model is least certain of: highest probability, and how many right."""

    count: int
    highest: float
    right: int


def mistakes(probabilities: Probabilities, labels: Labels) -> Mistakes:
    """Count all mistakes, and the sure ones."""
    is_wrong = probabilities.argmax(axis=1) != labels
    is_sure = probabilities.max(axis=1) >= SURE
    return Mistakes(int(is_wrong.sum()), int((is_wrong & is_sure).sum()))


def likeness(
    images: EvaluatedImages,
    explained: ExplainedMistakes,
    probabilities: Probabilities,
    labels: Labels,
) -> Likeness | None:
    """Compare the labels of each shown mistake's neighbours; None if there are no neighbours."""
    near = explained.neighbour_labels
    if not near.size:
        return None
    named = probabilities[images.mistakes].argmax(axis=1)
    votes_for_named = (near == named[:, None]).sum(axis=1)
    votes_for_label = (near == labels[images.mistakes][:, None]).sum(axis=1)
    return Likeness(
        len(near),
        int((votes_for_named > votes_for_label).sum()),
        int((votes_for_label > votes_for_named).sum()),
    )


def doubts(images: EvaluatedImages, probabilities: Probabilities, labels: Labels) -> Doubts | None:
    """Give how unsure the least certain images are; None if none are shown."""
    shown = probabilities[images.uncertain]
    if not len(shown):
        return None
    right = int((shown.argmax(axis=1) == labels[images.uncertain]).sum())
    return Doubts(len(shown), float(shown.max()), right)
