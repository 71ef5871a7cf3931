"""The corrections file of a study: the run folder keeps its content, the settings its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tenfold.core.errors import DataError, RunFolderError
from tenfold.core.files import write_bytes
from tenfold.core.regular_files import MOST_TEXT_BYTES, read_regular_file
from tenfold.recipe import CorrectionsSettings

CORRECTIONS = "corrections.csv"
"""Beside settings.json: an edited ``audit/label_issues.csv`` may be replaced by the next audit."""


def corrections_settings(path: Path) -> CorrectionsSettings:
    """Give the settings that name a corrections file.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    return CorrectionsSettings(file=path.name, sha256=_sha256(_content(path)))


def adopt_corrections(
    run_folder: Path, settings: CorrectionsSettings | None, path: Path | None
) -> None:
    """Copy the corrections file into the run folder.

    Parameters
    ----------
    run_folder
        The study's.
    settings
        What the study was asked to use; None for nothing.
    path
        The file; None if the run folder has it already.
    """
    if settings is not None and path is not None:
        write_bytes(run_folder / CORRECTIONS, _content(path))


def stored_corrections(run_folder: Path, settings: CorrectionsSettings) -> bytes:
    """Give the content of the study's corrections file.

    Raises
    ------
    RunFolderError
        If it is not in the run folder, or is not the one that the settings name.
    """
    path = run_folder / CORRECTIONS
    content = path.read_bytes() if path.is_file() else b""
    if _sha256(content) != settings.sha256:
        raise RunFolderError(
            f"{path} is not the corrections file {settings.file} that this study was made with: it "
            "was changed or removed. Give the file again with --corrections FILE --update."
        )
    return content


def _content(path: Path) -> bytes:
    try:
        return read_regular_file(path, MOST_TEXT_BYTES)
    except OSError as error:
        raise DataError(
            f"The corrections file {path} cannot be read: {error.strerror or error}. Give a CSV "
            "file such as audit/label_issues.csv in a run folder, with its column action edited."
        ) from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
