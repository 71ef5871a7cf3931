"""What one person decided about labels: a journal, to which lines are added and never changed.

A line is on the disk before anybody is told that it is. Of a line that a kill cut off nothing is
taken, and the next one begins on a line of its own. Whoever decides again or takes back adds a
line, so that nothing that anybody decided is ever lost.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import ValidationError

from tenfold.core.errors import RunFolderBusyError, RunFolderError
from tenfold.core.files import storage_errors
from tenfold.core.record import Record

Verdict = Literal["keep", "relabel", "drop", "unsure"]

_LOCK = ".lock"
_LOCK_SECONDS = 20.0
"""More than the longest that another process writes."""


class Entry(Record):
    """A line of a journal."""

    id: str
    """Which image, as in corrections files."""
    given: str
    """The label that the source gave it: an entry that was made for other data is found by it."""
    verdict: Verdict | None
    """None takes an earlier decision back."""
    label: str | None = None
    """The class that the image has from now on; None of an image that is dropped or unclear."""
    when: str
    """ISO 8601, UTC."""
    undoes: int | None = None
    """The number of the line that is taken back."""


@dataclass(frozen=True)
class Decision:
    """What a reviewer says of an image now.

    Parameters
    ----------
    number
        Of its line in the reviewer's journal, from 1.
    verdict, label, when
        As in `Entry`.
    """

    number: int
    verdict: Verdict
    label: str | None
    when: str

    @property
    def outcome(self) -> str:
        """Give what becomes of the image as one word, to compare reviewers by."""
        return self.verdict if self.label is None else f"class {self.label}"


class DecidedMeanwhileError(Exception):
    """Another tab or process decided about the image after the page was told of it.

    Parameters
    ----------
    current
        What is decided now; None if that was taken back.
    """

    def __init__(self, current: Decision | None) -> None:
        super().__init__("decided meanwhile")
        self.current = current


class Journal:
    """One reviewer's decisions, held by any number of processes at a time.

    Parameters
    ----------
    path
        The file; made with the first decision.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable_lines = 0
        """Cut off by a kill, or damaged; they are left in the file."""
        self._read_bytes = 0
        self._entries: list[Entry | None] = []
        self._stacks: dict[str, list[int]] = {}
        self._standing: dict[str, Decision] = {}
        self._guard = threading.RLock()

    @property
    def reviewer(self) -> str:
        """Give whose journal it is."""
        return self.path.stem

    def decisions(self) -> dict[str, Decision]:
        """Give what is decided now, by image."""
        with self._guard:
            self._catch_up()
            return dict(self._standing)

    def givens(self) -> dict[str, str]:
        """Give the source's label of each image that was ever decided about."""
        with self._guard:
            self._catch_up()
            return {one.id: one.given for one in self._entries if one is not None}

    def standing(self) -> list[int]:
        """Give the numbers of the lines that hold now, in their order."""
        with self._guard:
            self._catch_up()
            return sorted(number for stack in self._stacks.values() for number in stack)

    def decide(
        self,
        name: str,
        given: str,
        verdict: Verdict,
        label: str | None = None,
        when: str | None = None,
        *,
        expects: int | Literal["any"] | None = "any",
    ) -> Decision:
        """Write down a decision; it is on the disk when this returns.

        Parameters
        ----------
        name, given, verdict, label, when
            As in `Entry`; `when` is now if it is None.
        expects
            Number of the decision about the image that whoever decides knows of, None for none.

        Raises
        ------
        DecidedMeanwhileError
            If there is another one; nothing is written.
        """
        entry = Entry(id=name, given=given, verdict=verdict, label=label, when=when or now_text())
        with self._held():
            current = self._current(name)
            known = None if current is None else current.number
            if expects not in ("any", known):
                raise DecidedMeanwhileError(current)
            return self._decision(self._append([entry]))

    def decide_all(self, entries: Sequence[Entry]) -> None:
        """Write down many decisions at once: all of them, or after a kill the first ones."""
        with self._held():
            if entries:
                self._append(entries)

    def undo(self, number: int) -> tuple[str, Decision | None]:
        """Take a decision back.

        Returns
        -------
        name
            Which image it was about.
        decision
            What is decided about it now: what was before.

        Raises
        ------
        DecidedMeanwhileError
            If it does not hold any more.
        """
        with self._held():
            entry = self._entries[number - 1] if 0 < number <= len(self._entries) else None
            if entry is None:
                raise DecidedMeanwhileError(None)
            if self._stacks.get(entry.id, [])[-1:] != [number]:
                raise DecidedMeanwhileError(self._current(entry.id))
            back = Entry(
                id=entry.id, given=entry.given, verdict=None, when=now_text(), undoes=number
            )
            self._append([back])
            return entry.id, self._current(entry.id)

    def entry(self, number: int) -> Entry | None:
        """Give a line by its number."""
        with self._guard:
            return self._entries[number - 1] if 0 < number <= len(self._entries) else None

    def _current(self, name: str) -> Decision | None:
        return self._standing.get(name)

    def _decision(self, number: int) -> Decision:
        entry = self._entries[number - 1]
        assert entry is not None
        assert entry.verdict is not None
        return Decision(number, entry.verdict, entry.label, entry.when)

    @contextmanager
    def _held(self) -> Iterator[None]:
        with self._guard, review_lock(self.path.parent):
            self._catch_up()
            yield

    def _catch_up(self) -> None:
        """Read what was added, by whomever, since the last look."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = 0
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if size < self._read_bytes:  # somebody put another file in its place
            self._read_bytes, self._entries = 0, []
            self._stacks, self._standing, self.unreadable_lines = {}, {}, 0
        if size == self._read_bytes:
            return
        try:
            with self.path.open("rb") as file:
                file.seek(self._read_bytes)
                added = file.read()
        except OSError as error:
            raise _unreadable(self.path, error) from error
        whole = added[: added.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError:
            self._entries.append(None)
            self.unreadable_lines += bool(line.strip())
            return
        self._entries.append(entry)
        stack = self._stacks.setdefault(entry.id, [])
        if entry.verdict is not None:
            stack.append(len(self._entries))
        elif entry.undoes in stack:
            stack.remove(entry.undoes)
        if stack:
            self._standing[entry.id] = self._decision(stack[-1])
        else:
            self._standing.pop(entry.id, None)

    def _append(self, entries: Sequence[Entry]) -> int:
        """Add lines, and give the number of the last one."""
        content = "".join(
            json.dumps(
                entry.model_dump(exclude_none=True, mode="json") | {"verdict": entry.verdict},
                ensure_ascii=False,
            )
            + "\n"
            for entry in entries
        ).encode("utf-8", "backslashreplace")
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(
                self.path,
                os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0),
                0o666,
            )
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                if size > self._read_bytes:  # a kill cut the last line off
                    content = b"\n" + content
                try:
                    while content:
                        content = content[file.write(content) :]
                except OSError:
                    file.truncate(size)  # a full disk: no half line
                    raise
                os.fsync(file.fileno())
        self._catch_up()
        return len(self._entries)


def now_text() -> str:
    """Give the time as journals have it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def review_lock(folder: Path) -> Iterator[None]:
    """Hold the review folder against other processes, for the moment in which it is written.

    Raises
    ------
    RunFolderBusyError
        If another holds it for long.
    """
    with storage_errors(folder, only_known=True):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout:
            raise RunFolderBusyError(
                f"Another process has been writing in {folder} for {_LOCK_SECONDS:.0f} seconds. "
                "Stop it, and decide again: nothing was written."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _unreadable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"The decisions in {path} cannot be read ({error.strerror or error}). Make the file "
        "readable, or move it out of the folder to begin anew."
    )
