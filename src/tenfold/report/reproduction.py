"""The original report's numbers beside the study's own.

========================================================  ==========================================
name                                                      what it is
========================================================  ==========================================
``explore.class.NAME.mean``, ``.standard_deviation``      of the class's pixels, scale 0 to 1
``explore.channel_means``                                 one value a channel
``explore.channel_standard_deviations``                   one value a channel
``tune.best_validation_accuracy``                         objective of the best trial
``tune.best_settings``                                    text, ``conv_layers=2, filters_0=64, ...``
``tune.seconds``                                          duration of the search
``train.accuracy_curve``, ``.loss_curve``                 one value an epoch, training images
``train.validation_accuracy_curve``                       one value an epoch
``train.validation_loss_curve``                           one value an epoch
``train.best_validation_accuracy``                        of the best epoch
``train.last_validation_accuracy``                        of the last epoch
``train.parameters``                                      weights and biases of the network
``train.seconds``                                         duration of the training
``evaluate.accuracy``, ``.macro_precision``               on the test split
``evaluate.macro_recall``, ``.macro_f1``                  on the test split
``evaluate.weakest_class``                                the class with the lowest F1
``evaluate.weakest_classes``                              the two with the lowest F1, lowest first
``evaluate.class.NAME.precision``, ``.recall``, ``.f1``   of one class on the test split
``evaluate.class.NAME.total_cases``                       images of the class
``evaluate.class.NAME.total_predictions``                 images predicted as the class
``evaluate.class.NAME.correct``                           of them, rightly
``cross_validate.PROTOCOL.accuracy``                      mean over the folds
``cross_validate.PROTOCOL.macro_precision``               mean over the folds
``cross_validate.PROTOCOL.macro_recall``                  mean over the folds
``cross_validate.PROTOCOL.macro_f1``                      mean over the folds
========================================================  ==========================================

PROTOCOL is ``fresh`` or ``warm-start``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tenfold.core.errors import SettingsError, unknown_name_message
from tenfold.core.record import Reference, ReferenceValue
from tenfold.core.records.data import ExploreRecord
from tenfold.core.records.evaluation import CrossValidateRecord, EvaluateRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.records.tuning import TuneRecord
from tenfold.report.findings.evaluation import MACRO_SCORES, weakest_first
from tenfold.report.findings.tuning import settings_text
from tenfold.report.formats import count, duration, join, score, signed
from tenfold.report.records import StudyRecords


@dataclass(frozen=True)
class Difference:
    """Ours less the original's; of text, what the two have in common.

    Parameters
    ----------
    kind
        ``settings`` are texts that assign values, ``names`` lists of names.
    values
        Of numbers, one each; of curves the one of `epoch`.
    epoch
        The last that both curves have.
    names
        Settings of which the two have different values, or the names that both list.
    """

    kind: Literal["numbers", "curves", "same text", "settings", "names"]
    values: tuple[float, ...] = ()
    epoch: int | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReproductionRow:
    """One line of the reproduction table."""

    reference: Reference
    ours: ReferenceValue | None
    """None where the stage was not run, or the data lack the class."""
    lacks_class: bool
    difference: Difference | None


@dataclass(frozen=True)
class CurvePair:
    """A curve of the original and ours, each one value an epoch."""

    label: str
    original: tuple[float, ...]
    ours: tuple[float, ...]


def reproduction_rows(records: StudyRecords) -> list[ReproductionRow]:
    """Put every reference beside our measure of the same name.

    Raises
    ------
    SettingsError
        If a reference points to a measure that does not exist; suggests the near names.
    """
    found = measures(records)
    classes = records.acquire.classes
    rows = []
    for reference in records.references:
        check_measure_name(reference.measure, classes)
        ours = found.get(reference.measure)
        match = re.fullmatch(r"\w+\.class\.(.+)\.\w+", reference.measure)
        rows.append(
            ReproductionRow(
                reference=reference,
                ours=ours,
                lacks_class=match is not None and match.group(1) not in classes,
                difference=None if ours is None else _difference(reference.value, ours),
            )
        )
    return rows


def curve_pairs(records: StudyRecords) -> list[CurvePair]:
    """Give the references that are curves and that we have ours of."""
    found = measures(records)
    pairs = []
    for reference in records.references:
        ours = found.get(reference.measure)
        if is_curve(reference.value) and isinstance(ours, tuple) and ours:
            assert isinstance(reference.value, tuple)
            pairs.append(CurvePair(reference.label, reference.value, ours))
    return pairs


_CURVE_LENGTH = 5
"""A list of at least this many values is a curve: summed up in the table, drawn in a figure."""


def is_curve(value: ReferenceValue) -> bool:
    """Say whether a value is one of so many that it is a curve."""
    return isinstance(value, tuple) and len(value) >= _CURVE_LENGTH


_WHOLE_NUMBERS = ("total_cases", "total_predictions", "correct", "parameters")


def measured(value: float, measure: str, *, is_signed: bool = False) -> str:
    """Write a number as those of its measure are written: a duration, a count or a score."""
    last = measure.rpartition(".")[2]
    # Pixel statistics are compared to the fifth digit, as the original prints them.
    digits = 5 if measure.startswith("explore.") else 4
    if last != "seconds" and last not in _WHOLE_NUMBERS:
        return signed(value, digits) if is_signed else score(value, digits)
    text = duration(abs(value)) if last == "seconds" else count(abs(round(value)))
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{text}" if is_signed else text


def _difference(original: ReferenceValue, ours: ReferenceValue) -> Difference | None:
    if isinstance(original, str) or isinstance(ours, str):
        return _difference_of_texts(str(original), str(ours))
    if isinstance(original, tuple) and isinstance(ours, tuple):
        if not is_curve(original) and not is_curve(ours):
            pairs = zip(original, ours, strict=False)
            return Difference("numbers", tuple(after - before for before, after in pairs))
        epoch = min(len(original), len(ours))
        if not epoch:
            return None
        return Difference("curves", (ours[epoch - 1] - original[epoch - 1],), epoch)
    if isinstance(original, tuple) or isinstance(ours, tuple):
        return None
    return Difference("numbers", (ours - original,))


def _difference_of_texts(original: str, ours: str) -> Difference:
    if "=" in original and "=" in ours:
        before, after = _assignments(original), _assignments(ours)
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return Difference("settings" if changed else "same text", names=tuple(changed))
    before_names, after_names = _names(original), _names(ours)
    if before_names == after_names:
        return Difference("same text")
    return Difference("names", names=tuple(sorted(before_names & after_names)))


def _assignments(text: str) -> dict[str, str]:
    parts = (part.partition("=") for part in text.split(","))
    # "filters.0" and "filters_0" are one setting.
    return {name.strip().replace(".", "_"): value.strip() for name, sign, value in parts if sign}


def _names(text: str) -> set[str]:
    return {name.strip() for name in re.split(r",| and ", text) if name.strip()}


Measures = dict[str, ReferenceValue]

_PROTOCOLS = ("fresh", "warm-start")
_CLASS_SCORES = ("precision", "recall", "f1", "total_cases", "total_predictions", "correct")
_CLASS_STATISTICS = ("mean", "standard_deviation")
_PLAIN_NAMES = (
    "explore.channel_means",
    "explore.channel_standard_deviations",
    "tune.best_validation_accuracy",
    "tune.best_settings",
    "tune.seconds",
    "train.accuracy_curve",
    "train.loss_curve",
    "train.validation_accuracy_curve",
    "train.validation_loss_curve",
    "train.best_validation_accuracy",
    "train.last_validation_accuracy",
    "train.parameters",
    "train.seconds",
    "evaluate.weakest_class",
    "evaluate.weakest_classes",
    *(f"evaluate.{score}" for score in MACRO_SCORES),
    *(f"cross_validate.{protocol}.{score}" for protocol in _PROTOCOLS for score in MACRO_SCORES),
)


def measures(records: StudyRecords) -> Measures:
    """Give every measure that the study's complete stages allow, by name."""
    found: Measures = {}
    if records.explore is not None:
        found |= _explore(records.explore)
    if records.tune is not None:
        found |= _tune(records.tune)
    if records.train is not None:
        found |= _train(records.train)
    if records.evaluate is not None:
        found |= _evaluate(records.evaluate)
    if records.cross_validate is not None:
        found |= _cross_validate(records.cross_validate)
    return found


