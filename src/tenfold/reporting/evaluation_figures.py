"""The figures of the evaluation section, with caption and description."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from tenfold.core.records.evaluation import CalibrationRecord, EvaluateRecord, RobustnessRecord
from tenfold.evaluation.scores import is_imbalanced
from tenfold.reporting.evaluated_images import EvaluatedImages
from tenfold.reporting.figures.calibration import draw_calibration
from tenfold.reporting.figures.class_scores import draw_class_scores
from tenfold.reporting.figures.confusion_matrix import draw_confusion_matrix
from tenfold.reporting.figures.explained_gallery import Explained, draw_explained
from tenfold.reporting.figures.galleries import Captioned, draw_gallery, draw_pairs
from tenfold.reporting.figures.recall_by_size import draw_recall_by_size
from tenfold.reporting.figures.robustness import draw_robustness
from tenfold.reporting.formats import count, counted, in_sentence, join, percent, score
from tenfold.reporting.imbalance import size_effect
from tenfold.reporting.interpretation_calibration import (
    WANTED_ACCURACY,
    honesty,
    reaching,
    surest_half,
)
from tenfold.reporting.interpretation_evaluation import confused_pairs
from tenfold.reporting.interpretation_gallery import likeness
from tenfold.reporting.interpretation_robustness import SENSITIVE_FALL, borne, sensitive_to
from tenfold.reporting.report_figure import ReportFigure
from tenfold.reporting.study_records import StudyRecords
from tenfold.reporting.wording import words


def figures_of_scores(records: StudyRecords) -> Iterator[ReportFigure]:
    """Give the figures of scores and calibration, in the page's order."""
    evaluate: EvaluateRecord | None = records.evaluate
    if evaluate is not None:
        pairs = join(
            f"{pair.true_name} taken for {pair.predicted_name} ({pair.images})"
            for pair in confused_pairs(evaluate.scores, 3)
        )
        yield ReportFigure(
            "confusion-matrix",
            partial(draw_confusion_matrix, evaluate.scores),
            "Confusion matrix of the test images. The stronger the colour, the larger the share of "
            "the true class (of the row).",
            "Confusion matrix. "
            + (f"Most frequent: {pairs}." if pairs else "There are no errors."),
        )
        yield ReportFigure(
            "class-scores",
            partial(draw_class_scores, evaluate),
            "Precision, recall and F1 of each class on the test images, with 95% intervals.",
            f"Three marks for each class; macro F1 is {score(evaluate.scores.macro_f1)}. The table "
            "of class scores has the numbers.",
        )
        if is_imbalanced(records.acquire):
            yield ReportFigure(
                "recall-by-size",
                partial(draw_recall_by_size, records.acquire, evaluate),
                "Recall of each class with its 95% interval; the classes and their numbers of "
                "training images, the largest on top.",
                "Dot plot. "
                + words("imbalance", "size_effect", size_effect(evaluate, records.acquire)),
            )
        calibration = evaluate.calibration
        yield ReportFigure(
            "calibration",
            partial(draw_calibration, calibration),
            "Left: accuracy of images with about the same probability, with 95% intervals "
            f"({counted(len(calibration.after.bins), 'bin')} of equally many images); on the "
            "dashed line probabilities are what they say. Right: accuracy on the share of the "
            "images that the model is surest of.",
            f"Line charts. {_calibration(calibration, evaluate.scores.accuracy)}",
        )


def figures_of_failures(records: StudyRecords) -> Iterator[ReportFigure]:
    """Give the figures that show where the model fails."""
    images, evaluate = records.evaluated_images, records.evaluate
    if evaluate is None:
        return
    if images is not None and records.test_probabilities is not None:
        if len(images.pairs):
            shown = [images.at(row[row >= 0]) for row in images.pair_images]
            yield ReportFigure(
                "confused-pairs",
                partial(draw_pairs, shown, _pair_titles(records)),
                "Images of the most frequent confusions, the most confident first.",
                f"Rows of test images: {_pair_words(records)}.",
            )
        if len(images.mistakes):
            yield _mistakes(records, images)
        if len(images.uncertain):
            doubts = [Captioned(_doubt_lines(records, int(one))) for one in images.uncertain]
            caption = (
                "The images that the model is least certain of: its two most probable classes, and "
                "the label."
            )
            yield ReportFigure(
                "least-certain",
                partial(draw_gallery, images.at(images.uncertain), doubts),
                caption,
                f"{counted(len(images.uncertain), 'test image')}. {caption}",
            )
    if evaluate.robustness is not None:
        yield ReportFigure(
            "robustness",
            partial(draw_robustness, evaluate.robustness),
            "Accuracy on disturbed test images at five strengths.",
            f"Line charts, one a disturbance. {_robustness(evaluate.robustness)}",
        )


