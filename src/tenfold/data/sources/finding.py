"""Which source reads what the user named, and what is said where none does."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tenfold.core.errors import DataError, nearest_names
from tenfold.core.progress import Progress, SilentProgress
from tenfold.core.text import counted, shortlist
from tenfold.data.sources.folder_files import (
    ARCHIVES,
    MODEL_FOLDER,
    RUN_FOLDER,
    is_image_name,
    own_kind,
)
from tenfold.data.sources.remote import fetch, is_address
from tenfold.data.sources.source import SOURCES, Source
from tenfold.data.sources.webdataset import is_pattern, shards_of

_LAYOUTS = (
    "CIFAR-10 or CIFAR-100: the unpacked folder or the .tar.gz of its binary or Python version",
    "a folder with one sub-folder of images for each class",
    "a folder with train/ and test/ (and validation/, if there is one), each with one sub-folder "
    "for each class",
    "a .zip, .tar or .tar.gz of such a folder",
    "an .npz file with train_images, train_labels, test_images, ... (MedMNIST), x_train, y_train, "
    "... (Keras), or images and labels",
    "a table (.csv, .tsv, .jsonl, .parquet) with a column of image files and one of labels, or a "
    "folder with one beside its images",
    "Parquet with images in it, as Hugging Face's data sets have: a file or a folder of shards",
    "WebDataset's tar shards: a folder of them, or a pattern such as 'shards-{000..099}.tar'",
    "an address of any of these, a file or a prefix: s3://, gs://, hf://, https://, ...",
    "a folder with MNIST's idx files, as they are or as .gz: train-images-idx3-ubyte, ...",
)

_ASKED_LAST = ("archive", "folder")  # Any archive, any folder with sub-folders.


def find_source(
    data: str | None, progress: Progress | None = None, *, is_offline: bool = False
) -> tuple[Source, Path | None, str]:
    """Give the source, the path for it, and a sentence that says what was taken and why.

    Parameters
    ----------
    data
        A source's name, or a path; None takes CIFAR-10 if it is on this machine, and the bundled
        digits otherwise. The name of a source with data of its own wins over a file of that name:
        write ``./digits`` for the file. What lies at an address is fetched into the cache.
    progress
        Shows what is fetched; None for nobody.
    is_offline
        Whether fetching is forbidden.

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
    if data in SOURCES and not SOURCES[data].needs_path:
        source = SOURCES[data]
        return source, None, _named(source)
    if is_address(data):
        path = fetch(data, progress or SilentProgress(), is_offline=is_offline)
        source, _, sentence = find_source(str(path))
        return source, path, sentence
    path = Path(data).expanduser()
    try:
        is_there = path.exists()
    except OSError as error:
        raise DataError(f"{data!r} cannot be looked at: {error.strerror}.") from error
    if not is_there and data in SOURCES:
        return SOURCES[data], None, _named(SOURCES[data])
    if not is_there and is_pattern(path):
        shards = counted(len(shards_of(path)), "shard")
        return SOURCES["webdataset"], path, f"Data: {path}, {shards} of WebDataset."
    if not is_there:
        raise DataError(_nothing_there(data))
    _refuse_own(path)
    for name in sorted(SOURCES, key=_asked):
        source = SOURCES[name]
        if source.recognises(path):
            return source, path, f"Data: {path}, read as {source.name} ({source.summary})."
    raise DataError(_not_understood(path))


def _asked(name: str) -> tuple[int, str]:
    """Give a source's place in the order of asking: who accepts nearly anything comes last."""
    return (_ASKED_LAST.index(name) if name in _ASKED_LAST else -1), name


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


_AS_FOLDERS = (
    "tenfold takes an image's label from the folder that it lies in: make one folder a class, move "
    "each image into that of its label, and give the folder above them"
)
_AS_FILES = f"Save each image as a PNG file first; {_AS_FOLDERS}"

_TABLES = frozenset(
    {".json", ".feather", ".xlsx", ".xls", ".xml"} | {".txt", ".yaml", ".yml", ".sqlite", ".db"}
)
_PANDAS = {
    ".feather": "pandas.read_feather(FILE)",
    ".json": "pandas.read_json(FILE)",
    ".xlsx": "pandas.read_excel(FILE)",
    ".xls": "pandas.read_excel(FILE)",
}
_ARRAYS = frozenset(
    {".npy", ".pkl", ".pickle", ".h5", ".hdf5", ".mat", ".pt", ".pth", ".tfrecord"}
    | {".tfrecords", ".arrow", ".lmdb", ".mdb", ".bin"}
)
# What a file begins with, whatever its name; a tar archive says so in its first header.
_BEGINNINGS = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"7z\xbc\xaf'\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x1f\x8b", "an archive (gzip)"),
    (b"BZh", "an archive (bzip2)"),
    (b"\xfd7zXZ", "an archive (xz)"),
    (b"\x28\xb5\x2f\xfd", "an archive (zstd)"),
)
_TAR_MARK, _TAR_MARK_AT = b"ustar", 257


def what_file(path: Path) -> str:
    """Say what a file is, and what to do so that its images can be used.

    Its beginning counts, then its ending.
    """
    if not path.is_file():
        return "neither a file nor a folder (a device, a pipe or a socket). Give a folder of images"
    ending = path.suffix.lower()
    size = f"{path.stat().st_size:,} bytes"
    archive = _archive(path)
    if archive is not None and ending not in {".xlsx", ".pt", ".pth"}:
        return (
            f"{archive} of {size}, which tenfold does not read. Unpack it, and give the folder "
            "that comes out of it"
        )
    if is_image_name(path.name):
        return (
            f"one image of {size}. To classify it: tenfold predict MODEL {path}. To train, give "
            "the folder above the folders of the classes"
        )
    if ending in _TABLES:
        return (
            f"a {ending} file of {size}, with labels or other values but no images. Save it as "
            "CSV with a column of image files and one of labels, in pandas: "
            f"{_PANDAS.get(ending, 'table')}.to_csv('labels.csv', index=False)"
        )
    if ending in _ARRAYS:
        return (
            f"a {ending} file of {size}, which tenfold does not read. {_AS_FILES}. Arrays in "
            "Python can be saved with numpy.savez_compressed(FILE, images=..., labels=...), or "
            "given to tenfold.ImageClassifier"
        )
    return f"a file of {size}, not an archive of CIFAR-10. Give a folder of images"


def advice_for(files: Iterable[Path]) -> str:
    """Say what can be done with the files of a folder without sub-folders; empty for nothing."""
    names = [path.name for path in files if not path.is_dir()]
    endings = {Path(name).suffix.lower() for name in names}
    if any(is_image_name(name) for name in names):
        return f". {_AS_FOLDERS}"
    if endings & ARCHIVES:
        return ". Unpack the archives in it first"
    return ""


def _archive(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            start = file.read(_TAR_MARK_AT + len(_TAR_MARK))
    except OSError:
        start = b""
    if start[_TAR_MARK_AT:] == _TAR_MARK:
        return "a tar archive"
    found = next((kind for mark, kind in _BEGINNINGS if start.startswith(mark)), None)
    return found or ("an archive" if path.suffix.lower() in ARCHIVES else None)
