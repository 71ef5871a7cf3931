"""Advice from calibration, confident mistakes, disturbed images and runs with other seeds."""

from __future__ import annotations

from collections.abc import Iterator

from tenfold.core.records.calibration import CalibrationRecord
from tenfold.core.records.robustness import CorruptionScores, RobustnessRecord
from tenfold.reporting.formats import count, counted, percent, score
from tenfold.reporting.interpretation_calibration import is_honest
from tenfold.reporting.interpretation_repeats import TITLES, leading_score
from tenfold.reporting.interpretation_robustness import points, sensitive_to
from tenfold.reporting.recommendation import Recommendation
from tenfold.reporting.study_records import StudyRecords

_SURE = 0.9
_SURE_MISTAKES = 10
_SURE_SHARE = 0.1
"""Of all mistakes: from so many, at such a probability, on, they are worth a person's time."""

_CURES = {
    "brightness": "Vary the brightness of the training images",
    "contrast": "Vary the contrast of the training images",
    "blur": "Blur some of the training images",
    "noise": "Add noise to some of the training images",
    "JPEG": "Compress some of the training images as JPEG",
    "shift": "Shift the training images (augmentation crop-flip), or shift them further",
}


def about_probabilities(records: StudyRecords) -> Iterator[Recommendation]:
    """Give the advice that follows from how sure the model is, and how rightly."""
    if records.evaluate is None:
        return
    yield from _about_calibration(records.evaluate.calibration)
    yield from _about_sure_mistakes(records)


def about_disturbances(record: RobustnessRecord) -> Iterator[Recommendation]:
    """Give the advice that follows from the disturbance that costs most."""
    for worst in sensitive_to(record)[:1]:
        yield Recommendation(
            f"{_cure(worst)}, if images in use may look so.",
            f"Under {worst.name} ({worst.description}) the accuracy falls by {points(worst.fall)} "
            f"percentage points on average over five strengths (95% interval "
            f"{points(worst.fall_interval.low)} to {points(worst.fall_interval.high)}), to "
            f"{percent(worst.accuracies[-1])} at the strongest.",
        )


def about_seeds(records: StudyRecords) -> Iterator[Recommendation]:
    """Give the advice that follows from the spread over seeds, where it hides small gains."""
    if records.repeats is None or records.evaluate is None:
        return
    name = leading_score(records.repeats)
    ends = getattr(records.evaluate.intervals, name)
    least = records.repeats.least_differences[name]
    # Half the interval's width is what the choice of test images moves the score by.
    if least > (ends.high - ends.low) / 2:
        yield Recommendation(
            "Judge changes by the mean of several runs (--runs), not by one: here the seed moves "
            "the score more than the choice of test images does.",
            f"Two single runs differ by up to {100 * least:.2f} percentage points of "
            f"{TITLES[name].lower()} by luck of the seed (95%, from "
            f"{counted(len(records.repeats.runs), 'run')}).",
        )


def _about_calibration(record: CalibrationRecord) -> Iterator[Recommendation]:
    if is_honest(record):
        return
    after = record.after
    evidence = (
        f"Its expected calibration error is {score(after.expected_calibration_error)}; chance "
        f"explains at most {score(record.chance_calibration_error)}."
    )
    if record.temperature is None:
        yield Recommendation(
            "Hold out validation images (training.validation_fraction), so that a temperature can "
            "be fitted to the probabilities.",
            evidence,
        )
    else:
        yield Recommendation(
            "Do not take its probabilities at their word: one temperature does not correct them. "
            "Hold out more validation images, or regularise more.",
            evidence,
        )


def _about_sure_mistakes(records: StudyRecords) -> Iterator[Recommendation]:
    if records.test_probabilities is None or records.test_labels is None:
        return
    is_wrong = records.test_probabilities.argmax(axis=1) != records.test_labels
    wrong = int(is_wrong.sum())
    sure = int((records.test_probabilities.max(axis=1)[is_wrong] >= _SURE).sum())
    if sure >= _SURE_MISTAKES and sure / wrong >= _SURE_SHARE:
        yield Recommendation(
            "Look through the most confident mistakes: correct wrong labels, and collect images of "
            "what they show.",
            f"{count(sure)} of {counted(wrong, 'mistake')} were made with a probability of at "
            f"least {percent(_SURE, 0)}.",
        )


def _cure(corruption: CorruptionScores) -> str:
    return _CURES.get(corruption.name, f"Augment the training images with {corruption.name}")
