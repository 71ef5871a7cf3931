"""CIFAR-10 from either published ``.tar.gz``, read as a stream: nothing is unpacked to disk."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tenfold.core.errors import DataError
from tenfold.core.progress import Progress
from tenfold.sources.cifar10_batches import (
    PIXEL_BYTES,
    RECORDS_PER_BATCH,
    Cifar10Arrays,
    Cifar10Format,
)
from tenfold.sources.cifar10_folder import FORMATS, META_BYTES
from tenfold.sources.gzip_stream import GzipStream
from tenfold.sources.tar_members import TarMember, TarReader

_SUFFIXES = (".tar.gz", ".tgz")
_SEARCHED_BYTES = 2**22
"""Of what an archive unpacks to: the published ones begin with a folder, then files."""


def looks_like_archive(path: Path) -> bool:
    """Say whether `path` is a CIFAR-10 archive, by its name or by what it begins with."""
    if not path.name.lower().endswith(_SUFFIXES) or not path.is_file():
        return False
    if path.name.lower().startswith(("cifar-10-", "cifar10")):
        return True
    try:
        with path.open("rb") as file:
            stream = GzipStream(file, _SEARCHED_BYTES, path)
            members = TarReader(stream, _most_bytes(RECORDS_PER_BATCH), path).members()
            return any(_place(member) is not None for member in members)
    except (DataError, OSError):
        return False


def read_archive(path: Path, arrays: Cifar10Arrays, progress: Progress) -> tuple[str, ...]:
    """Fill `arrays` from an archive; give notes for the reader.

    Members may come in any order and in any folder. Those that are not CIFAR-10's are skipped.
    Time and memory are bounded whatever the file says (decision 025).

    Raises
    ------
    DataError
        If the archive is cut off or damaged, lacks a batch, holds one twice or as a link, mixes
        both versions, or unpacks to far more than CIFAR-10.
    """
    reader = _ArchiveReader(path, arrays)
    most_bytes = _most_bytes(arrays.records_per_batch)
    with progress.task("Reading CIFAR-10", total=reader.total, unit="files") as task:
        try:
            with path.open("rb") as file:
                stream = GzipStream(file, most_bytes, path)
                archive = TarReader(stream, most_bytes, path)
                for member in archive.members():
                    if reader.take(archive, member):
                        task.advance(detail=PurePosixPath(member.name).name)
                # gzip keeps its checksum at the end, after the last byte of the archive.
                while stream.read_some():
                    pass
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    return reader.finish()


def _most_bytes(records_per_batch: int) -> int:
    """Give twice what the Python version may have at most; enough for a readme and other files."""
    return 24 * records_per_batch * PIXEL_BYTES + 2**25


class _ArchiveReader:
    """Takes CIFAR-10's members from an archive as they come by."""

    total = 6

    def __init__(self, path: Path, arrays: Cifar10Arrays) -> None:
        self._path = path
        self._arrays = arrays
        self._form: Cifar10Format | None = None
        self._seen: set[str] = set()
        self._skipped: list[str] = []

    def take(self, archive: TarReader, member: TarMember) -> bool:
        """Read `member` if it is one of CIFAR-10's files; say whether it was a batch."""
        place = _place(member)
        if place is None:
            if member.is_file and member.name.split("/")[-1] != "readme.html":
                self._skipped.append(member.name)
            return False
        form, name = place
        where = f"{self._path}, member {member.name}"
        self._check(form, name, member, where)
        records = self._arrays.records_per_batch
        if name == form.meta_file:
            self._arrays.classes = form.parse_classes(archive.content(), where)
            return False
        batch = form.parse_batch(archive.content(), where, records)
        self._arrays.fill(form.batch_files.index(name), batch)
        return True

    def _check(self, form: Cifar10Format, name: str, member: TarMember, where: str) -> None:
        if not member.is_file:
            raise DataError(
                f"{where} is a link or a special file; it should be a regular file. Download the "
                "archive again."
            )
        if name in self._seen:
            raise DataError(f"{where} is there twice. Download the archive again.")
        if self._form not in (None, form):
            raise DataError(
                f"{self._path} mixes both versions of CIFAR-10. Give the published archive."
            )
        self._form = form
        self._seen.add(name)
        if name == form.meta_file:
            if member.size_bytes > META_BYTES:
                raise DataError(
                    f"{where} is too long for class names: {member.size_bytes:,} bytes."
                )
        else:
            form.check_size(member.size_bytes, where, self._arrays.records_per_batch)

    def finish(self) -> tuple[str, ...]:
        """Check that all batches were there; give notes."""
        if self._form is None:
            found = ", ".join(self._skipped[:5]) or "nothing"
            raise DataError(
                f"{self._path} holds no file of CIFAR-10; it holds {found[:300]}. Give "
                f"{' or '.join(form.archive_name for form in FORMATS)}."
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


def _place(member: TarMember) -> tuple[Cifar10Format, str] | None:
    """Give version and file name if a member's name is one of CIFAR-10's."""
    name = PurePosixPath(member.name).name
    for form in FORMATS:
        if name in (*form.batch_files, form.meta_file):
            return form, name
    return None
