"""What of a study is logged, whoever takes it: settings, curves, scores, files, the model.

Names are those of both MLflow and TensorBoard, which group what has a part before a slash in
common. Times are those of the study, so that the same study gives the same facts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tenfold.core.errors import RunFolderError
from tenfold.core.files import sha256_of_json
from tenfold.core.record import Interval
from tenfold.core.records.training import EpochRecord
from tenfold.core.run_folder import MANIFEST, SETTINGS, Manifest, RunFolder
from tenfold.core.text import printable, readable
from tenfold.report.records import StudyRecords, read_study_records

_FORMAT = 1
"""Raised when the same study is to be logged anew, as more of it is logged."""
MOST_CLASSES = 100
"""With more, scores of single classes are in the records' files alone."""
_LONGEST_CLASS = 100
_NOT_IN_A_NAME = re.compile(r"[^\w. \-]")
_EXPECTED = {
    "train": "curves",
    "evaluate": "scores",
    "model": "the model",
    "report": "figures and page",
}
"""Stages that a whole log has, and what is missing without them."""
_RECORDS = ("acquire", "explore", "tune", "train", "evaluate", "cross-validate", "audit")
_TABLES = ("train/history.csv", "audit/label_issues.csv", "audit/duplicates.csv")


@dataclass(frozen=True)
class Point:
    """A number at one moment."""

    value: float
    step: int
    at_ms: int
    """Since 1970, UTC."""


@dataclass(frozen=True)
class StudyFacts:
    """What of a study is logged.

    Parameters
    ----------
    name
        Of the run folder.
    study
        SHA-256 over the settings and the data as they were acquired: the same study, wherever its
        folder lies and however much of it is done.
    training
        Digest of the train stage; None before it is complete. One training is one run.
    digest
        Over everything that is logged.
    settings
        By dotted name; texts as JSON has them, but without the quotes.
    scores
        Numbers of the whole study, by name.
    curves
        Numbers of each epoch, by name.
    tags
        What data and program it is of.
    files
        By their place among the artifacts.
    figures
        PNG files by the figure's name.
    model
        The model folder; None without one.
    model_digest
        Over its files.
    started_ms, ended_ms
        Of the study, since 1970.
    missing
        What is not there yet, for people.
    """

    name: str
    study: str
    training: str | None
    digest: str
    settings: dict[str, str]
    scores: dict[str, Point]
    curves: dict[str, tuple[Point, ...]]
    tags: dict[str, str]
    files: dict[str, Path]
    figures: dict[str, Path]
    model: Path | None
    model_digest: str | None
    started_ms: int
    ended_ms: int
    missing: tuple[str, ...]


def study_facts(run_folder: Path) -> StudyFacts:
    """Read what there is of a study.

    Raises
    ------
    RunFolderError
        If there is no study, its data set was not acquired, or a file is damaged.
    """
    run_folder = run_folder.resolve()
    records = read_study_records(run_folder)
    manifests = dict(records.manifests)
    report = run_folder / "report" / MANIFEST
    if report.is_file() and "report" not in RunFolder(run_folder).outdated():
        manifests["report"] = Manifest.read(report)
    digests = {stage: sha256_of_json(one.files) for stage, one in manifests.items()}
    acquired = manifests["acquire"]
    study = sha256_of_json([records.settings, digests["acquire"], acquired.started])
    repeats = records.repeats.model_dump(mode="json") if records.repeats is not None else None
    figures = sorted((run_folder / "report" / "figures").glob("*.png"))
    return StudyFacts(
        name=printable(run_folder.name),
        study=study,
        training=digests.get("train"),
        digest=sha256_of_json([_FORMAT, study, digests, repeats]),
        settings=dict(_flat(_own_settings(records))),
        scores=dict(_scores(records)),
        curves=_curves(records),
        tags=_tags(records),
        files=_files(run_folder, manifests),
        figures={path.stem: path for path in figures} if "report" in manifests else {},
        model=run_folder / "model" if "model" in manifests else None,
        model_digest=digests.get("model"),
        started_ms=min(_milliseconds(one) for one in manifests.values()),
        ended_ms=max(_milliseconds(one) + round(one.seconds * 1000) for one in manifests.values()),
        missing=tuple(
            f"{what} (stage {stage})" for stage, what in _EXPECTED.items() if stage not in manifests
        ),
    )


