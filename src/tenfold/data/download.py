"""Files fetched once from the first mirror that has them, checked by digest."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tenfold.core.errors import ChecksumError, DownloadError, StorageError
from tenfold.core.files import sha256_of_file
from tenfold.core.progress import Progress
from tenfold.data.http import DownloadPatience, HttpStream, MirrorError, WrongFileError

_STALE_SECONDS = 24 * 3600  # No download that still runs is a day old.


@dataclass(frozen=True)
class RemoteArchive:
    """A file that several mirrors offer.

    Parameters
    ----------
    name
        File name in the cache.
    sha256
        Of the whole file: what makes a mirror trustworthy.
    size_bytes
        Of the whole file: more is never downloaded.
    urls
        Mirrors, tried in order.
    advice
        What to do when no mirror gives it: sentences for messages.
    """

    name: str
    sha256: str
    size_bytes: int
    urls: tuple[str, ...]
    advice: str = ""


def download(
    archive: RemoteArchive,
    folder: Path,
    progress: Progress,
    *,
    patience: DownloadPatience | None = None,
) -> Path:
    """Give the path of the archive in `folder`, downloaded and verified.

    The file gets its name only when it is whole and its checksum is right.

    Parameters
    ----------
    archive
        What to fetch, and from where.
    folder
        The cache; made if it is missing.
    patience
        When to give up on a mirror; None takes the defaults.

    Raises
    ------
    ChecksumError
        If every mirror gave another file.
    DownloadError
        If no mirror gave the file; lists each with its reason.
    StorageError
        If the cache cannot be written.
    """
    patience = patience or DownloadPatience()
    failures: list[tuple[str, MirrorError]] = []
    for number, url in enumerate(archive.urls, start=1):
        host = urlsplit(url).netloc
        progress.say(f"Downloading {archive.name} from {host}")
        is_last = number == len(archive.urls)
        try:
            return _download_from(url, archive, folder, progress, patience, is_last=is_last)
        except MirrorError as error:
            failures.append((url, error))
            progress.say(f"{host}: {error}")
    reasons = "\n".join(f"  {url}: {error}" for url, error in failures)
    if all(isinstance(error, WrongFileError) for _, error in failures):
        raise ChecksumError(
            f"Every mirror gave another file than the published {archive.name}:\n{reasons}\n"
            "A proxy or a login page may answer in the mirrors' place: check the network. "
            f"{archive.advice}"
        )
    raise DownloadError(
        f"{archive.name} could not be downloaded: no mirror gave it:\n{reasons}\n"
        f"Check the network and run the same command again. {archive.advice}"
    )


def _download_from(
    url: str,
    archive: RemoteArchive,
    folder: Path,
    progress: Progress,
    patience: DownloadPatience,
    *,
    is_last: bool,
) -> Path:
    import requests

    for attempt in range(1, patience.attempts + 1):
        try:
            return _download_once(url, archive, folder, progress, patience, may_be_slow=is_last)
        except requests.HTTPError as error:
            status = 0 if error.response is None else error.response.status_code
            if status < 500 or attempt == patience.attempts:
                raise MirrorError(f"HTTP status {status}") from error
        # requests' errors are OSErrors too, so they come before those of the disk.
        except requests.RequestException as error:
            if attempt == patience.attempts:
                raise MirrorError(f"{_plain_reason(error)} ({attempt} attempts)") from error
        except OSError as error:
            raise StorageError(
                f"Cannot write to the cache {folder}: {error.strerror or error}. Free some space, "
                "or set TENFOLD_CACHE to a folder that you may write to."
            ) from error
        progress.say(f"The connection broke; attempt {attempt + 1} of {patience.attempts}")
        time.sleep(attempt - 1)
    raise AssertionError("the last attempt returns or raises")


def _download_once(
    url: str,
    archive: RemoteArchive,
    folder: Path,
    progress: Progress,
    patience: DownloadPatience,
    *,
    may_be_slow: bool,
) -> Path:
    import pooch

    with (
        _work_folder(folder, archive.name) as work,
        progress.task(f"Downloading {archive.name}", total=archive.size_bytes, unit="B") as task,
    ):
        stream = HttpStream(task, archive.size_bytes, patience, may_be_slow=may_be_slow)
        try:
            with _quiet(pooch.get_logger()):
                whole = pooch.retrieve(
                    url,
                    known_hash=f"sha256:{archive.sha256}",
                    fname=archive.name,
                    path=work,
                    downloader=stream,
                )
        except ValueError as error:
            # pooch says so of a wrong checksum; an address that cannot be parsed is one as well.
            if not stream.sha256:
                raise
            problem = checksum_problem(archive, stream.sha256, stream.received_bytes)
            raise WrongFileError(problem) from error
        return Path(whole).replace(folder / archive.name)


@contextmanager
def _work_folder(folder: Path, name: str) -> Iterator[Path]:
    """Give a temporary folder in `folder`, gone at the end of the block.

    Each process has its own, so two downloads at once do not write into each other's file; what a
    kill left behind goes with the next download once it is a day old.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f".{name}."
    for old in folder.glob(f"{prefix}*.part"):
        if time.time() - old.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, suffix=".part", dir=folder) as work:
        yield Path(work)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch from writing into the progress display."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def verify_archive(path: Path, archive: RemoteArchive) -> None:
    """Check that `path` is the published file.

    Raises
    ------
    ChecksumError
        If its SHA-256 is another one.
    """
    size_bytes = path.stat().st_size
    received = sha256_of_file(path) if size_bytes <= archive.size_bytes else "not computed"
    if received != archive.sha256:
        problem = checksum_problem(archive, received, size_bytes)
        raise ChecksumError(
            f"{path} is not the published {archive.name}: {problem}. Delete it and run the same "
            "command again, or give a local copy: --data PATH."
        )


def checksum_problem(archive: RemoteArchive, received_sha256: str, received_bytes: int) -> str:
    """Say how what was received differs from the published file, and the likely cause."""
    cause = (
        f"it has {received_bytes:,} of {archive.size_bytes:,} bytes, so the transfer was cut off"
        if received_bytes < archive.size_bytes
        else f"it has {received_bytes:,} bytes instead of {archive.size_bytes:,}"
        if received_bytes > archive.size_bytes
        else "another page or version stands in its place, or disk or network damaged it"
    )
    return f"expected SHA-256 {archive.sha256}, received {received_sha256}; likely cause: {cause}"


def _plain_reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.ReadTimeout):
        return "the transfer stalled"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate was not accepted"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the transfer broke off"
    if isinstance(error, requests.ConnectionError):
        # A read that stalls in mid-body comes as a ConnectionError that names it.
        return "the transfer stalled" if "timed out" in str(error) else "no connection"
    return type(error).__name__
