"""What the training history says: convergence, best epochs, fluctuation, fit."""

from __future__ import annotations

import math
from itertools import pairwise

from tenfold.core.durations import format_duration
from tenfold.core.records.train import EpochRecord, TrainRecord
from tenfold.reporting.formats import counted, join, percent, score
from tenfold.reporting.training_course import OVERFITTING_GAP, SMALL_GAP, course_of


def length_text(record: TrainRecord) -> str:
    """Say how many epochs were trained, parts of an epoch included."""
    length = sum(epoch.share for epoch in record.history)
    if math.isclose(length, record.epochs):
        return counted(record.epochs, "epoch")
    return f"{length:.3g} epochs"


def budget_sentences(record: TrainRecord) -> list[str]:
    """Say what a time budget chose; nothing without one."""
    if record.budget is None:
        return []
    return [
        f"The training had a time budget of {format_duration(record.budget.seconds)}, "
        "start-up included, and its learning rate followed the clock down to zero.",
        record.budget.sentence,
    ]


def weights_sentences(record: TrainRecord) -> list[str]:
    """Say that the weights are averages, and that the training ended early; nothing if neither."""
    averages = {
        "ema": "an exponential moving average of the weights along the training",
        "swa": "the mean of the weights over the end of the training",
    }
    sentences = []
    if record.averaging != "none":
        sentences.append(
            f"What is validated, evaluated and saved is {averages[record.averaging]} "
            f"({record.averaging.upper()}), not the newest weights."
        )
    if record.stopped_early and record.best_epoch is not None:
        waited = counted(record.epochs - record.best_epoch, "epoch")
        sentences.append(
            f"The training ended early: validation accuracy had not improved for {waited}."
        )
    return sentences


def convergence_sentences(record: TrainRecord) -> list[str]:
    """Say how training accuracy and loss moved and whether they had settled."""
    history = record.history
    first, last = history[0], history[-1]
    if record.probe is not None and len(history) == 1:
        return [
            "The best linear layer was found, not approached epoch by epoch: its training accuracy "
            f"is {score(last.train_accuracy)}, its loss {score(last.train_loss)}."
        ]
    if len(history) == 1:
        return [
            f"One epoch was trained, to a training accuracy of {score(last.train_accuracy)} and a "
            f"loss of {score(last.train_loss)}: there is no course to judge yet."
        ]
    rose = sum(after.train_accuracy > before.train_accuracy for before, after in pairwise(history))
    verb = _moved(first.train_accuracy, last.train_accuracy)
    sentences = [
        f"Over {len(history)} epochs the training accuracy {verb} from "
        f"{score(first.train_accuracy)} to {score(last.train_accuracy)}, up in {rose} of "
        f"{counted(len(history) - 1, 'step')}, and the training loss "
        f"{_moved(first.train_loss, last.train_loss)} from {score(first.train_loss)} to "
        f"{score(last.train_loss)}."
    ]
    if last.train_loss >= first.train_loss:
        sentences.append("The loss did not fall: the network did not learn from these data.")
    elif len(history) < 4:
        sentences.append("The network is learning; so few epochs do not show where it settles.")
    elif course_of(record).loss_is_level:
        sentences.append("The loss had levelled off at the end: training converged.")
    else:
        sentences.append("The loss was still falling at the end: training had not fully converged.")
    return sentences


def validation_sentences(record: TrainRecord) -> list[str]:
    """Say which epochs were the best on the validation images and how the last compares."""
    course = course_of(record)
    if course.best_validation_accuracy is None or course.last_validation_accuracy is None:
        return ["No images were held out for validation, so no epoch can be called the best."]
    best, last = course.best_validation_accuracy, course.last_validation_accuracy
    if course.epochs == 1:
        when = "of that layer" if record.probe is not None else "after this epoch"
        return [f"The validation accuracy {when} was {score(best)}."]
    validated = [e for e in record.history if e.validation_accuracy is not None]
    ranked = sorted(validated, key=lambda e: (-(e.validation_accuracy or 0.0), e.epoch))
    listed = ranked[: 2 if course.epochs > 3 else 1]
    named = join(f"epoch {e.epoch} ({score(e.validation_accuracy)})" for e in listed)
    sentences = [f"Validation accuracy was highest after {named}."]
    if best == last:
        sentences.append("No earlier epoch did better than the last one.")
    else:
        sentences.append(f"After the last epoch it was {score(last)}, {score(best - last)} lower.")
    if course.is_still_improving and course.late_gain is not None:
        sentences.append(
            f"It was still improving: the last third of the epochs averages "
            f"{score(course.late_gain)} more than the third before."
        )
    return sentences


def fluctuation_sentences(record: TrainRecord) -> list[str]:
    """Say whether validation accuracy jumped by more than chance explains."""
    course = course_of(record)
    if course.epochs < 2 or course.best_validation_accuracy is None:
        return []
    if course.largest_fall is None:
        return ["Validation accuracy never fell from one epoch to the next."]
    before = course.fall_epoch - 1 if course.fall_epoch else None
    fact = (
        f"The largest fall of validation accuracy is {score(course.largest_fall)}, from epoch "
        f"{before} to epoch {course.fall_epoch}"
    )
    on = f"with {counted(course.validation_count, 'validation image')} chance alone explains up to"
    if course.fluctuates:
        return [
            f"{fact}; {on} {score(course.chance_fall)}. The weights themselves move much between "
            "epochs, so which epoch is taken matters."
        ]
    return [f"{fact}; {on} {score(course.chance_fall)}, so this is no sign of instability."]


def fit_sentences(record: TrainRecord) -> list[str]:
    """Say whether the network over-fits, under-fits or neither."""
    course = course_of(record)
    if course.gap is None or course.late_validation_accuracy is None:
        return []
    late = f"over the last {course.late_epochs} epochs (median) " if course.late_epochs > 1 else ""
    fact = (
        f"Training accuracy {late}is {score(course.late_train_accuracy)}, validation accuracy "
        f"{score(course.late_validation_accuracy)}"
    )
    if course.gap >= OVERFITTING_GAP:
        sentences = [
            f"{fact}, {score(course.gap)} less: the network does better on the images it was "
            "trained on than on new ones. It over-fits."
        ]
        if grown := _loss_growth(record.history):
            sentences.append(
                f"The validation loss agrees: it is {percent(grown, 0)} above its lowest value."
            )
        return sentences
    if course.gap > SMALL_GAP:
        return [f"{fact}: a small gap, a light over-fitting at most."]
    why = (
        " (training accuracy is measured with dropout"
        + (" and augmentation" if record.augmentation != "none" else "")
        + " on, validation accuracy without)"
        if course.gap < 0
        else ""
    )
    if course.late_train_accuracy < 0.9:
        return [
            f"{fact}{why}: there is no over-fitting. What limits the network is rather its size, "
            "its regularisation or the length of training: it under-fits."
        ]
    return [f"{fact}{why}: it fits well, without over-fitting."]


def _moved(before: float, after: float) -> str:
    return "rose" if after > before else "fell" if after < before else "stayed"


def _loss_growth(history: tuple[EpochRecord, ...]) -> float | None:
    """Give by how much the last validation loss exceeds the lowest, if by over a tenth."""
    losses = [epoch.validation_loss for epoch in history if epoch.validation_loss is not None]
    if not losses or min(losses) <= 0:
        return None
    growth = losses[-1] / min(losses) - 1
    return growth if growth > 0.1 else None
