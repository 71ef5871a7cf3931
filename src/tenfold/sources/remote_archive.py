"""A published file, its checksum, and where it can be had."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenfold.core.errors import ChecksumError
from tenfold.core.files import sha256_of_file


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