def check_measure_name(name: str, classes: Sequence[str]) -> None:
    """Check that a measure of this name can exist, whatever the data set and the stages run.

    A class that the data set lacks is no error: a recipe's references are about the original's
    data set, and a study may run the recipe on another one.

    Raises
    ------
    SettingsError
        If the name is no measure's; suggests the near ones.
    """
    for prefix, scores in (
        ("evaluate.class.", _CLASS_SCORES),
        ("explore.class.", _CLASS_STATISTICS),
    ):
        if name.startswith(prefix) and name.rpartition(".")[2] in scores:
            return
    if name in _PLAIN_NAMES:
        return
    known = [
        *_PLAIN_NAMES,
        *(f"evaluate.class.{label}.{score}" for label in classes for score in _CLASS_SCORES),
        *(f"explore.class.{label}.{value}" for label in classes for value in _CLASS_STATISTICS),
    ]
    # All names of 100 classes would bury the message: near ones come from all, the list is short.
    shown = [*_PLAIN_NAMES, "evaluate.class.NAME.f1", "explore.class.NAME.mean"]
    near = unknown_name_message("measure", name, known).split(" Known: ")[0]
    raise SettingsError(f"{near} Known: {', '.join(sorted(shown))}.")


def _explore(record: ExploreRecord) -> Measures:
    found: Measures = {
        "explore.channel_means": record.channel_means,
        "explore.channel_standard_deviations": record.channel_standard_deviations,
    }
    for statistics in record.classes:
        if statistics.count:
            name = f"explore.class.{statistics.name}"
            found[f"{name}.mean"] = statistics.mean
            found[f"{name}.standard_deviation"] = statistics.standard_deviation
    return found


