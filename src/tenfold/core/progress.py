"""How long-running code tells what it is doing, without knowing who listens."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Task(Protocol):
    """One running piece of work, of `total` units."""

    def advance(self, units: float = 1.0, *, detail: str = "") -> None:
        """Count `units` more as done; `detail` is a short text such as ``"loss 1.02"``."""


TaskContext = AbstractContextManager[Task]
"""A task whose bar is shown within the block."""


class Progress(Protocol):
    """Somebody who shows progress: a terminal, a log, a notebook."""

    def say(self, message: str) -> None:
        """Show one line that stays."""

    def task(
        self, description: str, total: float, *, done: float = 0.0, unit: str = "it"
    ) -> TaskContext:
        """Open a progress bar for `total` units, of which `done` were done before."""


class _SilentTask:
    def advance(self, units: float = 1.0, *, detail: str = "") -> None:
        """Do nothing."""


class SilentProgress:
    """Show nothing: the default of the Python interface."""

    def say(self, message: str) -> None:
        """Do nothing."""

    def task(
        self, description: str, total: float, *, done: float = 0.0, unit: str = "it"
    ) -> TaskContext:
        """Give a task that shows nothing."""
        del description, total, done, unit
        return nullcontext(_SilentTask())
