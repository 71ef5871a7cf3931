"""The corrections file of a study: the run folder keeps its content, the settings its hash."""

from __future__ import annotations

from pathlib import Path

from tenfold.core.errors import DataError, RunFolderError
from tenfold.core.files import (
    MOST_TEXT_BYTES,
    read_pipe,
    read_regular_file,
    sha256_of_bytes,
    storage_errors,
    write_bytes,
)
from tenfold.data.corrections import CorrectionsSettings

CORRECTIONS = "corrections.csv"
"""Beside settings.json: an edited ``audit/label_issues.csv`` is replaced by the next audit."""


_OFFERED = ".corrections.offered.csv"


def read_corrections(path: Path) -> bytes:
    """Give the content of a corrections file, or of what a shell pipes in its place.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        if path.is_fifo():
            return read_pipe(path, MOST_TEXT_BYTES)
        return read_regular_file(path, MOST_TEXT_BYTES)
    except OSError as error:
        raise DataError(
            f"The corrections file {path} cannot be read: {error.strerror or error}. Give a CSV "
            "file such as audit/label_issues.csv in a run folder, with its column action edited."
        ) from None


def corrections_settings(path: Path, content: bytes) -> CorrectionsSettings:
    """Give the settings that name a corrections file by its content."""
    return CorrectionsSettings(file=path.name, sha256=sha256_of_bytes(content))


def offer_corrections(
    run_folder: Path, settings: CorrectionsSettings | None, content: bytes | None
) -> None:
    """Put a corrections file into the run folder for the acquire stage to look at.

    The one before it stays until `adopt_corrections`.

    Parameters
    ----------
    run_folder
        The study's.
    settings
        What the study was asked to use; None for nothing.
    content
        Of the file; None if the run folder has it already.
    """
    if settings is not None and content is not None:
        write_bytes(run_folder / _OFFERED, content)


def adopt_corrections(run_folder: Path, settings: CorrectionsSettings | None) -> None:
    """Make the corrections file that the settings name the run folder's own."""
    offered = run_folder / _OFFERED
    with storage_errors(offered):
        if settings is not None and _content(offered, settings) is not None:
            offered.replace(run_folder / CORRECTIONS)
        offered.unlink(missing_ok=True)


def stored_corrections(run_folder: Path, settings: CorrectionsSettings) -> bytes:
    """Give the content of the study's corrections file.

    Raises
    ------
    RunFolderError
        If it is not in the run folder, or is not the one that the settings name.
    """
    for name in (CORRECTIONS, _OFFERED):
        content = _content(run_folder / name, settings)
        if content is not None:
            return content
    raise RunFolderError(
        f"{run_folder / CORRECTIONS} is not the corrections file {settings.file} that this study "
        "was made with: it was changed or removed. Give the file again with "
        "--corrections FILE --update."
    )


def _content(path: Path, settings: CorrectionsSettings) -> bytes | None:
    """Give a file's content if it is the one that the settings name."""
    content = read_regular_file(path, MOST_TEXT_BYTES) if path.is_file() else None
    return content if content is not None and sha256_of_bytes(content) == settings.sha256 else None
