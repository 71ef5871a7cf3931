"""Folders that tenfold wrote itself, known by what is in them: nobody's data set."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tenfold.core.run_folder import MANIFEST, SETTINGS

RUN_FOLDER = "run folder"
MODEL_FOLDER = "model folder"
STAGE_FOLDER = "folder of a stage"
EXPLANATIONS = "folder of explanations"

# A file of this name and keys is tenfold's: others may write files of these names, too.
_MARKS = (
    (RUN_FOLDER, SETTINGS, {"recipe", "data", "model", "training"}),
    (STAGE_FOLDER, MANIFEST, {"stage", "fingerprint", "inputs", "files"}),
    (MODEL_FOLDER, "model.json", {"format_version", "classes", "files"}),
)
_EXPLANATIONS = {"index.html", "explained_images"}
_LARGEST_BYTES = 2**24  # All of these are far smaller; a larger file is somebody else's.


def own_kind(folder: Path, names: Iterable[str]) -> str | None:
    """Say what a folder is if tenfold wrote it; None if it is the user's.

    Parameters
    ----------
    folder
        The folder.
    names
        Of all that lies in it, hidden files included.
    """
    there = set(names)
    for kind, name, keys in _MARKS:
        if name in there and keys <= _keys(folder / name):
            return kind
    if {name for name in there if not name.startswith(".")} == _EXPLANATIONS:
        return EXPLANATIONS
    return None


def _keys(path: Path) -> set[str]:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
            return set()
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return set()
    return set(content) if isinstance(content, dict) else set()
