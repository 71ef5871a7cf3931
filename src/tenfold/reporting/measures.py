"""Named measures of a study: what a recipe's references point to.

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

from collections.abc import Mapping, Sequence

from tenfold.core.errors import SettingsError, unknown_name_message
from tenfold.core.record import ReferenceValue
from tenfold.core.records.data import ExploreRecord
from tenfold.core.records.evaluation import ClassScores, CrossValidateRecord, EvaluateRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.records.tuning import ParameterValue, TuneRecord
from tenfold.reporting.formats import join, setting_name, setting_value
from tenfold.reporting.study_records import StudyRecords

Measures = dict[str, ReferenceValue]

PROTOCOLS = ("fresh", "warm-start")
MACRO_SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
SCORE_TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_precision": "Precision (macro)",
    "macro_recall": "Recall (macro)",
    "macro_f1": "F1 (macro)",
}
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
    *(f"cross_validate.{protocol}.{score}" for protocol in PROTOCOLS for score in MACRO_SCORES),
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


def settings_text(parameters: Mapping[str, ParameterValue]) -> str:
    """Write settings on one line: ``conv_layers=2, filters_0=64, optimizer=rmsprop``."""
    return ", ".join(
        f"{setting_name(name)}={setting_value(value)}" for name, value in parameters.items()
    )


def weakest_first(evaluate: EvaluateRecord) -> list[ClassScores]:
    """Sort the classes that have test images by F1, the lowest first; ties by recall, then name."""
    present = [scores for scores in evaluate.scores.classes if scores.total_cases > 0]
    return sorted(present, key=lambda scores: (scores.f1, scores.recall, scores.name))


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
        for score in _CLASS_SCORES:
            found[f"evaluate.class.{scores.name}.{score}"] = float(getattr(scores, score))
    return found


def _cross_validate(record: CrossValidateRecord) -> Measures:
    return {
        f"cross_validate.{protocol.name}.{score}": protocol.means[score]
        for protocol in record.protocols
        for score in MACRO_SCORES
        if score in protocol.means
    }