def _mistakes(records: StudyRecords, images: EvaluatedImages) -> ReportFigure:
    """Give the gallery of mistakes, with what explains them where that is known."""
    lines = [_mistake_lines(records, int(index)) for index in images.mistakes]
    pictures = images.at(images.mistakes)
    explained = records.explained_mistakes
    named = (
        "what the model named, what the label says, the probability it gave, and the image's "
        "number in the test split"
    )
    if explained is None:
        caption = f"The most confident mistakes: {named}."
        draw = partial(draw_gallery, pictures, [Captioned(one) for one in lines])
        return ReportFigure(
            "confident-mistakes", draw, caption, f"{counted(len(lines), 'test image')}. {caption}"
        )
    has_heat = len(explained.heats) > 0
    heat = (
        " the places that speak for the class that the model named (bright: most; Grad-CAM);"
        if has_heat
        else ""
    )
    caption = (
        f"The most confident mistakes: the image;{heat} {named}; and, of up to 10,000 training "
        "images, those that the network finds most alike, with their labels."
    )
    classes = records.acquire.classes
    entries = [
        Explained(
            picture,
            explained.heats[place] if has_heat else None,
            words,
            explained.neighbour_images[place],
            tuple(classes[label] for label in explained.neighbour_labels[place].tolist()),
        )
        for place, (picture, words) in enumerate(zip(pictures, lines, strict=True))
    ]
    return ReportFigure(
        "confident-mistakes",
        partial(draw_explained, entries),
        caption,
        f"{counted(len(lines), 'test image')}. {_likeness(records)}",
    )


def _mistake_lines(records: StudyRecords, index: int) -> tuple[str, ...]:
    """Say of one test image what it was taken for, what it is, and how sure the model was."""
    probabilities, labels = records.test_probabilities, records.test_labels
    assert probabilities is not None
    assert labels is not None
    classes = records.acquire.classes
    predicted = int(probabilities[index].argmax())
    share = percent(float(probabilities[index, predicted]), 0)
    return (classes[predicted], f"is {classes[int(labels[index])]}", f"{share}, no. {index}")


def _doubt_lines(records: StudyRecords, index: int) -> tuple[str, ...]:
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


def _pair_titles(records: StudyRecords) -> list[tuple[str, str]]:
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


def _pair_words(records: StudyRecords) -> str:
    """Say which confusions are shown, for those who cannot see the images."""
    classes = records.acquire.classes
    images = records.evaluated_images
    assert images is not None
    return "; ".join(
        f"{in_sentence(classes[true])} taken for {in_sentence(classes[other])}"
        for true, other in images.pairs.tolist()
    )


def _calibration(calibration: CalibrationRecord, accuracy: float) -> str:
    said = words("calibration", "calibration", calibration, accuracy, honesty(calibration))
    if len(calibration.coverage) < 2:
        return f"{said} "
    half, enough = surest_half(calibration), reaching(calibration)
    return f"{said} {words('calibration', 'coverage', calibration, half, enough, WANTED_ACCURACY)}"


def _robustness(record: RobustnessRecord) -> str:
    found = (record, sensitive_to(record), borne(record), SENSITIVE_FALL)
    return words("robustness", "findings", *found)


def _likeness(records: StudyRecords) -> str:
    images, explained = records.evaluated_images, records.explained_mistakes
    probabilities, labels = records.test_probabilities, records.test_labels
    if images is None or explained is None or probabilities is None or labels is None:
        return ""
    found = likeness(images, explained, probabilities, labels)
    return words("gallery", "likeness", found) if found else ""
