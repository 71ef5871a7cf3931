"""CIFAR-10: 60,000 colour images of ten classes, from a local copy or a download."""

from __future__ import annotations

import os
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.files import sha256_of_file, sha256_of_json
from tenfold.core.progress import Progress
from tenfold.data.dataset import ImageDataset
from tenfold.data.download import RemoteArchive, download, verify_archive
from tenfold.data.sources.cifar10_files import (
    BINARY_ARCHIVE,
    PYTHON_ARCHIVE,
    cache_folder,
    find_folder,
    fingerprint_of_version,
    looks_like_archive,
    official_dataset,
    offline_error,
    read_version,
)
from tenfold.data.sources.cifar10_formats import RECORDS_PER_BATCH, Cifar10Arrays
from tenfold.data.sources.source import Source, SourceOptions, fingerprint_of_files

PATH_VARIABLE = "TENFOLD_CIFAR10"


class Cifar10Source:
    """CIFAR-10 from a folder or archive of either published version, or downloaded.

    A local copy is read as it is: sizes and labels are checked, checksums are not, as some copies
    differ for good reasons. What we downloaded must have the pinned checksum.

    Parameters
    ----------
    records_per_batch
        Images in each of the six batches.
    remote
        The archive to download.
    """

    name = "cifar10"
    needs_path = False
    summary = (
        "CIFAR-10: 60,000 colour images of 10 classes, 32 × 32 px; a local copy, "
        "or a download of 170 MB"
    )

    def __init__(
        self, records_per_batch: int = RECORDS_PER_BATCH, remote: RemoteArchive = PYTHON_ARCHIVE
    ) -> None:
        self.records_per_batch = records_per_batch
        self.remote = remote

    def recognises(self, path: Path) -> bool:
        """Say whether `path` is a folder or archive of CIFAR-10, or a folder that holds one."""
        return _find(path) is not None

    def available(self) -> str | None:
        """Say where CIFAR-10 lies on this machine: ``TENFOLD_CIFAR10``, else the cache.

        Raises
        ------
        DataError
            If ``TENFOLD_CIFAR10`` is set but does not lead to CIFAR-10.
        """
        place = self._own_place()
        return None if place is None else str(place)

    def fingerprint(self, path: Path | None) -> str:
        """Give a digest of the files, or of the pinned checksum for a download.

        Whether the download was already made does not change it.
        """
        place = path or self._own_place()
        if place is None or place == self._cached_archive():
            return sha256_of_json(["cifar10", "download", self.remote.sha256])
        found = _find(place)
        if found is None:
            return fingerprint_of_files(place, ())
        return fingerprint_of_version(found)

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Read the official splits; another `image_size_px` than 32 resizes all images.

        Raises
        ------
        DataError
            If files are missing, cut off, too long, damaged or not CIFAR-10.
        UnsafePickleError
            If a file of the Python version asks for more than plain arrays.
        ChecksumError, DownloadError
            If it had to be downloaded and could not.
        """
        place = path or self._own_place()
        if place is None:
            place = self._downloaded(options, progress)
        elif place == self._cached_archive():
            verify_archive(place, self.remote)
        found = _find(place)
        if found is None:
            raise DataError(_not_cifar10(place))
        arrays = Cifar10Arrays(self.records_per_batch)
        is_archive = found.is_file()
        found, notes = read_version(found, arrays, progress)
        if is_archive:
            notes += self._checksum_notes(found)
        return official_dataset(
            arrays,
            options.image_size_px,
            source=self.name,
            location=found,
            title="CIFAR-10",
            content="ten kinds of animals and vehicles",
            notes=(
                "3.25% of the test images have a near-duplicate in the training set "
                "(Barz and Denzler, 2020, Do We Train on Test Data?, arXiv 1902.00423).",
                *notes,
            ),
        )

    def _own_place(self) -> Path | None:
        if configured := os.environ.get(PATH_VARIABLE):
            place = Path(configured).expanduser()
            if _find(place) is None:
                raise DataError(
                    f"{PATH_VARIABLE} is set to {configured!r}. {_not_cifar10(place)} Correct the "
                    "variable or remove it."
                )
            return place
        archive = self._cached_archive()
        if archive.is_file():
            return archive
        # Somebody may have put an unpacked folder or the other archive there by hand.
        return _find(archive.parent)

    def _cached_archive(self) -> Path:
        return cache_folder() / self.remote.name

    def _downloaded(self, options: SourceOptions, progress: Progress) -> Path:
        folder = cache_folder()
        if options.is_offline:
            raise offline_error(self.remote, folder)
        return download(self.remote, folder, progress)

    def _checksum_notes(self, archive: Path) -> tuple[str, ...]:
        if archive == self._cached_archive():
            return ()
        for published in (self.remote, BINARY_ARCHIVE, PYTHON_ARCHIVE):
            if archive.name == published.name:
                if sha256_of_file(archive) == published.sha256:
                    return ()
                return (
                    f"{archive.name} has another checksum than the published archive of this "
                    "name; its images may differ from the official ones.",
                )
        return ()


SOURCE: Source = Cifar10Source()


def _find(path: Path) -> Path | None:
    """Give the folder with the batches, or the archive, that `path` is or holds; None if none."""
    try:
        return _find_readable(path)
    except OSError:  # No permission, a name too long.
        return None


def _find_readable(path: Path) -> Path | None:
    if path.is_file():
        return path if looks_like_archive(path) else None
    if (version := find_folder(path)) is not None:
        return version[1]
    for published in (BINARY_ARCHIVE, PYTHON_ARCHIVE):
        if (path / published.name).is_file():
            return path / published.name
    return None


def _not_cifar10(place: Path) -> str:
    if not os.path.exists(place):  # Unlike Path.exists, never raises.
        return f"{place} does not exist or may not be read."
    return (
        f"{place} holds no CIFAR-10. Expected a folder with data_batch_1.bin … test_batch.bin (the "
        "binary version) or data_batch_1 … test_batch (the Python version), or "
        f"{BINARY_ARCHIVE.name} or {PYTHON_ARCHIVE.name}."
    )