def _own_settings(records: StudyRecords) -> dict[str, object]:
    """Give the settings but the published values, which are no choice of the study's."""
    return {name: one for name, one in records.settings.items() if name != "references"}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            yield f"{prefix}{name}", readable(value)
        else:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)


def _milliseconds(manifest: Manifest) -> int:
    try:
        return round(datetime.fromisoformat(manifest.started).timestamp() * 1000)
    except ValueError:
        raise RunFolderError(
            f"The manifest of the stage {manifest.stage} says that it began at "
            f"{manifest.started[:40]!r}, which is no time. It was changed by hand or damaged; "
            f"remove its folder and run the same command again."
        ) from None


def _curves(records: StudyRecords) -> dict[str, tuple[Point, ...]]:
    if records.train is None:
        return {}
    began = _milliseconds(records.manifests["train"])
    found: dict[str, list[Point]] = {}
    seconds = 0.0
    for epoch in records.train.history:
        seconds += epoch.seconds
        for name, value in _of_epoch(epoch).items():
            if value is not None:
                point = Point(value, epoch.epoch, began + round(1000 * seconds))
                found.setdefault(name, []).append(point)
    return {name: tuple(points) for name, points in found.items()}


def _of_epoch(epoch: EpochRecord) -> dict[str, float | None]:
    return {
        "train/loss": epoch.train_loss,
        "train/accuracy": epoch.train_accuracy,
        "validation/loss": epoch.validation_loss,
        "validation/accuracy": epoch.validation_accuracy,
        "train/learning_rate": epoch.learning_rate,
        "train/epoch_seconds": epoch.seconds,
    }


def _scores(records: StudyRecords) -> Iterator[tuple[str, Point]]:
    """Give the study's numbers, each at the moment at which its stage ended."""
    for stage, values in (
        ("train", _of_training(records)),
        ("evaluate", _of_test(records)),
        ("evaluate", _of_repeats(records)),
        ("cross-validate", _of_folds(records)),
        ("audit", _of_audit(records)),
        ("model", _of_promises(records)),
    ):
        if (manifest := records.manifests.get(stage)) is not None:
            ended = _milliseconds(manifest) + round(1000 * manifest.seconds)
            for name, value in values:
                yield name, Point(float(value), 0, ended)


def _with_interval(
    name: str, value: float, interval: Interval | None
) -> Iterator[tuple[str, float]]:
    yield name, value
    if interval is not None:
        yield f"{name}_low", interval.low
        yield f"{name}_high", interval.high


def _of_training(records: StudyRecords) -> Iterator[tuple[str, float]]:
    if records.train is not None:
        yield "model/parameters", records.train.parameter_count
        yield "train/seconds", records.manifests["train"].seconds


def _of_test(records: StudyRecords) -> Iterator[tuple[str, float]]:
    evaluate = records.evaluate
    if evaluate is None:
        return
    scores, intervals, calibration = evaluate.scores, evaluate.intervals, evaluate.calibration
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "macro_precision", "macro_recall"):
        yield from _with_interval(f"test/{name}", getattr(scores, name), getattr(intervals, name))
    yield "test/log_loss", scores.log_loss
    yield "test/brier_score", calibration.after.brier_score
    yield "test/expected_calibration_error", calibration.after.expected_calibration_error
    yield "test/images", scores.count
    if (views := evaluate.with_views) is not None:
        yield from _with_interval("test/accuracy_with_views", views.accuracy, views.interval)
    if evaluate.robustness is not None:
        for disturbed in evaluate.robustness.corruptions:
            name = f"robustness/fall_{safe_name(disturbed.name)}"
            yield from _with_interval(name, disturbed.fall, disturbed.fall_interval)
    if len(scores.classes) <= MOST_CLASSES:
        names = unique_names(one.name for one in scores.classes)
        for name, one, interval in zip(names, scores.classes, intervals.classes, strict=True):
            for score in ("f1", "precision", "recall"):
                value, ends = getattr(one, score), getattr(interval, score)
                yield from _with_interval(f"class/{name}/{score}", value, ends)


