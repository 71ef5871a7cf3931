"""Compare finished studies on the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, RunFolderError, SettingsError
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import ComparedPair, ComparedRun, Comparison, EvaluateRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.run_folder import MANIFEST, SETTINGS, RunFolder
from tenfold.data.dataset import read_arrays, read_split
from tenfold.evaluation.differences import holm_adjusted, mcnemar_p_value, paired_interval
from tenfold.evaluation.scores import is_imbalanced
from tenfold.training.feature_store import image_digests

ENDINGS = (".html", ".svg")
"""Of the file that a comparison is written to: the page, or its picture alone."""

_SEED = 0
"""Of the bootstrap: the same runs give the same comparison, in whatever order they are named."""


@dataclass(frozen=True, eq=False)
class _Run:
    path: Path
    acquired: AcquireRecord
    evaluated: EvaluateRecord
    trained: TrainRecord
    labels: npt.NDArray[np.int64]
    is_right: npt.NDArray[np.bool_]


def compare_runs(run_folders: Sequence[Path]) -> Comparison:
    """Compare the test predictions of two or more studies, each pair image by image.

    Parameters
    ----------
    run_folders
        Folders of studies that were evaluated on the same test split.

    Raises
    ------
    DataError
        If there are fewer than two, one is given twice, or their test splits differ.
    RunFolderError
        If a folder holds no evaluated study.
    """
    _check_folders(run_folders)
    runs = [_read(path) for path in run_folders]
    _check_classes(runs)
    runs = _in_one_order(runs)
    names = _short_names([run.path for run in runs])
    pairs = [_pair(runs, names, i, j) for i, j in combinations(range(len(runs)), 2)]
    adjusted = holm_adjusted([pair.p_value for pair in pairs])
    return Comparison(
        title=runs[0].acquired.title,
        test_count=len(runs[0].is_right),
        test_sha256=runs[0].acquired.test_sha256,
        is_imbalanced=is_imbalanced(runs[0].acquired),
        runs=tuple(_summary(run, name) for run, name in zip(runs, names, strict=True)),
        pairs=tuple(
            pair.model_copy(update={"adjusted_p_value": value})
            for pair, value in zip(pairs, adjusted, strict=True)
        ),
    )


def check_ending(path: Path) -> None:
    """Check that a comparison can be written as this kind of file.

    Raises
    ------
    SettingsError
        If the name ends otherwise than `ENDINGS`.
    """
    if path.suffix not in ENDINGS:
        raise SettingsError(
            f"A comparison is written as a page or a picture, so --out must end in .html or .svg, "
            f"got {str(path)!r}."
        )


def _check_folders(run_folders: Sequence[Path]) -> None:
    if len(run_folders) < 2:
        raise DataError(
            f"A comparison needs at least two run folders, got {len(run_folders)}. For example: "
            "tenfold compare runs/a runs/b"
        )
    seen: set[Path] = set()
    for path in run_folders:
        if path.resolve() in seen:
            raise DataError(f"The run folder {path} is named twice. Name each run once.")
        seen.add(path.resolve())


def _read(path: Path) -> _Run:
    if not (path / SETTINGS).is_file():
        raise RunFolderError(
            f"{path} is not a run folder: it has no settings.json. Name the folders of studies, "
            "for example runs/fast-cifar10."
        )
    if not (path / "evaluate" / MANIFEST).is_file():
        raise RunFolderError(
            f"{path} was not evaluated on its test split yet. Run: tenfold evaluate --out {path}"
        )
    outdated = RunFolder(path).outdated() & {"train", "evaluate"}
    if outdated:
        raise RunFolderError(
            f"In {path} the stage {min(outdated)} was made of earlier data or settings than the "
            f"others, so its scores are of another study. Bring it up to date: tenfold run --out "
            f"{path}"
        )
    predictions = read_arrays(path / "evaluate" / "predictions.npz")
    try:
        labels = predictions["labels"]
        is_right = predictions["probabilities"].argmax(axis=1) == labels
    except (KeyError, ValueError):
        raise RunFolderError(
            f"{path / 'evaluate' / 'predictions.npz'} does not hold probabilities and labels. It "
            "was changed by hand; use another run folder."
        ) from None
    return _Run(
        path,
        AcquireRecord.read(path / "acquire" / "record.json"),
        EvaluateRecord.read(path / "evaluate" / "record.json"),
        TrainRecord.read(path / "train" / "record.json"),
        labels,
        is_right,
    )


def _check_classes(runs: Sequence[_Run]) -> None:
    first = runs[0]
    for other in runs[1:]:
        if other.acquired.classes != first.acquired.classes:
            raise DataError(
                f"{first.path} and {other.path} do not have the same classes in the same order, so "
                "their predictions cannot be compared image by image. Compare studies of one data "
                "set."
            )


def _in_one_order(runs: Sequence[_Run]) -> list[_Run]:
    """Bring test images into one order: a data set's own test split has one a seed."""
    first = runs[0]
    if all(run.acquired.test_sha256 == first.acquired.test_sha256 for run in runs):
        return list(runs)
    keys = [_labelled_digests(run) for run in runs]
    orders = [sorted(range(len(own)), key=own.__getitem__) for own in keys]
    for other, own, order in zip(runs[1:], keys[1:], orders[1:], strict=True):
        if [own[place] for place in order] != [keys[0][place] for place in orders[0]]:
            raise DataError(
                f"{first.path} and {other.path} were tested on different images, so their "
                "scores cannot be compared image by image:\n"
                f"  {_test_split(first)}\n  {_test_split(other)}\n"
                "Evaluate both on one test split: the same data set, image size and, where tenfold "
                "made the split, the same --seed."
            )
    return [
        replace(run, is_right=run.is_right[order]) for run, order in zip(runs, orders, strict=True)
    ]


def _labelled_digests(run: _Run) -> list[tuple[bytes, int]]:
    """Give what says of each test image which it is, and its label."""
    images = read_split(run.path / "acquire", "test").images
    return list(zip(image_digests(images), run.labels.tolist(), strict=True))


def _test_split(run: _Run) -> str:
    count, digest = sum(run.acquired.test_counts), run.acquired.test_sha256
    return f"{run.path}: {run.acquired.title}, {count:,} test images, SHA-256 {digest[:12]}"


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Give the last part of each path, and as many parts before it as it takes to differ."""
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(len(p) for p in parts) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("paths differ")


def _summary(run: _Run, name: str) -> ComparedRun:
    scores = run.evaluated.scores
    return ComparedRun(
        name=name,
        accuracy=scores.accuracy,
        interval=run.evaluated.intervals.accuracy,
        balanced_accuracy=scores.balanced_accuracy,
        macro_f1=scores.macro_f1,
        model=run.trained.model,
    )


def _pair(runs: Sequence[_Run], names: Sequence[str], i: int, j: int) -> ComparedPair:
    first, second = runs[i].is_right, runs[j].is_right
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    differences = first.astype(np.float64) - second
    p_value = mcnemar_p_value(only_first, only_second)
    return ComparedPair(
        first=names[i],
        second=names[j],
        only_first=only_first,
        only_second=only_second,
        difference=float(differences.mean()),
        interval=paired_interval(differences, np.random.default_rng(_SEED)),
        p_value=p_value,
        adjusted_p_value=p_value,
    )
