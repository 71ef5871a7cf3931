"""Which source and path the user means by ``--data``."""

from __future__ import annotations

from pathlib import Path

from tenfold.core.errors import DataError, nearest_names
from tenfold.sources.source import SOURCES, Source

_LAYOUTS = (
    "CIFAR-10: the unpacked folder or the .tar.gz of its binary or Python version",
    "a folder with one sub-folder of images for each class",
    "a folder with train/ and test/ (or val/, or validation/), each with one sub-folder for each "
    "class",
)
_MOST_ENTRIES = 8


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
        If there is no such source or path, or the path holds nothing that a source understands.
    """
    if data is None:
        return _default()
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


def _named(source: Source) -> str:
    place = source.available()
    where = f"at {place}" if place is not None else "not on this machine yet"
    return f"Data: {source.name}, {where}."


def _nothing_there(data: str) -> str:
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
        return f"it is a file of {path.stat().st_size:,} bytes, not an archive of CIFAR-10"
    try:
        names = sorted(
            f"{entry.name}/" if entry.is_dir() else entry.name for entry in path.iterdir()
        )
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if not names:
        return "it is an empty folder"
    more = f" and {len(names) - _MOST_ENTRIES} more" if len(names) > _MOST_ENTRIES else ""
    return f"it holds {', '.join(names[:_MOST_ENTRIES])}{more}, and no sub-folders with images"


def _listed(items: tuple[str, ...]) -> str:
    return "".join(f"\n  - {item}" for item in items)
