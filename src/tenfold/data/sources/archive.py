"""An archive of a folder of images, read in place: .zip, .tar, .tar.gz."""

from __future__ import annotations

from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.files import sha256_of_json
from tenfold.core.progress import Progress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.archive_members import Archive, archive_tree, why_left_out
from tenfold.data.sources.folder import read_arranged
from tenfold.data.sources.folder_files import is_image_name
from tenfold.data.sources.folder_layout import layout_of
from tenfold.data.sources.labelled_rows import load_table
from tenfold.data.sources.source import Source, SourceOptions, fingerprint_of_files
from tenfold.data.sources.tables_beside import tables_in_archive
from tenfold.data.sources.tar_members import GZIP_MARK, TAR_MARK, TAR_MARK_AT, tar_members
from tenfold.data.sources.zip_members import zip_members

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
_ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06")  # the second of an empty one
_READING = 2
"""Raised when the same file gives other classes, splits or pixels than before."""


class ArchiveSource:
    """An archive of what the folder or the table source reads; nothing is unpacked to disk.

    Images of a .zip or .tar are read at their places. A .tar.gz is unpacked once for the list of
    its members, and a second time, block by block, for the images.
    """

    name = "archive"
    needs_path = True
    is_of_image_files = True
    summary = "a .zip, .tar or .tar.gz of a folder of images, read in place"

    def recognises(self, path: Path) -> bool:
        """Say whether `path` begins as such an archive does."""
        return kind_of_archive(path) != ""

    def available(self) -> str | None:
        """Say no: an archive must be named."""
        return None

    def fingerprint(self, path: Path | None) -> str:
        """Give a digest of the archive's name, size and time."""
        archive = _given(path)
        return sha256_of_json(
            ["archive", _READING, fingerprint_of_files(archive.parent, (archive,))]
        )

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Decode all images and split them, as the folder source does.

        Raises
        ------
        DataError
            If the archive is damaged or was made to do harm, or as the folder source says.
        """
        archive = open_archive(_given(path))
        _check_images(archive)
        tables = tables_in_archive(archive)
        if tables is not None:
            return load_table(
                tables.table(options),
                options,
                progress,
                source=self.name,
                title=title_of(archive.path),
                description="in an archive, named by a table in it",
            )
        return read_arranged(
            layout_of(archive_tree(archive), archive.left_out),
            options,
            progress,
            source=self.name,
            location=str(archive.path),
            title=title_of(archive.path),
            place="an archive",
        )


SOURCE: Source = ArchiveSource()


def kind_of_archive(path: Path) -> str:
    """Say whether a file begins as a ``zip``, a ``tar``, a ``tar.gz``, or as none: empty."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            start = file.read(TAR_MARK_AT + len(TAR_MARK))
    except OSError:
        return ""
    # Excel's and PyTorch's files are ZIP archives, too, and so is NumPy's.
    if start.startswith(_ZIP_MARKS) and path.suffix.lower() in {".zip", ""}:
        return "zip"
    if start[TAR_MARK_AT:] == TAR_MARK:
        return "tar"
    is_packed = start.startswith(GZIP_MARK) and path.name.lower().endswith((".tar.gz", ".tgz"))
    return "tar.gz" if is_packed else ""


def open_archive(path: Path) -> Archive:
    """List the files of an archive.

    Raises
    ------
    DataError
        If it is none, is damaged, or was made to do harm.
    """
    match kind_of_archive(path):
        case "zip":
            return zip_members(path)
        case "":
            raise DataError(
                f"{path} is no archive that is read. Expected {', '.join(SUFFIXES)} of a folder of "
                "images."
            )
    return tar_members(path)


def title_of(path: Path) -> str:
    """Give an archive's name without its endings."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)]
    return path.name


def _given(path: Path | None) -> Path:
    if path is None:
        raise DataError(
            "The source 'archive' needs a file: tenfold run --data FILE.zip. Expected "
            f"{', '.join(SUFFIXES)} of a folder of images."
        )
    return path


def _check_images(archive: Archive) -> None:
    if archive.left_out and not any(map(is_image_name, archive.names)):
        reasons = "; ".join(why_left_out(archive.left_out))
        raise DataError(f"{archive.path} has no image that can be read: {reasons}.")
