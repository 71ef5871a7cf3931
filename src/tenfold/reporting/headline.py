"""The few numbers and sentences that a reader in a hurry needs."""

from __future__ import annotations

from dataclasses import dataclass

from tenfold.core.records.cross_validate import ProtocolRecord
from tenfold.core.records.evaluate import EvaluateRecord
from tenfold.reporting.formats import (
    MISSING,
    count,
    counted,
    duration,
    in_sentence,
    interval,
    join,
    percent,
    percent_interval,
    score,
)
from tenfold.reporting.imbalance import is_imbalanced
from tenfold.reporting.interpretation_cross_validation import test_margin
from tenfold.reporting.interpretation_evaluation import guessing_accuracy
from tenfold.reporting.interpretation_repeats import mean_text
from tenfold.reporting.measures import weakest_first
from tenfold.reporting.study_records import StudyRecords

_WIDELY_APART = 0.1
"""Scores that differ by more do not agree, even where few images leave that to chance."""


@dataclass(frozen=True)
class Tile:
    """One number of the headline."""

    label: str
    value: str
    detail: str


def tiles(records: StudyRecords) -> list[Tile]:
    """Give the headline's numbers; a dash where a stage was not run."""
    evaluate = records.evaluate
    acquire = records.acquire
    images = sum(acquire.train_counts) + sum(acquire.test_counts)
    found = [
        Tile("Data set", acquire.title, f"{count(images)} images, {len(acquire.classes)} classes")
    ]
    if evaluate is None:
        found += [
            Tile("Test accuracy", MISSING, "evaluate was not run"),
            Tile("Macro F1", MISSING, "evaluate was not run"),
        ]
    else:
        found += [
            _accuracy_tile(records, evaluate),
            Tile(
                "Macro F1",
                score(evaluate.scores.macro_f1),
                f"95% interval {interval(evaluate.intervals.macro_f1)}{_untested(evaluate)}",
            ),
        ]
    found += [_cross_validation_tile(records), _weakest_tile(records), _time_tile(records)]
    return found


def verdict(records: StudyRecords) -> str:
    """Give the study's result in one sentence."""
    if records.evaluate is None:
        return "The model has not been tested yet, so nothing can be said about new images."
    scores = records.evaluate.scores
    parts = [_imbalanced_part(records.evaluate)] if is_imbalanced(records.acquire) else []
    start = "counting every image alike, it" if parts else "On images it has never seen, the model"
    parts.append(
        f"{start} names the right class in {_of_hundred(scores.accuracy)} cases out of 100, "
        f"{_against_guessing(records.evaluate)}"
    )
    weakest = weakest_first(records.evaluate)
    if weakest and weakest[0].f1 < 1 and len(scores.classes) > 2:
        parts.append(f"it is weakest at {in_sentence(weakest[0].name)}")
    parts += _cross_validated_parts(records, records.evaluate)
    return "; ".join(parts) + "."


def _cross_validated_parts(records: StudyRecords, evaluate: EvaluateRecord) -> list[str]:
    protocol = _honest_protocol(records)
    if protocol is None:
        return []
    mean = protocol.means["accuracy"]
    given = f"cross-validation gives {percent(mean)}"
    if is_imbalanced(records.acquire):
        of_class = percent(protocol.means["macro_recall"])
        given = f"cross-validation finds {of_class} of a class on average"
    if records.train is not None and _differ(protocol.epochs, records.train.epochs):
        instead = f"{protocol.epochs} epochs a fold instead of {records.train.epochs}"
        return [f"and {given} with {instead}"]
    apart = abs(evaluate.scores.accuracy - mean)
    if apart <= test_margin(protocol, evaluate):
        if apart > _WIDELY_APART:
            return [f"and {given}, which so few images leave to chance"]
        return ["and cross-validation agrees"]
    return [f"and {given}, which differs by more than chance"]


def _differ(epochs: int, others: int) -> bool:
    """Say whether trainings differ in length by more than a least number of steps explains.

    Folds have fewer images than the whole, so they need more epochs for as many steps, and a time
    budget makes a few more or fewer.
    """
    return max(epochs, others) > 1.5 * min(epochs, others)


def total_seconds(records: StudyRecords) -> float:
    """Give the wall time of all complete stages."""
    return sum(manifest.seconds for manifest in records.manifests.values())


def _untested(evaluate: EvaluateRecord) -> str:
    """Say why macro scores are low where each class that was tested is recognised."""
    without = sum(not one.total_cases for one in evaluate.scores.classes)
    return f"; {counted(without, 'class', 'classes')} without a test image counted as 0" * bool(
        without
    )


