"""The study whose labels are reviewed: what the audit and the models say of each image."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.array_files import load_array
from tenfold.core.errors import RunFolderError
from tenfold.core.files import MOST_TEXT_BYTES, read_regular_file
from tenfold.core.records.data import AcquireRecord, AuditRecord, LabelIssue
from tenfold.core.run_folder import MANIFEST, Manifest, RunFolder, read_settings
from tenfold.data.corrections import (
    SPLITS,
    Correction,
    CorrectionsSettings,
    image_id,
    parse_corrections,
    stored_corrections,
)
from tenfold.data.dataset import (
    ImageSplit,
    Labels,
    SplitName,
    kept_places,
    read_arrays,
    read_given_split,
)
from tenfold.evaluation.audit import DUPLICATES, SAME

_MOST_CLASSES = 5
"""Probabilities that are told of an image."""


@dataclass(frozen=True, eq=False)
class ReviewedSplit:
    """One split, as the source gave it, and what the study made of it.

    Parameters
    ----------
    given
        Images, and labels of the source.
    labels
        int64, shape (N,): after the study's corrections.
    is_kept
        bool, shape (N,): what corrections did not leave out.
    probabilities
        float32, shape (N, classes), by models that did not learn from the image; NaN where there
        are none.
    source
        Whose probabilities these are.
    issues
        The most suspicious first; None if the split's labels were not audited.
    """

    given: ImageSplit
    labels: Labels
    is_kept: npt.NDArray[np.bool_]
    probabilities: npt.NDArray[np.float32]
    source: str
    issues: tuple[LabelIssue, ...] | None


@dataclass(frozen=True)
class Pair:
    """Two images that show the same shot, or look much alike."""

    first: str
    second: str
    agreement: float
    is_exact: bool
    is_mirrored: bool
    is_same: bool
    is_conflict: bool
    """Their labels differ."""


@dataclass(frozen=True, eq=False)
class ReviewedStudy:
    """A study with an audit, read from its run folder.

    Parameters
    ----------
    path
        The run folder.
    acquired
        Its data set.
    digest
        Of its images, for addresses that browsers may remember.
    splits
        By name.
    pairs
        Those with different labels first, then those across the splits.
    earlier
        The corrections that the study was made with.
    """

    path: Path
    acquired: AcquireRecord
    digest: str
    splits: Mapping[SplitName, ReviewedSplit]
    pairs: tuple[Pair, ...]
    earlier: tuple[Correction, ...]

    @classmethod
    def read(cls, path: Path) -> ReviewedStudy:
        """Read a study.

        Raises
        ------
        RunFolderError
            If there is none, it has no audit, or its images are missing.
        """
        _check(path)
        acquire = path / "acquire"
        acquired = AcquireRecord.read(acquire / "record.json")
        audit = AuditRecord.read(path / "audit" / "record.json")
        issues = {one.split: one.issues for one in audit.labels}
        splits = {name: _split(path, acquired, name, issues.get(name)) for name in SPLITS}
        digest = Manifest.read(acquire / MANIFEST).fingerprint[:12]
        study = cls(path, acquired, digest, splits, (), _earlier(path, acquired, splits))
        for name in SPLITS:
            for issue in splits[name].issues or ():
                study.place(issue.id)  # an audit of other images is found here
        pairs = sorted(_pairs(study), key=lambda one: (not one.is_same, not one.is_conflict))
        return cls(path, acquired, digest, splits, tuple(pairs), study.earlier)

    @property
    def classes(self) -> tuple[str, ...]:
        """Give the class names."""
        return self.acquired.classes

    def place(self, name: str) -> tuple[SplitName, int]:
        """Give split and place of an image.

        Raises
        ------
        KeyError
            If there is none of this identifier.
        """
        split, _, number = name.partition("/")
        if split not in self.splits or not (number.isascii() and number.isdecimal()):
            raise KeyError(name)
        known: SplitName = "train" if split == "train" else "test"
        if len(number) > 12 or int(number) >= len(self.splits[known].labels):
            raise KeyError(name)
        return known, int(number)

    def label(self, name: str) -> int:
        """Give the class of an image, earlier corrections applied."""
        split, index = self.place(name)
        return int(self.splits[split].labels[index])

    @cached_property
    def source_labels(self) -> Mapping[str, str]:
        """Give the class names that the source gave, by identifier."""
        return _SourceLabels(self)

    @cached_property
    def issue(self) -> Mapping[str, tuple[int, LabelIssue]]:
        """Give rank, from 1, and issue of each suspicious label, by identifier."""
        return {
            issue.id: (rank, issue)
            for split in self.splits.values()
            for rank, issue in enumerate(split.issues or (), start=1)
        }

    @cached_property
    def pairs_of(self) -> Mapping[str, list[Pair]]:
        """Give the pairs of each image, by identifier."""
        found: dict[str, list[Pair]] = {}
        for pair in self.pairs:
            found.setdefault(pair.first, []).append(pair)
            found.setdefault(pair.second, []).append(pair)
        return found

    def of_class(self, split: SplitName, label: int) -> list[str]:
        """Give the images of a class, those first that a model finds least like it."""
        one = self.splits[split]
        places = np.flatnonzero((one.labels == label) & one.is_kept)
        own = np.nan_to_num(one.probabilities[places, label], nan=2.0)
        return [image_id(split, int(place)) for place in places[np.argsort(own, kind="stable")]]

    def suggested(self, name: str) -> int | None:
        """Give the class that the audit suggests for an image, or that a model finds likeliest."""
        found = self.issue.get(name)
        if found is not None:
            return found[1].suggested
        split, index = self.place(name)
        one = self.splits[split]
        row = one.probabilities[index]
        if not np.isfinite(row).all():
            return None
        likeliest = int(row.argmax())
        return None if likeliest == one.labels[index] else likeliest

    def most_probable(self, name: str) -> list[tuple[int, float]]:
        """Give the most probable classes of an image, the label's among them whatever its place."""
        split, index = self.place(name)
        row = self.splits[split].probabilities[index]
        if not np.isfinite(row).all():
            return []
        order = np.argsort(-row, kind="stable")[:_MOST_CLASSES].tolist()
        label = self.label(name)
        if label not in order:
            order[-1] = label
        return [(one, round(float(row[one]), 6)) for one in order]


