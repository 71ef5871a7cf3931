"""Which source and path the user means by ``--data``."""

from __future__ import annotations

import os
from pathlib import Path

from tenfold.core.errors import DataError, nearest_names
from tenfold.core.text import shortlist
from tenfold.sources.other_files import advice_for, what_file
from tenfold.sources.own_folders import MODEL_FOLDER, RUN_FOLDER, own_kind
from tenfold.sources.source import SOURCES, Source

_LAYOUTS = (
    "CIFAR-10: the unpacked folder or the .tar.gz of its binary or Python version",
    "a folder with one sub-folder of images for each class",
    "a folder with train/ and test/ (and validation/, if there is one), each with one sub-folder "
    "for each class",
)


def find_source(data: str | None) -> tuple[Source, Path | None, str]:
    """Give the source, the path for it, and a sentence that says what was taken and why.

    Parameters
    ----------
    data
        A source's name (which wins over a file of that name; write ``./digits`` for the file), or
        a path; None takes CIFAR-10 if it is on this machine, and the bundled digits otherwise.

    Returns
    -------
    source
        To be asked for ``load(path, ...)``.
    path
        None: the source's own place, or a download.
    sentence
        For the user.

    Raises
    ------
    DataError
        If there is no such source or path, or the path holds nothing that a source understands or
        what tenfold itself wrote.
    """
    if data is None:
        return _default()
    if not data.strip():
        raise DataError(
            "--data is empty. Give a name or a path, or leave --data out. Names: "
            f"{', '.join(SOURCES)}. Paths may be:{_listed(_LAYOUTS)}"
        )
    if data in SOURCES:
        source = SOURCES[data]
        return source, None, _named(source)
    path = Path(data).expanduser()
    try:
        is_there = path.exists()
    except OSError as error:
        raise DataError(f"{data!r} cannot be looked at: {error.strerror}.") from error
    if not is_there:
        raise DataError(_nothing_there(data))
    _refuse_own(path)
    # The folder source accepts any folder with sub-folders, so it is asked last.
    for name in sorted(SOURCES, key=lambda name: (name == "folder", name)):
        source = SOURCES[name]
        if source.recognises(path):
            return source, path, f"Data: {path}, read as {source.name} ({source.summary})."
    raise DataError(_not_understood(path))


def _default() -> tuple[Source, Path | None, str]:
    cifar10 = SOURCES["cifar10"]
    place = cifar10.available()
    if place is not None:
        return (
            cifar10,
            None,
            f"Data: CIFAR-10, because it is on this machine at {place}. For the small bundled "
            "digits: tenfold run --data digits",
        )
    return (
        SOURCES["digits"],
        None,
        "Data: scikit-learn's bundled digits, because CIFAR-10 is not on this machine. For "
        "CIFAR-10: tenfold run --data cifar10 (downloads 170 MB), or --data PATH for a local copy",
    )


def _refuse_own(path: Path) -> None:
    """Raise an error if a path is a folder that tenfold wrote."""
    try:
        kind = own_kind(path, os.listdir(path)) if path.is_dir() else None
    except OSError:
        return
    if kind is None:
        return
    advice = {
        RUN_FOLDER: f"To go on with this study: tenfold run --out {path}",
        MODEL_FOLDER: f"To use this model: tenfold predict {path} IMAGE",
    }
    raise DataError(
        f"{path} is a {kind} that tenfold wrote, not a data set. "
        f"{advice.get(kind, 'Give the folder of the images.')}"
    )


def _named(source: Source) -> str:
    place = source.available()
    where = f"at {place}" if place is not None else "not on this machine yet"
    return f"Data: {source.name}, {where}."


def _nothing_there(data: str) -> str:
    if "://" in data:
        return (
            f"{data!r} is an address. tenfold downloads no data set but CIFAR-10 (--data cifar10): "
            "download it, unpack it, and give the folder."
        )
    message = f"There is no data source and no file or folder named {data!r}."
    if near := nearest_names(data, SOURCES):
        message += f" Did you mean {' or '.join(repr(name) for name in near)}?"
    return f"{message} Sources: {', '.join(SOURCES)}. Paths may be:{_listed(_LAYOUTS)}"


def _not_understood(path: Path) -> str:
    return (
        f"{path} exists but is not understood: {_what_is_there(path)}. "
        f"A path may be:{_listed(_LAYOUTS)}"
    )


def _what_is_there(path: Path) -> str:
    if not path.is_dir():
        return f"it is {what_file(path)}"
    try:
        names = sorted(
            f"{entry.name}/" if entry.is_dir() else entry.name for entry in path.iterdir()
        )
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if not names:
        return "it is an empty folder"
    advice = advice_for(path / name.rstrip("/") for name in names)
    return f"it holds {shortlist(names, 8)}, and no sub-folders with images{advice}"


def _listed(items: tuple[str, ...]) -> str:
    return "".join(f"\n  - {item}" for item in items)
