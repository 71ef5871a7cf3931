"""What a report reads from a run folder: the stages' records, and the images that it shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from tenfold.core.array_files import load_arrays
from tenfold.core.errors import RunFolderError
from tenfold.core.files import sha256_of_json
from tenfold.core.record import Record, Reference
from tenfold.core.records.choice import ChoiceRecord
from tenfold.core.records.data import AcquireRecord, AuditRecord, ExploreRecord
from tenfold.core.records.evaluation import (
    ClassificationScores,
    CrossValidateRecord,
    EvaluateRecord,
    ExplainedMistakes,
    RepeatsRecord,
)
from tenfold.core.records.guarantees import GuaranteesRecord
from tenfold.core.records.training import ModelRecord, TrainRecord
from tenfold.core.records.tuning import TuneRecord
from tenfold.core.run_folder import (
    CHOICE,
    MANIFEST,
    REPEATS_RECORD,
    Manifest,
    RunFolder,
    read_settings,
)
from tenfold.core.stages import shown_stages
from tenfold.evaluation.scores import Gallery

Pixels = npt.NDArray[np.uint8]
R = TypeVar("R", bound=Record)
A = TypeVar("A", Gallery, ExplainedMistakes)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images of the splits, found by what they are called.

    Parameters
    ----------
    keys
        Shape (N,), ascending: places in the test split, or identifiers as in
        `tenfold.core.records.data.LabelIssue`.
    images
        uint8, shape (N, H, W, C).
    """

    keys: npt.NDArray[Any]
    images: Pixels

    def at(self, keys: npt.ArrayLike) -> Pixels:
        """Give the images with these keys."""
        found: Pixels = self.images[np.searchsorted(self.keys, keys)]
        return found


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
    gallery, gallery_images
        Which test images are worth a look, and these by their places in the test split.
    explained_mistakes
        What explains the mistakes among them.
    audit
        What the audit found.
    guarantees
        What the finished model promises beside its probabilities.
    audited_images
        Images that the audit shows, by their identifiers.
    scores_as_given
        Scores on the test split with the source's own labels, where a person corrected some.
    run_folder
        Shown in the commands that complete the study.
    skipped
        Why a stage that is complete did nothing, by stage name.
    choice
        Why the recipe was chosen, where tenfold chose it.
    notices
        What a reader must know of the study's state: stages that failed or are out of date.
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
    gallery: Gallery | None = None
    gallery_images: Pictures | None = None
    explained_mistakes: ExplainedMistakes | None = None
    audit: AuditRecord | None = None
    guarantees: GuaranteesRecord | None = None
    audited_images: Pictures | None = None
    scores_as_given: ClassificationScores | None = None
    run_folder: Path = Path("RUN_FOLDER")
    skipped: dict[str, str] = field(default_factory=dict)
    choice: ChoiceRecord | None = None
    notices: tuple[str, ...] = ()


def read_study_records(
    run_folder: Path, *, shown: Collection[str] | None = None, notices: tuple[str, ...] = ()
) -> StudyRecords:
    """Read what the complete stages of a run folder left.

    Parameters
    ----------
    run_folder
        The study's.
    shown
        Names of the stages to read, the others count as not run; None for all that were made of
        what now lies in the folder.
    notices
        What the page is to say of the study's state.

    Raises
    ------
    RunFolderError
        If the folder holds no study, its data set was not acquired, or a file in it is damaged.
    """
    settings = _read_settings(run_folder)
    if shown is None:
        shown = set(shown_stages()) - RunFolder(run_folder).outdated()
    folder = _ShownStages(run_folder, frozenset(shown))
    acquire = folder.record("acquire", AcquireRecord)
    if acquire is None:
        raise RunFolderError(
            f"{run_folder} has no complete acquire stage, so there is nothing to report. "
            f"Run: tenfold acquire --out {run_folder}"
        )
    recipe = settings.get("recipe")
    recipe = recipe if isinstance(recipe, Mapping) else {}
    samples = folder.arrays("explore/samples.npz", "images", "counts")
    augmented = folder.arrays("explore/augmented.npz", "original", "images")
    predictions = folder.arrays("evaluate/predictions.npz", "probabilities", "labels")
    as_given = run_folder / "evaluate" / "scores_as_given.json"
    tune = folder.record("tune", TuneRecord)
    folds = folder.record("cross-validate", CrossValidateRecord)
    skipped = {}
    if tune is not None and tune.skipped is not None:
        skipped["tune"], tune = tune.skipped, None
    if folds is not None and folds.folds == 0:
        skipped["cross-validate"], folds = " ".join(folds.notes), None
    return StudyRecords(
        settings=settings,
        recipe_name=str(recipe.get("name", "")),
        recipe_title=str(recipe.get("title", "")),
        recipe_description=str(recipe.get("description", "")),
        references=_read_references(run_folder, settings.get("references")),
        acquire=acquire,
        explore=folder.record("explore", ExploreRecord),
        tune=tune,
        train=folder.record("train", TrainRecord),
        evaluate=folder.record("evaluate", EvaluateRecord),
        cross_validate=folds,
        repeats=folder.repeats(),
        manifests={
            stage: folder.manifest(stage) for stage in shown_stages() if folder.is_complete(stage)
        },
        samples=samples.get("images"),
        sample_counts=samples.get("counts"),
        augmented_original=augmented.get("original"),
        augmented_images=augmented.get("images"),
        test_probabilities=predictions.get("probabilities"),
        test_labels=predictions.get("labels"),
        gallery=folder.filled("evaluate/gallery.npz", Gallery),
        gallery_images=folder.pictures("evaluate/gallery.npz", keys="shown"),
        explained_mistakes=folder.filled("evaluate/explained_mistakes.npz", ExplainedMistakes),
        audit=folder.record("audit", AuditRecord),
        guarantees=folder.guarantees(),
        audited_images=folder.pictures("audit/images.npz", keys="ids"),
        scores_as_given=ClassificationScores.read(as_given)
        if folder.is_complete("evaluate") and as_given.is_file()
        else None,
        run_folder=run_folder,
        skipped=skipped,
        choice=_read_choice(run_folder, recipe.get("name")),
        notices=notices,
    )