class _SourceLabels(Mapping[str, str]):
    def __init__(self, study: ReviewedStudy) -> None:
        self._study = study

    def __getitem__(self, name: str) -> str:
        split, index = self._study.place(name)
        return self._study.classes[int(self._study.splits[split].given.labels[index])]

    def __iter__(self) -> Iterator[str]:
        for split, one in self._study.splits.items():
            yield from (image_id(split, index) for index in range(len(one.labels)))

    def __len__(self) -> int:
        return sum(len(one.labels) for one in self._study.splits.values())


def _check(path: Path) -> None:
    out = shlex.quote(str(path))
    try:
        stored = read_settings(path)
    except NotADirectoryError:
        stored = None
    if stored is None:
        raise RunFolderError(
            f"{path} is not a run folder: it has no settings.json. Name the folder of a study, for "
            "example: tenfold review runs/fast-digits"
        )
    missing = [
        name for name in ("acquire", "evaluate", "audit") if not (path / name / MANIFEST).is_file()
    ]
    if "audit" in missing:
        raise RunFolderError(
            f"The study in {path} has no audit yet, which finds the suspicious labels. Run it: "
            f"tenfold audit --out {out}"
        )
    if missing:
        raise RunFolderError(
            f"In {path} the stage {missing[0]} is missing. Make it again: tenfold run --out {out}"
        )
    outdated = RunFolder(path).outdated() & {"evaluate", "audit"}
    if outdated:
        raise RunFolderError(
            f"In {path} the stage {min(outdated)} was made of earlier data or settings than the "
            f"others, so it speaks of other images. Bring it up to date: tenfold run --out {out}"
        )


def _split(
    path: Path,
    acquired: AcquireRecord,
    name: SplitName,
    issues: tuple[LabelIssue, ...] | None,
) -> ReviewedSplit:
    try:
        given = read_given_split(path / "acquire", name)
        kept = kept_places(path / "acquire", name)
        labels = given.labels
        if kept is not None:
            labels = load_array(path / "acquire" / f"{name}_corrected_labels.npy").astype(np.int64)
    except (RunFolderError, OSError, ValueError) as error:
        raise RunFolderError(
            f"The images of the study cannot be read: {error} To make them again from the data "
            f"set: tenfold acquire --out {shlex.quote(str(path))} (decisions that were made are "
            "kept)"
        ) from None
    places = np.arange(len(given)) if kept is None else kept
    is_kept = np.zeros(len(given), bool)
    is_kept[places] = True
    probabilities = np.full((len(given), len(acquired.classes)), np.nan, np.float32)
    source = ""
    if (rows := _probabilities(path, name)) is not None and rows.shape == (
        len(places),
        len(acquired.classes),
    ):
        probabilities[places] = rows
        source = (
            "the trained model"
            if name == "test"
            else "the model of cross-validation that did not learn from this image"
        )
    return ReviewedSplit(given, labels, is_kept, probabilities, source, issues)


def _probabilities(path: Path, name: SplitName) -> npt.NDArray[Any] | None:
    stage, file = (
        ("evaluate", "predictions.npz")
        if name == "test"
        else ("cross-validate", "out_of_fold_fresh.npz")
    )
    if not (path / stage / file).is_file() or stage in RunFolder(path).outdated():
        return None
    return read_arrays(path / stage / file).get("probabilities")


def _earlier(
    path: Path, acquired: AcquireRecord, splits: Mapping[SplitName, ReviewedSplit]
) -> tuple[Correction, ...]:
    """Give the corrections that the study was made with."""
    if acquired.corrections is None:
        return ()
    stored = (read_settings(path) or {}).get("data", {}).get("corrections")
    if stored is None:  # they are taken away by the next run
        return ()
    settings = CorrectionsSettings.parse(stored, where="data.corrections")
    return parse_corrections(
        stored_corrections(path, settings),
        settings.file,
        train=splits["train"].given.labels,
        test=splits["test"].given.labels,
        classes=acquired.classes,
    )


def _pairs(study: ReviewedStudy) -> Iterator[Pair]:
    """Give the pairs of the audit's table in its order: same shots, and alike ones in conflict."""
    path = study.path / "audit" / DUPLICATES
    try:
        text = read_regular_file(path, MOST_TEXT_BYTES).decode("utf-8")
        for row in csv.DictReader(io.StringIO(text, newline="")):
            first, second = row["first"], row["second"]
            pair = Pair(
                first,
                second,
                float(row["agreement"]),
                row["is_exact"] == "true",
                row["is_mirrored"] == "true",
                row["verdict"] == SAME,
                study.label(first) != study.label(second),
            )
            if pair.is_same or pair.is_conflict:
                yield pair
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"{path} cannot be read ({error}). Make the audit again: tenfold audit --out "
            f"{shlex.quote(str(study.path))} after removing {path.parent}"
        ) from None
