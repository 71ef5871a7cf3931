"""How long-running code tells what it is doing, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol


class Task(Protocol):
    """One running piece of work, of `total` units."""

    def advance(self, units: float = 1.0, *, detail: str = "") -> None:
        """Count `units` more as done; `detail` is a short text such as ``"loss 1.02"``."""


class Progress(Protocol):
    """Somebody who shows progress: a terminal, a log, a notebook."""

    def say(self, message: str) -> None:
        """Show one line that stays."""

    def task(
        self, description: str, total: float, *, done: float = 0.0, unit: str = "it"
    ) -> TaskContext:
        """Open a progress bar for `total` units, of which `done` were done before."""


class TaskContext(Protocol):
    """A task as a context manager, closed at the end of the block."""

    def __enter__(self) -> Task:
        """Show the bar."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool | None:
        """Close the bar."""


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
        return _silent_task()


@contextmanager
def _silent_task() -> Iterator[_SilentTask]:
    yield _SilentTask()
