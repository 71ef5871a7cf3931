"""Where the numbers come from: stages, versions, settings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tenfold.core.records.manifest import Manifest
from tenfold.reporting.study_records import StudyRecords


@dataclass(frozen=True)
class LibraryVersions:
    """A library and the version, or versions, that the stages ran with."""

    library: str
    versions: str
    is_mixed: bool
    """Whether stages ran with different versions of it."""


def library_versions(manifests: Iterable[Manifest]) -> list[LibraryVersions]:
    """Give the libraries of all stages, one line each."""
    seen: dict[str, dict[str, list[str]]] = {}
    for manifest in manifests:
        for library, version in manifest.versions.items():
            seen.setdefault(library, {}).setdefault(version, []).append(manifest.stage)
    lines = []
    for library in sorted(seen):
        versions = seen[library]
        if len(versions) == 1:
            lines.append(LibraryVersions(library, next(iter(versions)), is_mixed=False))
        else:
            text = "; ".join(f"{version} ({', '.join(at)})" for version, at in versions.items())
            lines.append(LibraryVersions(library, text, is_mixed=True))
    return lines


def settings_json(records: StudyRecords) -> str:
    """Give the resolved settings as indented JSON."""
    return json.dumps(records.settings, indent=2, ensure_ascii=False, default=str)


def command(stage: str, records: StudyRecords) -> str:
    """Give the command that runs a stage of this study."""
    return f"tenfold {stage} --out {shlex.quote(str(records.run_folder))}"


def finished_on(records: StudyRecords) -> str:
    """Give the day on which the last stage was begun, for example ``7 February 2025``."""
    days = []
    for manifest in records.manifests.values():
        try:
            days.append(datetime.fromisoformat(manifest.started))
        except ValueError:
            continue
    if not days:
        return ""
    last = max(days, key=lambda day: day.isoformat())
    # The month by hand: strftime's depends on the reader's locale.
    return f"{last.day} {_MONTHS[last.month - 1]} {last.year}"


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