@dataclass(frozen=True)
class _ShownStages:
    """The stages of a run folder that are read; the others are as if they were not there."""

    run_folder: Path
    names: frozenset[str]

    def is_complete(self, stage: str) -> bool:
        return stage in self.names and (self.run_folder / stage / MANIFEST).is_file()

    def manifest(self, stage: str) -> Manifest:
        return Manifest.read(self.run_folder / stage / MANIFEST)

    def record(self, stage: str, record: type[R]) -> R | None:
        if not self.is_complete(stage):
            return None
        return record.read(self.run_folder / stage / "record.json")

    def repeats(self) -> RepeatsRecord | None:
        """Read the repeats of the study as it was evaluated, if there are any."""
        path = self.run_folder / REPEATS_RECORD
        if not self.is_complete("evaluate") or not path.is_file():
            return None
        repeats = RepeatsRecord.read(path)
        is_current = repeats.evaluate_digest == sha256_of_json(self.manifest("evaluate").files)
        return repeats if is_current else None

    def guarantees(self) -> GuaranteesRecord | None:
        """Read what the model folder promises; None where an earlier tenfold made it."""
        if not self.is_complete("model"):
            return None
        return ModelRecord.read(self.run_folder / "model" / "model.json").guarantees

    def filled(self, name: str, kind: type[A]) -> A | None:
        """Read a class whose fields are arrays of a stage's file."""
        arrays = self.arrays(name, *(field.name for field in fields(kind)))
        return kind(**arrays) if arrays else None

    def pictures(self, name: str, *, keys: str) -> Pictures | None:
        arrays = self.arrays(name, keys, "images")
        return Pictures(arrays[keys], arrays["images"]) if arrays else None

    def arrays(self, name: str, *arrays: str) -> dict[str, npt.NDArray[Any]]:
        """Read named arrays of a stage's file; none if the file or its stage is not there."""
        path = self.run_folder / name
        if not self.is_complete(path.parent.name) or not path.is_file():
            return {}
        try:
            return load_arrays(path, *arrays)
        except (ValueError, OSError) as error:
            raise RunFolderError(
                f"{path} does not hold the arrays {' and '.join(arrays)} ({error}). It was changed "
                "or damaged; remove its folder and run the same command again."
            ) from None


def _read_settings(run_folder: Path) -> dict[str, object]:
    stored = read_settings(run_folder)
    if stored is None:
        raise RunFolderError(
            f"{run_folder} is not a run folder: it has no settings.json. Give the folder of a "
            "study with --out, or start one with: tenfold run"
        )
    return stored


def _read_choice(run_folder: Path, recipe: object) -> ChoiceRecord | None:
    """Read why the recipe was chosen; None where it was asked for, or another one since."""
    path = run_folder / CHOICE
    choice = ChoiceRecord.read(path) if path.is_file() else None
    return choice if choice is not None and choice.recipe == recipe else None


def _read_references(run_folder: Path, stored: object) -> tuple[Reference, ...]:
    try:
        return TypeAdapter(tuple[Reference, ...]).validate_python(stored or [], strict=False)
    except ValidationError as error:
        raise RunFolderError(
            f"The references in {run_folder / 'settings.json'} are not valid "
            f"({error.error_count()} errors, the first: {error.errors()[0]['msg']}). "
            "Each needs a label, a measure and a value."
        ) from None