def _of_repeats(records: StudyRecords) -> Iterator[tuple[str, float]]:
    if (repeats := records.repeats) is None:
        return
    yield "runs/count", len(repeats.runs)
    for name, mean in repeats.means.items():
        yield from _with_interval(f"runs/{safe_name(name)}", mean, repeats.intervals.get(name))
        if (deviation := repeats.standard_deviations.get(name)) is not None:
            yield f"runs/{safe_name(name)}_standard_deviation", deviation


def _of_folds(records: StudyRecords) -> Iterator[tuple[str, float]]:
    if records.cross_validate is None:
        return
    for protocol in records.cross_validate.protocols:
        for name, mean in protocol.means.items():
            full = f"cross-validation/{safe_name(protocol.name)}_{safe_name(name)}"
            yield from _with_interval(full, mean, protocol.intervals.get(name))
            yield f"{full}_standard_deviation", protocol.standard_deviations[name]


def _of_audit(records: StudyRecords) -> Iterator[tuple[str, float]]:
    if records.audit is None:
        return
    for labels in records.audit.labels:
        yield f"audit/{labels.split}_labels_worth_a_look", labels.flagged
    leaked = records.audit.duplicates.leaked_test_images
    yield "audit/test_images_also_in_training", leaked


def _of_promises(records: StudyRecords) -> Iterator[tuple[str, float]]:
    promised = records.guarantees
    if promised is None:
        return
    if promised.sets is not None and (sets := promised.sets.test) is not None:
        yield from _with_interval("promises/set_coverage", sets.coverage, sets.interval)
        yield "promises/set_mean_size", sets.mean_size
    if promised.unlike is not None and (unlike := promised.unlike.test) is not None:
        yield from _with_interval("promises/unlike_share", unlike.share, unlike.interval)


def _tags(records: StudyRecords) -> dict[str, str]:
    acquire = records.acquire
    versions = records.manifests["acquire"].versions
    found = {
        "tenfold.version": versions.get("tenfold", ""),
        "tenfold.recipe": records.recipe_name,
        "tenfold.run_folder": readable(str(records.run_folder)),
        "tenfold.device": records.manifests["acquire"].device,
        "data.title": readable(acquire.title),
        "data.source": acquire.source,
        "data.location": readable(acquire.location),
        "data.classes": str(len(acquire.classes)),
        "data.train_images": str(sum(acquire.train_counts)),
        "data.test_images": str(sum(acquire.test_counts)),
        "data.train_sha256": acquire.train_sha256,
        "data.test_sha256": acquire.test_sha256,
    }
    if records.train is not None:
        found["tenfold.device"] = records.manifests["train"].device
        found["model.name"] = records.train.model
    return {name: value for name, value in found.items() if value}


def _files(run_folder: Path, manifests: Mapping[str, Manifest]) -> dict[str, Path]:
    found = {SETTINGS: run_folder / SETTINGS}
    for stage in _RECORDS:
        if stage in manifests:
            found[f"records/{stage}.json"] = run_folder / stage / "record.json"
    for table in _TABLES:
        stage, _, name = table.partition("/")
        if stage in manifests and name in manifests[stage].files:
            found[table] = run_folder / table
    if "report" in manifests:
        for name in manifests["report"].files:
            found[name] = run_folder / "report" / name
    return found


def safe_name(name: str) -> str:
    """Give a name that MLflow takes as a part of a metric's: letters, digits, ``_-.`` and spaces.

    Others become ``_``, and one that is a path's own (``..``) or empty gets one in front.
    """
    safe = _NOT_IN_A_NAME.sub("_", readable(name))[:_LONGEST_CLASS].strip()
    return f"_{safe}" if not safe.strip(".") else safe


def unique_names(names: Iterator[str]) -> list[str]:
    """Give safe names, a number behind those that are alike by now."""
    found: list[str] = []
    for name in map(safe_name, names):
        unique, number = name, 1
        while unique in found:
            number += 1
            unique = f"{name} {number}"
        found.append(unique)
    return found