def _tune(record: TuneRecord) -> Measures:
    return {
        "tune.best_validation_accuracy": record.best_value,
        "tune.best_settings": settings_text(record.best_parameters),
        "tune.seconds": record.seconds,
    }


def _train(record: TrainRecord) -> Measures:
    found: Measures = {
        "train.accuracy_curve": tuple(epoch.train_accuracy for epoch in record.history),
        "train.loss_curve": tuple(epoch.train_loss for epoch in record.history),
        "train.parameters": float(record.parameter_count),
        "train.seconds": record.seconds,
    }
    accuracy = [epoch.validation_accuracy for epoch in record.history]
    present = tuple(value for value in accuracy if value is not None)
    if present and len(present) == len(accuracy):
        found["train.validation_accuracy_curve"] = present
        found["train.best_validation_accuracy"] = max(present)
        found["train.last_validation_accuracy"] = present[-1]
    loss = [epoch.validation_loss for epoch in record.history]
    losses = tuple(value for value in loss if value is not None)
    if losses and len(losses) == len(loss):
        found["train.validation_loss_curve"] = losses
    return found


def _evaluate(record: EvaluateRecord) -> Measures:
    found: Measures = {
        f"evaluate.{score}": float(getattr(record.scores, score)) for score in MACRO_SCORES
    }
    weakest = [scores.name for scores in weakest_first(record)]
    if weakest:
        found["evaluate.weakest_class"] = weakest[0]
        found["evaluate.weakest_classes"] = join(weakest[:2])
    for scores in record.scores.classes:
        for name in _CLASS_SCORES:
            found[f"evaluate.class.{scores.name}.{name}"] = float(getattr(scores, name))
    return found


def _cross_validate(record: CrossValidateRecord) -> Measures:
    return {
        f"cross_validate.{protocol.name}.{score}": protocol.means[score]
        for protocol in record.protocols
        for score in MACRO_SCORES
        if score in protocol.means
    }
