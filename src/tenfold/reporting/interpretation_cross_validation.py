"""What the folds say: how stable the scores are and whether the test result agrees."""

from __future__ import annotations

import math

from tenfold.core.records.cross_validate import CrossValidateRecord, ProtocolRecord
from tenfold.core.records.evaluate import EvaluateRecord
from tenfold.reporting.formats import counted, interval, score, signed

LEAK_WARNING = (
    "This protocol is a leak: its folds start from the trained model, which has already seen each "
    "fold's validation images. Its scores say how well the model does on images it was trained on, "
    "not on new ones."
)


def protocol_sentences(
    protocol: ProtocolRecord, evaluate: EvaluateRecord | None, *, is_imbalanced: bool = False
) -> list[str]:
    """Say how much a protocol's folds differ and how they compare with the test split.

    Where classes differ in size, the first word is that of all classes alike.
    """
    mean, spread = protocol.means["accuracy"], protocol.standard_deviations["accuracy"]
    accuracies = [fold.accuracy for fold in protocol.folds]
    sentences = []
    if is_imbalanced:
        recall, its_spread = protocol.means["macro_recall"], protocol.standard_deviations
        ends_text = (
            f" (95% interval {interval(protocol.intervals['macro_recall'])})"
            if protocol.intervals
            else ""
        )
        sentences.append(
            f"Averaged over the classes, which differ in size, the folds find {score(recall)} ± "
            f"{score(its_spread['macro_recall'])} of a class's images{ends_text}; the accuracy "
            "below is mostly that of the large classes."
        )
    sentences += [
        f"Over {counted(len(accuracies), 'fold')} the accuracy is {score(mean)} ± {score(spread)}, "
        f"from {score(min(accuracies))} to {score(max(accuracies))}."
    ]
    if protocol.intervals:
        ends = protocol.intervals["accuracy"]
        sentences.append(
            f"The 95% interval of that mean, {interval(ends)}, is that of Nadeau and Bengio "
            "(2003): the folds share most of their training images, so their scores are not "
            "independent, and the plain standard error would be too small."
        )
    if evaluate is None:
        sentences.append("There is no test result to compare with.")
        return sentences
    accuracy = evaluate.scores.accuracy
    difference, margin = accuracy - mean, test_margin(protocol, evaluate)
    fact = f"On the test split it is {score(accuracy)} ({signed(difference)})"
    if protocol.is_leaky:
        sentences.append(
            f"{fact}. The comparison cannot confirm that the model is stable: the folds are not "
            "new to it."
        )
    elif abs(difference) <= margin:
        sentences.append(
            f"{fact}, within the ±{score(margin)} that the spread of the folds and the size of the "
            "test split allow: the result does not hang on one lucky split."
        )
    else:
        direction = "above" if difference > 0 else "below"
        sentences.append(
            f"{fact}, {direction} what the spread of the folds and the size of the test split "
            f"allow (±{score(margin)}): test images and training images differ, or the folds were "
            "trained otherwise (each on fewer images, "
            f"{counted(protocol.epochs, 'epoch')} here)."
        )
    return sentences


def test_margin(protocol: ProtocolRecord, evaluate: EvaluateRecord) -> float:
    """Give two standard errors of the difference between the test and a single fold's accuracy."""
    accuracy, count = evaluate.scores.accuracy, max(evaluate.scores.count, 1)
    test_variance = accuracy * (1 - accuracy) / count
    spread = protocol.standard_deviations["accuracy"]
    return 2 * math.sqrt(spread**2 + test_variance)


def comparison_sentences(record: CrossValidateRecord) -> list[str]:
    """Compare an honest protocol with a leaky one, if both were run."""
    honest = next((p for p in record.protocols if not p.is_leaky), None)
    leaky = next((p for p in record.protocols if p.is_leaky), None)
    if honest is None or leaky is None:
        return []
    difference = leaky.means["accuracy"] - honest.means["accuracy"]
    compared = (
        f"The {leaky.name} protocol gives {score(leaky.means['accuracy'])}, the {honest.name} "
        f"protocol {score(honest.means['accuracy'])} ({signed(difference)})."
    )
    if difference > 0:
        return [
            f"{compared} The two also differ in training, but part of that difference is the leak; "
            f"only {honest.name} estimates the accuracy on new images."
        ]
    return [
        f"{compared} The leak does not show in these scores, which does not make them an estimate "
        f"for new images: only {honest.name} is one."
    ]
