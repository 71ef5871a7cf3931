"""One advice and its evidence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recommendation:
    """One advice and what was measured that leads to it."""

    action: str
    evidence: str
