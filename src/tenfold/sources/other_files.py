"""What a file is that is no data set, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tenfold.sources.folder_scan import is_image_name
from tenfold.sources.left_out_files import ARCHIVES

_AS_FOLDERS = (
    "tenfold takes an image's label from the folder that it lies in: make one folder a class, move "
    "each image into that of its label, and give the folder above them"
)
_AS_FILES = f"Save each image as a PNG file first; {_AS_FOLDERS}"

_TABLES = frozenset(
    {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".feather", ".xlsx", ".xls", ".xml"}
    | {".txt", ".yaml", ".yml", ".sqlite", ".db"}
)
_ARRAYS = frozenset(
    {".npy", ".npz", ".pkl", ".pickle", ".h5", ".hdf5", ".mat", ".pt", ".pth", ".tfrecord"}
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
    if archive is not None and ending not in {".xlsx", ".npz", ".pt", ".pth"}:
        return (
            f"{archive} of {size}, and not CIFAR-10's. Unpack it, and give the folder that comes "
            "out of it"
        )
    if is_image_name(path.name):
        return (
            f"one image of {size}. To classify it: tenfold predict MODEL {path}. To train, give "
            "the folder above the folders of the classes"
        )
    if ending in _TABLES:
        return (
            f"a {ending} file of {size}, with labels or other values but no images. {_AS_FOLDERS}"
        )
    if ending in _ARRAYS:
        return (
            f"a {ending} file of {size}, which tenfold does not read. {_AS_FILES}. Arrays in "
            "Python can be given to tenfold.ImageClassifier"
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
