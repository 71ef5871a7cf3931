"""Everything the report shows, read from a run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from tenfold.core.array_files import load_arrays
from tenfold.core.errors import RunFolderError
from tenfold.core.records.acquire import AcquireRecord
from tenfold.core.records.audit import AuditRecord
from tenfold.core.records.cross_validate import CrossValidateRecord
from tenfold.core.records.evaluate import ClassificationScores, EvaluateRecord
from tenfold.core.records.explore import ExploreRecord
from tenfold.core.records.manifest import Manifest
from tenfold.core.records.record import Record
from tenfold.core.records.reference import Reference
from tenfold.core.records.repeats import RepeatsRecord
from tenfold.core.records.train import TrainRecord
from tenfold.core.records.tune import TuneRecord
from tenfold.core.regular_files import MOST_TEXT_BYTES, read_regular_file
from tenfold.core.run_folder import REPEATS_RECORD
from tenfold.reporting.audited_pictures import AuditedPictures
from tenfold.reporting.evaluated_images import EvaluatedImages
from tenfold.reporting.explained_mistakes import ExplainedMistakes

STAGES = ("acquire", "explore", "tune", "train", "evaluate", "cross-validate", "audit", "model")
"""The stages that the report shows, in order; also their folder and command names."""

Pixels = npt.NDArray[np.uint8]
R = TypeVar("R", bound=Record)


@dataclass(frozen=True, eq=False)
class StudyRecords:
    """What the stages of a study left in its run folder; a stage that was not run gives None.

    Parameters
    ----------
    settings
        The resolved settings, nested plain data.
    recipe_name, recipe_title, recipe_description
        Of the recipe that the settings came from.
    references
        Published values that the recipe sets out to reproduce.
    acquire, explore, tune, train, evaluate, cross_validate
        The stages' records.
    repeats
        Of the same study with other seeds.
    manifests
        By stage name, in the stages' order; only stages that are complete.
    samples
        uint8, shape (classes, samples, H, W, C): training images of each class.
    sample_counts
        int64, shape (classes,): how many of each row of `samples` are images.
    augmented_original, augmented_images
        uint8, shapes (H, W, C) and (samples, H, W, C): one image, and it augmented many times.
    test_probabilities, test_labels
        float32, shape (N, classes), calibrated, and int64, shape (N,).
    evaluated_images
        Test images worth a look.
    explained_mistakes
        What explains the mistakes among them.
    audit
        What the audit found.
    audited_images
        Images that the audit shows.
    scores_as_given
        Scores on the test split with the source's own labels, where a person corrected some.
    run_folder
        Shown in the commands that complete the study.
    """

    settings: dict[str, object]
    recipe_name: str
    recipe_title: str
    recipe_description: str
    references: tuple[Reference, ...]
    acquire: AcquireRecord
    explore: ExploreRecord | None = None
    tune: TuneRecord | None = None
    train: TrainRecord | None = None
    evaluate: EvaluateRecord | None = None
    cross_validate: CrossValidateRecord | None = None
    repeats: RepeatsRecord | None = None
    manifests: dict[str, Manifest] = field(default_factory=dict)
    samples: Pixels | None = None
    sample_counts: npt.NDArray[np.int64] | None = None
    augmented_original: Pixels | None = None
    augmented_images: Pixels | None = None
    test_probabilities: npt.NDArray[np.float32] | None = None
    test_labels: npt.NDArray[np.int64] | None = None
    evaluated_images: EvaluatedImages | None = None
    explained_mistakes: ExplainedMistakes | None = None
    audit: AuditRecord | None = None
    audited_images: AuditedPictures | None = None
    scores_as_given: ClassificationScores | None = None
    run_folder: Path = Path("RUN_FOLDER")


def read_study_records(run_folder: Path) -> StudyRecords:
    """Read what the complete stages of a run folder left.

    Raises
    ------
    RunFolderError
        If the folder holds no study, its data set was not acquired, or a file in it is damaged.
    """
    settings = _read_settings(run_folder)
    acquire = _read_stage(run_folder, "acquire", AcquireRecord)
    if acquire is None:
        raise RunFolderError(
            f"{run_folder} has no complete acquire stage, so there is nothing to report. "
            f"Run: tenfold acquire --out {run_folder}"
        )
    recipe = settings.get("recipe")
    recipe = recipe if isinstance(recipe, Mapping) else {}
    samples = _read_arrays(run_folder / "explore" / "samples.npz", "images", "counts")
    augmented = _read_arrays(run_folder / "explore" / "augmented.npz", "original", "images")
    predictions = _read_arrays(
        run_folder / "evaluate" / "predictions.npz", "probabilities", "labels"
    )
    gallery = _read_arrays(
        run_folder / "evaluate" / "gallery.npz", *(f.name for f in fields(EvaluatedImages))
    )
    explained = _read_arrays(
        run_folder / "evaluate" / "explained_mistakes.npz",
        *(f.name for f in fields(ExplainedMistakes)),
    )
    audited = _read_arrays(run_folder / "audit" / "images.npz", "ids", "images")
    as_given = run_folder / "evaluate" / "scores_as_given.json"
    repeats = run_folder / REPEATS_RECORD
    return StudyRecords(
        settings=settings,
        recipe_name=str(recipe.get("name", "")),
        recipe_title=str(recipe.get("title", "")),
        recipe_description=str(recipe.get("description", "")),
        references=_read_references(run_folder, settings.get("references")),
        acquire=acquire,
        explore=_read_stage(run_folder, "explore", ExploreRecord),
        tune=_read_stage(run_folder, "tune", TuneRecord),
        train=_read_stage(run_folder, "train", TrainRecord),
        evaluate=_read_stage(run_folder, "evaluate", EvaluateRecord),
        cross_validate=_read_stage(run_folder, "cross-validate", CrossValidateRecord),
        repeats=RepeatsRecord.read(repeats) if repeats.is_file() else None,
        manifests={
            stage: Manifest.read(run_folder / stage / "manifest.json")
            for stage in STAGES
            if _is_complete(run_folder, stage)
        },
        samples=samples.get("images"),
        sample_counts=samples.get("counts"),
        augmented_original=augmented.get("original"),
        augmented_images=augmented.get("images"),
        test_probabilities=predictions.get("probabilities"),
        test_labels=predictions.get("labels"),
        evaluated_images=EvaluatedImages(**gallery) if gallery else None,
        explained_mistakes=ExplainedMistakes(**explained) if explained else None,
        audit=_read_stage(run_folder, "audit", AuditRecord),
        audited_images=AuditedPictures(**audited) if audited else None,
        scores_as_given=ClassificationScores.read(as_given) if as_given.is_file() else None,
        run_folder=run_folder,
    )


def _is_complete(run_folder: Path, stage: str) -> bool:
    return (run_folder / stage / "manifest.json").is_file()


def _read_stage(run_folder: Path, stage: str, record: type[R]) -> R | None:
    if not _is_complete(run_folder, stage):
        return None
    return record.read(run_folder / stage / "record.json")


def _read_settings(run_folder: Path) -> dict[str, object]:
    path = run_folder / "settings.json"
    try:
        stored = json.loads(read_regular_file(path, MOST_TEXT_BYTES))
    except FileNotFoundError:
        raise RunFolderError(
            f"{run_folder} is not a run folder: it has no settings.json. Give the folder of a "
            "study with --out, or start one with: tenfold run"
        ) from None
    except (OSError, ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        raise RunFolderError(
            f"{path} is not readable JSON. It was changed by hand or damaged; choose another "
            "folder with --out."
        )
    return stored


def _read_references(run_folder: Path, stored: object) -> tuple[Reference, ...]:
    try:
        return TypeAdapter(tuple[Reference, ...]).validate_python(stored or [], strict=False)
    except ValidationError as error:
        raise RunFolderError(
            f"The references in {run_folder / 'settings.json'} are not valid "
            f"({error.error_count()} errors, the first: {error.errors()[0]['msg']}). "
            "Each needs a label, a measure and a value."
        ) from None


def _read_arrays(path: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """Read named arrays; none if the file or its stage's manifest is not there."""
    if not path.is_file() or not (path.parent / "manifest.json").is_file():
        return {}
    try:
        return load_arrays(path, *names)
    except (ValueError, OSError) as error:
        raise RunFolderError(
            f"{path} does not hold the arrays {' and '.join(names)} ({error}). It was changed or "
            "damaged; remove its folder and run the same command again."
        ) from None