def _of_hundred(accuracy: float) -> str:
    rounded = round(100 * accuracy)
    # 99.6% is not "100 of 100", nor 0.4% "0 of 100".
    if (rounded == 100 and accuracy < 1) or (rounded == 0 and accuracy > 0):
        return f"{100 * accuracy:.1f}"
    return str(rounded)


def _imbalanced_part(evaluate: EvaluateRecord) -> str:
    """Begin with what all classes have in common where accuracy is that of the large ones."""
    present = [one for one in evaluate.scores.classes if one.total_cases]
    worst = min(present, key=lambda one: one.recall)
    found = (
        f"Of 100 images of a class, which it has never seen, the model finds "
        f"{_of_hundred(evaluate.scores.balanced_accuracy)} on average over the classes"
    )
    if worst.recall >= evaluate.scores.balanced_accuracy:
        return found
    return f"{found}, but only {_of_hundred(worst.recall)} of {in_sentence(worst.name)}"


def _accuracy_tile(records: StudyRecords, evaluate: EvaluateRecord) -> Tile:
    """Give accuracy, or what says more where classes differ in size."""
    scores, intervals, repeats = evaluate.scores, evaluate.intervals, records.repeats
    of_runs = f"; mean of {len(repeats.runs)} runs {mean_text(repeats)}" if repeats else ""
    if is_imbalanced(records.acquire):
        return Tile(
            "Balanced accuracy",
            percent(scores.balanced_accuracy),
            f"95% interval {percent_interval(intervals.balanced_accuracy)}; plain accuracy "
            f"{percent(scores.accuracy)}{of_runs}",
        )
    return Tile(
        "Test accuracy",
        percent(scores.accuracy),
        f"95% interval {percent_interval(intervals.accuracy)}{of_runs}",
    )


def _against_guessing(evaluate: EvaluateRecord) -> str:
    baseline = guessing_accuracy(evaluate.scores)
    ends = evaluate.intervals.accuracy
    always = f"always naming the largest class ({_of_hundred(baseline)})"
    if ends.low > baseline:
        return f"against {_of_hundred(baseline)} by always naming the largest class"
    return f"worse than {always}" if ends.high < baseline else f"not clearly better than {always}"


def _honest_protocol(records: StudyRecords) -> ProtocolRecord | None:
    if records.cross_validate is None:
        return None
    return next((p for p in records.cross_validate.protocols if not p.is_leaky), None)


def _cross_validation_tile(records: StudyRecords) -> Tile:
    label = "Cross-validation"
    if records.cross_validate is None or not records.cross_validate.protocols:
        reason = "left out" if "cross-validate" in records.skipped else "cross-validate was not run"
        return Tile(label, MISSING, reason)
    protocol = _honest_protocol(records) or records.cross_validate.protocols[0]
    name = "macro_recall" if is_imbalanced(records.acquire) else "accuracy"
    mean, spread = protocol.means[name], protocol.standard_deviations[name]
    leak = ", a leak" if protocol.is_leaky else ""
    ends = f"; 95% interval {interval(protocol.intervals[name])}" if protocol.intervals else ""
    return Tile(
        label,
        f"{score(mean)} ± {score(spread)}",
        f"{name.replace('_', ' ')}, {len(protocol.folds)} folds ({protocol.name}{leak}){ends}",
    )


def _weakest_tile(records: StudyRecords) -> Tile:
    if records.evaluate is None:
        return Tile("Weakest class", MISSING, "evaluate was not run")
    weakest = weakest_first(records.evaluate)
    if not weakest or weakest[0].f1 >= 1:
        tested = "tested class" if _untested(records.evaluate) else "class"
        return Tile("Weakest class", "none", f"every {tested} has F1 1")
    worst = weakest[0]
    place = records.evaluate.scores.classes.index(worst)
    ends = records.evaluate.intervals.classes[place]
    detail = f"F1 {score(worst.f1)}, 95% interval {interval(ends.f1)}"
    if is_imbalanced(records.acquire):
        detail = f"F1 {score(worst.f1)}, recall {score(worst.recall)} ({interval(ends.recall)})"
    return Tile("Weakest class", worst.name, detail)


def _time_tile(records: StudyRecords) -> Tile:
    devices = dict.fromkeys(manifest.device for manifest in records.manifests.values())
    return Tile(
        "Time",
        duration(total_seconds(records)),
        f"{len(records.manifests)} stages" + (f" on {join(devices)}" if devices else ""),
    )
