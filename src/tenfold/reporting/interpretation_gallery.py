"""What the test images of the page show, and the lines that stand beside each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenfold.core.records.evaluate import ExplainedMistakes
from tenfold.reporting.evaluated_images import EvaluatedImages
from tenfold.reporting.formats import count, in_sentence, percent
from tenfold.reporting.study_records import StudyRecords

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


def mistake_lines(records: StudyRecords, index: int) -> tuple[str, ...]:
    """Say of one test image what it was taken for, what it is, and how sure the model was."""
    probabilities, labels = records.test_probabilities, records.test_labels
    assert probabilities is not None
    assert labels is not None
    classes = records.acquire.classes
    predicted = int(probabilities[index].argmax())
    share = percent(float(probabilities[index, predicted]), 0)
    return (classes[predicted], f"is {classes[int(labels[index])]}", f"{share}, no. {index}")


def doubt_lines(records: StudyRecords, index: int) -> tuple[str, ...]:
    """Give the two most probable classes of one test image, and its label."""
    probabilities, labels = records.test_probabilities, records.test_labels
    assert probabilities is not None
    assert labels is not None
    classes = records.acquire.classes
    row = probabilities[index]
    first, second = np.argsort(-row, kind="stable")[:2].tolist()
    return (
        f"{percent(float(row[first]), 0)} {classes[first]}",
        f"{percent(float(row[second]), 0)} {classes[second]}",
        f"is {classes[int(labels[index])]}",
    )


def pair_titles(records: StudyRecords) -> list[tuple[str, str]]:
    """Give each confusion's two lines: the classes, and how many images."""
    images, evaluate = records.evaluated_images, records.evaluate
    assert images is not None
    assert evaluate is not None
    classes = records.acquire.classes
    return [
        (
            classes[true],
            f"taken for {classes[other]}: {count(evaluate.scores.confusion[true][other])}",
        )
        for true, other in images.pairs.tolist()
    ]


def pair_words(records: StudyRecords) -> str:
    """Say which confusions are shown, for those who cannot see the images."""
    classes = records.acquire.classes
    images = records.evaluated_images
    assert images is not None
    return "; ".join(
        f"{in_sentence(classes[true])} taken for {in_sentence(classes[other])}"
        for true, other in images.pairs.tolist()
    )
