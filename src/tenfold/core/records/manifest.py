"""What proves that a stage is complete, and with what it was made."""

from __future__ import annotations

from tenfold.core.records.record import Record


class Manifest(Record):
    """Written last, so its presence means that the stage is complete."""

    stage: str
    fingerprint: str
    """SHA-256 over the stage's version, its settings and its inputs: what the result depends on."""
    settings: dict[str, object]
    inputs: dict[str, str]
    """Digest of every input: an earlier stage's files, or the data source."""
    files: dict[str, str]
    """SHA-256 of every file of the stage, by its path in the stage's folder."""
    versions: dict[str, str]
    device: str
    started: str
    """When this attempt began: ISO 8601, UTC."""
    seconds: float
    """Wall time, attempts that were cut off included as far as they were recorded."""
    attempts: int
    """How often the stage was started until it was complete."""
