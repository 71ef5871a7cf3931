"""The study in a few sentences, for its end."""

from __future__ import annotations

from tenfold.reporting.formats import count, counted, in_sentence, join, percent, score, shape
from tenfold.reporting.imbalance import is_imbalanced
from tenfold.reporting.interpretation_data import IMBALANCE_RATIO
from tenfold.reporting.measures import settings_text, weakest_first
from tenfold.reporting.study_records import StudyRecords


def conclusions(records: StudyRecords) -> list[tuple[str, str]]:
    """Sum up each part of the study that was run, as title and sentence."""
    parts = (_data(records), _model(records), _scores(records), _robustness(records))
    return [part for part in parts if part is not None]


def _data(records: StudyRecords) -> tuple[str, str]:
    acquire = records.acquire
    total = sum(acquire.train_counts) + sum(acquire.test_counts)
    largest, smallest = max(acquire.train_counts), min(acquire.train_counts)
    even = "evenly" if smallest and largest / smallest < IMBALANCE_RATIO else "unevenly"
    lost = counted(len(acquire.left_out), "image")
    left_out = f"; {lost} could not be read" if acquire.left_out else ""
    size = shape(acquire.image_size_px)
    return (
        "Data",
        f"{counted(total, 'image')} of {size} pixels in {len(acquire.classes)} classes, the "
        f"training images spread {even} over the classes{left_out}.",
    )


def _model(records: StudyRecords) -> tuple[str, str] | None:
    train = records.train
    if train is None:
        return None
    text = (
        f"The network ({train.model}) has {count(train.parameter_count)} parameters and was "
        f"trained for {counted(len(train.history), 'epoch')} on "
        f"{counted(train.train_count, 'image')}."
    )
    if records.tune is not None:
        text += (
            f" A search of {counted(len(records.tune.trials), 'trial')} had found "
            f"{settings_text(records.tune.best_parameters)}."
        )
    return "Model", text


def _scores(records: StudyRecords) -> tuple[str, str] | None:
    evaluate = records.evaluate
    if evaluate is None:
        return None
    scores = evaluate.scores
    balanced = (
        f"Balanced accuracy {percent(scores.balanced_accuracy)}; plain test accuracy"
        if is_imbalanced(records.acquire)
        else "Test accuracy"
    )
    text = (
        f"{balanced} {percent(scores.accuracy)}, macro precision "
        f"{score(scores.macro_precision)}, recall {score(scores.macro_recall)}, F1 "
        f"{score(scores.macro_f1)}."
    )
    weakest = [c for c in weakest_first(evaluate) if c.f1 < 1]
    if weakest and len(scores.classes) > 2:
        listed = weakest[: 2 if len(scores.classes) >= 5 else 1]
        names = join(f"{in_sentence(c.name)} (F1 {score(c.f1)})" for c in listed)
        text += f" Most is to be gained at {names}."
    return "Performance", text


def _robustness(records: StudyRecords) -> tuple[str, str] | None:
    if records.cross_validate is None:
        return None
    texts = []
    name = "macro_recall" if is_imbalanced(records.acquire) else "accuracy"
    for protocol in records.cross_validate.protocols:
        mean, spread = protocol.means[name], protocol.standard_deviations[name]
        warning = (
            ", which is a leak and proves nothing about new images" if protocol.is_leaky else ""
        )
        texts.append(f"{score(mean)} ± {score(spread)} with the {protocol.name} protocol{warning}")
    folds = records.cross_validate.folds
    title = "a macro recall" if name == "macro_recall" else "an accuracy"
    return "Robustness", f"{folds}-fold cross-validation gives {title} of {join(texts)}."
