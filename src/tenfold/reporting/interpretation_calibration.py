"""Whether the model's probabilities can be believed."""

from __future__ import annotations

from tenfold.core.records.calibration import CalibrationRecord, CalibrationScores, CoveragePoint
from tenfold.reporting.formats import count, counted, number, percent, score

HONEST = 0.02
"""Expected calibration error up to which probabilities are called honest."""

_WANTED_ACCURACY = 0.99
_HALF = 0.5


def measures_text(scores: CalibrationScores) -> str:
    """Say how the calibration error was measured."""
    sizes = [one.count for one in scores.bins]
    low, high = min(sizes), max(sizes)
    size = count(low) if low == high else f"{count(low)} or {count(high)}"
    return (
        f"The test images are sorted by the probability of their predicted class and cut into "
        f"{counted(len(scores.bins), 'bin')} of {size} images each; the expected calibration error "
        "is the mean difference between a bin's accuracy and its mean probability."
    )


def is_honest(calibration: CalibrationRecord) -> bool:
    """Say whether the stored probabilities are off by little, or by no more than chance makes."""
    error = calibration.after.expected_calibration_error
    return error <= max(HONEST, calibration.chance_calibration_error)


def calibration_sentences(calibration: CalibrationRecord, accuracy: float) -> list[str]:
    """Say how far probabilities and outcomes are apart, and what temperature scaling changed."""
    after = calibration.after
    sentences = []
    fact = (
        f"The model gives its predictions a probability of {percent(after.mean_confidence)} on "
        f"average and is right in {percent(accuracy)}"
    )
    error = after.expected_calibration_error
    chance = calibration.chance_calibration_error
    by_chance = (
        f"chance alone makes up to {score(chance)} of a perfectly calibrated model on so many "
        "images"
    )
    if error <= chance:
        sentences.append(
            f"{fact}. The error of {score(error)} is no more than chance: {by_chance}."
        )
    elif error <= HONEST:
        sentences.append(
            f"{fact}: the error of {score(error)} is small, if more than chance ({by_chance})."
        )
    else:
        word = "over-confident" if after.mean_confidence > accuracy else "too modest"
        sentences.append(f"{fact}: it is {word}, by an error of {score(error)} ({by_chance}).")
    sentences.append(_temperature_sentence(calibration))
    return sentences


def _temperature_sentence(calibration: CalibrationRecord) -> str:
    temperature = calibration.temperature
    if temperature is None:
        return (
            "No temperature was fitted, since no validation images were held out; the "
            "probabilities are the network's own."
        )
    before, after = calibration.before, calibration.after
    kind = "above 1: it was too sure of itself" if temperature > 1 else "below 1: it was too modest"
    change = (
        f"from {score(before.expected_calibration_error)} to "
        f"{score(after.expected_calibration_error)}"
    )
    text = (
        "This is after the network's logits were divided by a temperature, fitted on validation "
        f"images alone, of {number(round(temperature, 3))} ({kind}). It takes the error {change} "
        f"and the log loss from {score(before.log_loss)} to {score(after.log_loss)}."
    )
    if after.log_loss > before.log_loss:
        text += " On these test images it did not help: validation and test images differ here."
    return text


def coverage_sentences(calibration: CalibrationRecord) -> list[str]:
    """Say how accurate the model is where it is surest."""
    points = calibration.coverage
    if len(points) < 2:
        return []
    half = min(points, key=lambda point: abs(point.coverage - _HALF))
    sentences = [
        f"On the {percent(half.coverage, 0)} of the images that it is surest of it is right in "
        f"{percent(half.accuracy)}, on all of them in {percent(points[-1].accuracy)}."
    ]
    if points[-1].accuracy < _WANTED_ACCURACY:
        sentences.append(_reaching(points))
    return sentences


def _reaching(points: tuple[CoveragePoint, ...]) -> str:
    wanted = percent(_WANTED_ACCURACY, 0)
    reached = [point for point in points if point.accuracy >= _WANTED_ACCURACY]
    if not reached:
        return f"However few images it answers, it is not right in {wanted} of them."
    most = reached[-1]
    return (
        f"To be right in {wanted}, it may answer {percent(most.coverage, 0)} of the images, those "
        f"with a probability of at least {percent(most.least_confidence)}, and has to leave the "
        "others to a person."
    )
