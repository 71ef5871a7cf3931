"""A study once more with mended labels, and what that changed."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, RunFolderError
from tenfold.core.files import storage_errors
from tenfold.core.progress import Progress
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.review import CorrectionEffect, EffectUnder
from tenfold.core.run_folder import FEATURES, MANIFEST, RunFolder, read_settings
from tenfold.data.corrections import corrections_settings, read_corrections
from tenfold.data.dataset import (
    Labels,
    SplitName,
    kept_places,
    read_arrays,
    read_given_split,
    read_split,
)
from tenfold.evaluation.differences import mcnemar_p_value, paired_interval
from tenfold.study.recipe import StudySettings
from tenfold.study.study import Study

ENDING = "-mended"
"""Of the folder in which a study is run again, beside its own."""
_SEED = 0


def mended_study(
    run: Path,
    corrections: Path,
    out: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    is_offline: bool = False,
) -> Study:
    """Give the same study with other labels, in a folder of its own.

    Parameters
    ----------
    run
        The study's run folder; it stays as it is.
    corrections
        The file.
    out
        The new run folder; what it holds of an earlier time is brought up to date.

    Raises
    ------
    RunFolderError
        If the folder is that of the study itself, or of another one.
    """
    if out.resolve() == run.resolve():
        raise RunFolderError(
            f"--out {out} is the study itself, which stays as it is so that both can be compared. "
            "Choose another folder."
        )
    content = read_corrections(corrections)
    changes = {"data.corrections": corrections_settings(corrections, content).plain()}
    settings = StudySettings.resolve(read_settings(run) or {}, changes)
    there = RunFolder(out).settings() if out.is_dir() else None
    if there is not None:
        kept = {**there, "data": {**there.get("data", {}), "corrections": None}}
        wanted = settings.plain()
        if kept != {**wanted, "data": {**wanted["data"], "corrections": None}}:
            raise RunFolderError(
                f"{out} holds another study than {run} with mended labels. Choose another folder "
                "with --out."
            )
    if (run / FEATURES).is_dir() and not (out / FEATURES).exists():
        with storage_errors(out):  # kept by the images' content, which no correction changes
            shutil.copytree(run / FEATURES, out / FEATURES)
    return Study(
        settings,
        out,
        device=device,
        progress=progress,
        update=True,
        is_offline=is_offline,
        corrections=content,
    )


def correction_effect(before: Path, after: Path) -> CorrectionEffect:
    """Compare two studies that differ in their corrections, image by image.

    Parameters
    ----------
    before, after
        Run folders of evaluated studies of the same data set.

    Raises
    ------
    DataError
        If their data sets differ.
    RunFolderError
        If one of them is no evaluated study.
    """
    one, other = _Evaluated.read(before), _Evaluated.read(after)
    if one.classes != other.classes or not np.array_equal(one.source_labels, other.source_labels):
        raise DataError(
            f"{before} and {after} are not of the same test images, so that mended labels are not "
            "all that changed. Compare a study with the one that `tenfold review RUN --retrain` "
            "made of it."
        )
    shared = np.intersect1d(one.places, other.places)
    if not len(shared):
        raise DataError(f"{before} and {after} have no test image in common.")
    first, second = one.at(shared), other.at(shared)
    old, new = one.labels[first], other.labels[second]
    relabelled, dropped = _changes(before, after, "train")
    return CorrectionEffect(
        title=one.title,
        images=len(shared),
        dropped=len(one.places) - len(shared),
        relabelled=int((old != new).sum()),
        train_relabelled=relabelled,
        train_dropped=dropped,
        labels_before=_under(one.predicted[first], other.predicted[second], old),
        labels_after=_under(one.predicted[first], other.predicted[second], new),
    )


def _under(before: Labels, after: Labels, labels: Labels) -> EffectUnder:
    was, now = before == labels, after == labels
    differences = now.astype(np.float64) - was
    return EffectUnder(
        before=float(was.mean()),
        after=float(now.mean()),
        difference=float(differences.mean()),
        interval=paired_interval(differences, np.random.default_rng(_SEED)),
        p_value=mcnemar_p_value(int((was & ~now).sum()), int((now & ~was).sum())),
    )


@dataclass(frozen=True, eq=False)
class _Evaluated:
    title: str
    classes: tuple[str, ...]
    source_labels: Labels
    places: npt.NDArray[np.int64]
    labels: Labels
    predicted: Labels

    @classmethod
    def read(cls, path: Path) -> _Evaluated:
        acquire = path / "acquire"
        if not (path / "evaluate" / MANIFEST).is_file() or "evaluate" in RunFolder(path).outdated():
            raise RunFolderError(
                f"{path} was not evaluated on its test split as it is now. Run: tenfold evaluate "
                f"--out {shlex.quote(str(path))}"
            )
        acquired = AcquireRecord.read(acquire / "record.json")
        source = read_given_split(acquire, "test").labels
        kept = kept_places(acquire, "test")
        labels = read_split(acquire, "test").labels
        probabilities = read_arrays(path / "evaluate" / "predictions.npz")["probabilities"]
        return cls(
            acquired.title,
            acquired.classes,
            source,
            np.arange(len(source)) if kept is None else kept,
            labels,
            probabilities.argmax(axis=1),
        )

    def at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Give the rows of some of its images."""
        rows: npt.NDArray[np.int64] = np.searchsorted(self.places, places)
        return rows


def _changes(before: Path, after: Path, split: SplitName) -> tuple[int, int]:
    """Count labels that changed between two studies of one data set, and images that went."""
    found = []
    for path in (before, after):
        labels = read_split(path / "acquire", split).labels.tolist()
        kept = kept_places(path / "acquire", split)
        places = range(len(labels)) if kept is None else kept.tolist()
        found.append(dict(zip(places, labels, strict=True)))
    old, new = found
    changed = sum(new[place] != label for place, label in old.items() if place in new)
    return changed, len(old.keys() - new.keys())
