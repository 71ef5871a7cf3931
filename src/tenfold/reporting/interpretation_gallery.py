"""What stands beside the test images of the page."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenfold.reporting.formats import count, counted, in_sentence, percent
from tenfold.reporting.study_records import StudyRecords

SURE = 0.9
"""A prediction of at least this probability is called sure."""

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def sure_mistakes(probabilities: Probabilities, labels: Labels) -> int:
    """Count the images that the model is sure and wrong about."""
    is_wrong = probabilities.argmax(axis=1) != labels
    return int((is_wrong & (probabilities.max(axis=1) >= SURE)).sum())


def mistake_sentences(records: StudyRecords) -> list[str]:
    """Say how many mistakes are confident ones and what to look for in them."""
    probabilities, labels = records.test_probabilities, records.test_labels
    if probabilities is None or labels is None:
        return []
    wrong = int((probabilities.argmax(axis=1) != labels).sum())
    if wrong == 0:
        return ["The model made no mistake on the test images."]
    sure = sure_mistakes(probabilities, labels)
    return [
        f"Of {counted(wrong, 'mistake')}, the model made {count(sure)} with a probability of at "
        f"least {percent(SURE, 0)}. Such images are the first to look at: their label may be "
        "wrong, or they show what the training images lack."
    ]


def mistake_lines(records: StudyRecords, index: int) -> tuple[str, ...]:
    """Say of one test image what it was taken for, what it is, and how sure the model was."""
    probabilities, labels = records.test_probabilities, records.test_labels
    assert probabilities is not None
    assert labels is not None
    classes = records.acquire.classes
    predicted = int(probabilities[index].argmax())
    share = percent(float(probabilities[index, predicted]), 0)
    return (classes[predicted], f"is {classes[int(labels[index])]}", f"{share}, no. {index}")


def explained_words(records: StudyRecords) -> list[str]:
    """Say whether the training images that mistakes resemble bear the named class or the label."""
    images, explained = records.evaluated_images, records.explained_mistakes
    probabilities, labels = records.test_probabilities, records.test_labels
    if images is None or explained is None or probabilities is None or labels is None:
        return []
    near = explained.neighbour_labels
    if not near.size:
        return []
    named = probabilities[images.mistakes].argmax(axis=1)
    votes_for_named = (near == named[:, None]).sum(axis=1)
    votes_for_label = (near == labels[images.mistakes][:, None]).sum(axis=1)
    of_named = int((votes_for_named > votes_for_label).sum())
    of_label = int((votes_for_label > votes_for_named).sum())
    sentences = [
        f"In {count(of_named)} of the {count(len(near))} mistakes shown, more of the nearest "
        "training images bear the class that the model named than the label: they show what it "
        "took the image for."
    ]
    if of_label:
        sentences.append(
            f"In {count(of_label)} it is the other way round: the network has seen the like, and "
            "decides against it all the same."
        )
    return sentences


def doubt_lines(records: StudyRecords, index: int) -> tuple[str, ...]:
    """Give the two most probable classes of one test image, and its label."""
    probabilities, labels = records.test_probabilities, records.test_labels
    assert probabilities is not None
    assert labels is not None
    classes = records.acquire.classes
    first, second = np.argsort(-probabilities[index], kind="stable")[:2].tolist()
    row = probabilities[index]
    return (
        f"{percent(float(row[first]), 0)} {classes[first]}",
        f"{percent(float(row[second]), 0)} {classes[second]}",
        f"is {classes[int(labels[index])]}",
    )


def doubt_sentences(records: StudyRecords) -> list[str]:
    """Say how unsure the least certain images are and how often the model is right there."""
    images = records.evaluated_images
    probabilities, labels = records.test_probabilities, records.test_labels
    if images is None or probabilities is None or labels is None or not len(images.uncertain):
        return []
    shown = images.uncertain
    right = int((probabilities[shown].argmax(axis=1) == labels[shown]).sum())
    highest = float(probabilities[shown].max())
    number = len(shown)
    return [
        f"On the {counted(number, 'image')} that it is least certain of, it gives no class more "
        f"than {percent(highest)} and is right in {count(right)}."
    ]


def pair_titles(records: StudyRecords) -> list[tuple[str, str]]:
    """Give each confusion's two lines: the classes, and how many images."""
    images, evaluate = records.evaluated_images, records.evaluate
    assert images is not None
    assert evaluate is not None
    classes = records.acquire.classes
    titles = []
    for true, other in images.pairs.tolist():
        number = evaluate.scores.confusion[true][other]
        titles.append((classes[true], f"taken for {classes[other]}: {count(number)}"))
    return titles


def pair_words(records: StudyRecords) -> str:
    """Say which confusions are shown, for those who cannot see the images."""
    classes = records.acquire.classes
    images = records.evaluated_images
    assert images is not None
    return "; ".join(
        f"{in_sentence(classes[true])} taken for {in_sentence(classes[other])}"
        for true, other in images.pairs.tolist()
    )
