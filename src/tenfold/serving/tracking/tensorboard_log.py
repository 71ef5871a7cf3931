"""A study as event files of TensorBoard, in a folder of its own below the log folder.

The folder is written whole beside its place and then put there. Which study it is of stands in a
file of ours within it: the same study replaces its own folder, and no other's.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tenfold.core.errors import need
from tenfold.core.files import (
    MOST_TEXT_BYTES,
    read_regular_file,
    recover_folder,
    replace_folder,
    storage_errors,
    write_json,
)
from tenfold.core.text import printable
from tenfold.serving.tracking.facts import Point, StudyFacts

OWN_FILE = "tenfold.json"
_DIGITS = 8
_COMPARED_BY = ("recipe.name", "seed", "data.image_size_px", "model.", "training.")
"""Settings that may change a score; the table has all."""


@dataclass(frozen=True)
class TensorBoardLog:
    """What was written.

    Parameters
    ----------
    folder
        Of the study.
    is_unchanged
        Whether all of it was there already.
    """

    folder: Path
    is_unchanged: bool


def log_to_tensorboard(facts: StudyFacts, log_folder: Path) -> TensorBoardLog:
    """Write a study's settings, curves, scores and figures, unless they are there.

    Parameters
    ----------
    log_folder
        What ``tensorboard --logdir`` is given.

    Raises
    ------
    SettingsError
        If TensorBoard is not installed.
    StorageError
        If the disk is full, read-only or not permitted.
    """
    need("tensorboard", extra="tensorboard")
    with storage_errors(log_folder):
        log_folder.mkdir(parents=True, exist_ok=True)
        folder, found = _place(facts, log_folder)
        if found is not None and found.get("digest") == facts.digest:
            return TensorBoardLog(folder, is_unchanged=True)
        partial = folder.with_name(f".{folder.name}.partial")
        if partial.exists():
            shutil.rmtree(partial)
        _write_events(facts, partial)
        write_json(
            partial / OWN_FILE,
            {"study": facts.study, "training": facts.training, "digest": facts.digest},
        )
        replace_folder(partial, folder)
    return TensorBoardLog(folder, is_unchanged=False)


def _place(facts: StudyFacts, log_folder: Path) -> tuple[Path, dict[str, Any] | None]:
    """Give the study's folder, and what it says of itself: one that is its own, or free.

    Another training's, or another study's of that name, gets a part of a digest behind its name.
    """
    names = [facts.name, f"{facts.name}-{facts.study[:_DIGITS]}"]
    if facts.training is not None:
        names.append(f"{names[-1]}-{facts.training[:_DIGITS]}")
    for name in names:
        folder = log_folder / name
        recover_folder(folder)
        found = _own(folder)
        if not folder.exists():
            return folder, None
        is_own = found is not None and found.get("study") == facts.study
        if is_own and found is not None and found.get("training") in (None, facts.training):
            return folder, found
    return folder, found


def _own(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(read_regular_file(folder / OWN_FILE, MOST_TEXT_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _write_events(facts: StudyFacts, folder: Path) -> None:
    from PIL import Image
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    last = max((points[-1].step for points in facts.curves.values()), default=0)
    ended = facts.ended_ms / 1000
    with SummaryWriter(str(folder)) as writer:
        for name, points in facts.curves.items():
            for point in points:
                writer.add_scalar(name, point.value, point.step, point.at_ms / 1000)
        for name, point in facts.scores.items():
            # Each is a card; the table has the ends of intervals and the classes too.
            if not _is_end(name, facts.scores) and not name.startswith("class/"):
                writer.add_scalar(name, point.value, last, point.at_ms / 1000)
        for name, path in facts.figures.items():
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            writer.add_image(f"figures/{name}", pixels, last, ended, dataformats="HWC")
        for name, text in (
            ("settings", _table(("setting", "value"), list(facts.settings.items()))),
            ("scores", _scores_table(facts.scores)),
            ("data", _table(("what", "value"), list(facts.tags.items()))),
        ):
            writer.add_text(name, text, last, ended)
        chosen = {
            name: _typed(value)
            for name, value in facts.settings.items()
            if name.startswith(_COMPARED_BY)
        }
        shown = {
            name: one.value
            for name, one in facts.scores.items()
            if name.startswith("test/") and not _is_end(name, facts.scores)
        }
        # What the tab HParams compares studies by; `add_hparams` would make a folder more.
        for summary in hparams(chosen, shown):  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(summary, last, ended)


def _is_end(name: str, scores: dict[str, Point]) -> bool:
    """Say whether a number is the end of another one's interval."""
    return name.endswith(("_low", "_high")) and name.rpartition("_")[0] in scores


def _typed(text: str) -> bool | float | str:
    """Give a number or a truth for its text, so that TensorBoard has an axis of it."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (bool, int, float)) else text


def _scores_table(scores: dict[str, Point]) -> str:
    rows = []
    for name, point in scores.items():
        if _is_end(name, scores):
            continue
        low, high = scores.get(f"{name}_low"), scores.get(f"{name}_high")
        value = f"{point.value:.4g}"
        if low is not None and high is not None:
            value += f" ({low.value:.4g} to {high.value:.4g})"
        rows.append((name, value))
    return _table(("score", "value (95% interval)"), rows)


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    """Give a table in Markdown."""
    lines = ["| " + " | ".join(_cell(one) for one in row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "| --- | --- |", *lines[1:]])


def _cell(text: str) -> str:
    return printable(text).replace("|", "\\|").replace("\n", " ")


def tensorboard_text(log: TensorBoardLog, log_folder: Path) -> str:
    """Say what was written, for people."""
    did = "was there already" if log.is_unchanged else "written"
    return f"TensorBoard: {log.folder} {did}. To look at it: tensorboard --logdir {log_folder}"
