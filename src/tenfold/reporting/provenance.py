"""Where the numbers come from: stages and versions."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import datetime

from tenfold.core.run_folder import Manifest
from tenfold.reporting.study_records import StudyRecords


def library_versions(manifests: Iterable[Manifest]) -> dict[str, dict[str, list[str]]]:
    """Give each library's versions, and of each version the stages that ran with it."""
    found: dict[str, dict[str, list[str]]] = {}
    for manifest in manifests:
        for library, version in manifest.versions.items():
            found.setdefault(library, {}).setdefault(version, []).append(manifest.stage)
    return dict(sorted(found.items()))


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
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
