"""CIFAR-10 from either published ``.tar.gz``, read as a stream: nothing is unpacked to disk."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from tenfold.core.errors import DataError
from tenfold.core.progress import Progress
from tenfold.sources.cifar10_batches import PIXEL_BYTES, Cifar10Arrays, Cifar10Format
from tenfold.sources.cifar10_folder import FORMATS, META_BYTES

_SUFFIXES = (".tar.gz", ".tgz")
_BUFFER_BYTES = 2**20
_MOST_MEMBERS = 1000
_SEARCHED_MEMBERS = 3  # The published archives begin with a folder, then files.


def looks_like_archive(path: Path) -> bool:
    """Say whether `path` is a CIFAR-10 archive, by its name or by what it begins with."""
    if not path.name.lower().endswith(_SUFFIXES) or not path.is_file():
        return False
    if path.name.lower().startswith(("cifar-10-", "cifar10")):
        return True
    try:
        with tarfile.open(path, mode="r|gz") as archive:
            for _ in range(_SEARCHED_MEMBERS):
                member = archive.next()
                if member is not None and _place(member) is not None:
                    return True
    except (tarfile.TarError, OSError, EOFError, zlib.error):
        pass
    return False


def read_archive(path: Path, arrays: Cifar10Arrays, progress: Progress) -> tuple[str, ...]:
    """Fill `arrays` from an archive; give notes for the reader.

    Members may come in any order and in any folder. Those that are not CIFAR-10's are skipped.

    Raises
    ------
    DataError
        If the archive is cut off or damaged, lacks a batch, holds one twice or as a link, mixes
        both versions, or unpacks to far more than CIFAR-10.
    """
    reader = _ArchiveReader(path, arrays)
    with progress.task("Reading CIFAR-10", total=reader.total, unit="files") as task:
        try:
            with gzip.open(path) as unpacked:
                stream = _LimitedStream(unpacked, reader.most_bytes, path)
                with tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER_BYTES) as archive:
                    for member in archive:
                        if reader.take(archive, member):
                            task.advance(detail=PurePosixPath(member.name).name)
                # gzip keeps its checksum at the end, after the last byte that tarfile wants.
                while stream.read(_BUFFER_BYTES):
                    pass
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError) as error:
            raise DataError(
                f"{path} is not a whole .tar.gz archive ({error}). It is cut off or damaged; copy "
                "or download it again."
            ) from error
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    return reader.finish()


class _ArchiveReader:
    """Takes CIFAR-10's members from an archive as they come by."""

    total = 6

    def __init__(self, path: Path, arrays: Cifar10Arrays) -> None:
        self._path = path
        self._arrays = arrays
        self._form: Cifar10Format | None = None
        self._seen: set[str] = set()
        self._members = 0
        self._skipped: list[str] = []
        # Twice what the Python version may have at most; enough for a readme and other files.
        self.most_bytes = 24 * arrays.records_per_batch * PIXEL_BYTES + 2**25

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bool:
        """Read `member` if it is one of CIFAR-10's files; say whether it was a batch."""
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise DataError(
                f"{self._path} holds more than {_MOST_MEMBERS:,} files; CIFAR-10's archives hold "
                "8. Give the published archive or the unpacked folder."
            )
        place = _place(member)
        if place is None:
            if member.isfile() and member.name.split("/")[-1] != "readme.html":
                self._skipped.append(member.name)
            return False
        form, name = place
        where = f"{self._path}, member {member.name}"
        self._check(form, name, member, where)
        records = self._arrays.records_per_batch
        if name == form.meta_file:
            self._arrays.classes = form.parse_classes(_content(archive, member), where)
            return False
        batch = form.parse_batch(_content(archive, member), where, records)
        self._arrays.fill(form.batch_files.index(name), batch)
        return True

    def _check(self, form: Cifar10Format, name: str, member: tarfile.TarInfo, where: str) -> None:
        if not member.isreg():
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
            if member.size > META_BYTES:
                raise DataError(f"{where} is too long for class names: {member.size:,} bytes.")
        else:
            form.check_size(member.size, where, self._arrays.records_per_batch)

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


class _LimitedStream(io.RawIOBase):
    """Reads on until more was unpacked than CIFAR-10 can need (a "zip bomb" stops there)."""

    def __init__(self, stream: gzip.GzipFile, most_bytes: int, path: Path) -> None:
        self._stream = stream
        self._left = most_bytes
        self._path = path

    def read(self, size: int = -1) -> bytes:
        """Give the next `size` bytes."""
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise DataError(
                f"{self._path} unpacks to far more than CIFAR-10. Give the published archive."
            )
        return content


def _place(member: tarfile.TarInfo) -> tuple[Cifar10Format, str] | None:
    """Give version and file name if a member's name is one of CIFAR-10's."""
    name = PurePosixPath(member.name).name
    for form in FORMATS:
        if name in (*form.batch_files, form.meta_file):
            return form, name
    return None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None, "regular files have content"
    with file:
        return file.read()
