"""CIFAR-10 from a folder of either published version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.files import read_regular_file
from tenfold.core.progress import Progress
from tenfold.sources.cifar10_batches import Cifar10Arrays, Cifar10Format
from tenfold.sources.cifar10_binary import BINARY
from tenfold.sources.cifar10_python import PYTHON

FORMATS = (BINARY, PYTHON)
"""Binary first: where a folder holds both, it is the faster one to read."""

META_BYTES = 2**16
"""More than any file of class names needs; the published ones have 61 and 158."""


def find_folder(path: Path) -> tuple[Cifar10Format, Path] | None:
    """Give the version in `path` or in its sub-folder of the published name; None if there is none.

    One batch file is enough to be found, so that `read_folder` can say which others are missing;
    where both versions are there, the more complete one is taken.
    """
    found: list[tuple[int, Cifar10Format, Path]] = []
    for form in FORMATS:
        for folder in (path, path / form.folder_name):
            count = sum((folder / name).is_file() for name in form.batch_files)
            found.append((count, form, folder))
    count, form, folder = max(found, key=lambda entry: entry[0])
    return (form, folder) if count else None


def files_of(form: Cifar10Format, folder: Path) -> Iterator[Path]:
    """Give the files of a version that `folder` holds."""
    return (
        folder / name for name in (*form.batch_files, form.meta_file) if (folder / name).exists()
    )


def read_folder(
    form: Cifar10Format, folder: Path, arrays: Cifar10Arrays, progress: Progress
) -> tuple[str, ...]:
    """Fill `arrays` from the files in `folder`; give notes for the reader.

    Raises
    ------
    DataError
        If a file is missing, cannot be read, is cut off, too long, or holds wrong labels.
    """
    missing = [name for name in form.batch_files if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder} holds CIFAR-10 in {form.title} but lacks {', '.join(missing)}. Copy the "
            "missing files there, or give another folder or archive."
        )
    with progress.task("Reading CIFAR-10", total=len(form.batch_files), unit="files") as task:
        for slot, name in enumerate(form.batch_files):
            file = folder / name
            size_bytes = file.stat().st_size
            form.check_size(size_bytes, str(file), arrays.records_per_batch)
            content = _read(file, size_bytes)
            arrays.fill(slot, form.parse_batch(content, str(file), arrays.records_per_batch))
            task.advance(detail=name)
    meta = folder / form.meta_file
    if not meta.is_file():
        return (f"{form.meta_file} is missing: the standard class names were taken.",)
    arrays.classes = form.parse_classes(_read(meta, META_BYTES), str(meta))
    return ()


def _read(file: Path, most_bytes: int) -> bytes:
    try:
        return read_regular_file(file, most_bytes)
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {error.strerror}. Check its permissions and the disk."
        ) from error
