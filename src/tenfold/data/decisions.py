"""What people decided about labels: a journal for each reviewer, and what they come to together.

In a run folder::

    review/
    ├── ANN.jsonl         a line a decision of the reviewer ANN; lines are added, never changed
    ├── resolved.jsonl    what was decided where reviewers disagree
    └── corrections.csv   what all of them come to; written again after each decision

A line is on the disk before anybody is told that it is. Of a line that a kill cut off nothing is
taken, and the next one begins on a line of its own. Whoever decides again or takes back adds a
line, so that nothing that anybody decided is ever lost.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import ValidationError

from tenfold.core.errors import RunFolderBusyError, RunFolderError, SettingsError
from tenfold.core.files import storage_errors, write_text
from tenfold.core.record import Record
from tenfold.core.text import counted, csv_line, printable
from tenfold.data.corrections import Correction, correction_rows, image_id

Verdict = Literal["keep", "relabel", "drop", "unsure"]

REVIEW = "review"
"""Folder in a run folder."""
REVIEWED_CORRECTIONS = "corrections.csv"
RESOLVED = "resolved"
"""Whose journal decides where reviewers disagree."""
DEFAULT_REVIEWER = "reviewer"
_JOURNAL = ".jsonl"
_LOCK = ".lock"
_LOCK_SECONDS = 20.0
"""More than the longest that another process writes."""
_NAME = re.compile(r"\w[\w-]{0,39}")
_COLUMNS = ("id", "given", "suggested", "action", "decision", "reviewer", "when")
DISAGREE = "disagree"
"""In the column ``decision``: nothing is changed until somebody resolves it."""
_EARLIER = "earlier"
"""A correction that the study was made with, and that nobody looked at again."""


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
        entry = Entry(id=name, given=given, verdict=verdict, label=label, when=when or _now())
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
            back = Entry(id=entry.id, given=entry.given, verdict=None, when=_now(), undoes=number)
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


@lru_cache(2**16)
def _line_text(cells: tuple[str, ...]) -> str:
    """Give a line of CSV; with each decision all others are written again as they were."""
    return csv_line(cells)


def _now() -> str:
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


def check_reviewer(name: str) -> str:
    """Give a reviewer's name, which becomes a file's.

    Raises
    ------
    SettingsError
        If it has other characters than letters, digits, ``-`` and ``_``, or is taken.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"--reviewer {name!r} cannot be a file's name. Use up to 40 letters, digits, - and _, "
            "for example --reviewer ann."
        )
    if name.casefold() == RESOLVED:
        raise SettingsError(
            f"--reviewer {name} is the name of what reviewers came to together. Choose another, "
            "or give --resolve to decide where reviewers disagree."
        )
    return name


class Review:
    """All that was decided about a study's labels.

    Parameters
    ----------
    folder
        ``review/`` in the run folder; it need not exist.
    labels
        The source's label of any image, by its identifier, as a class name; KeyError if there is
        no such image.
    earlier
        The corrections that the study was made with: they stay where nobody decides otherwise.
    classes
        Class names.

    Raises
    ------
    RunFolderError
        If a journal was made for other data.
    """

    def __init__(
        self,
        folder: Path,
        labels: Mapping[str, str],
        earlier: Sequence[Correction],
        classes: Sequence[str],
    ) -> None:
        self.folder = folder
        self._labels = labels
        self._earlier = {
            image_id(one.split, one.index): (
                one.action,
                None if one.label is None else classes[one.label],
            )
            for one in earlier
        }
        self._classes = frozenset(classes)
        self._journals: dict[str, Journal] = {}
        for journal in self.journals(with_resolved=True):
            self._check(journal)

    def journal(self, reviewer: str) -> Journal:
        """Give a reviewer's journal; a new one if there is none."""
        return self._journals.setdefault(reviewer, Journal(self.folder / f"{reviewer}{_JOURNAL}"))

    def journals(self, *, with_resolved: bool = False) -> list[Journal]:
        """Give the journals that are there, by name."""
        names = sorted(path.stem for path in self.folder.glob(f"*{_JOURNAL}"))
        return [self.journal(name) for name in names if with_resolved or name != RESOLVED]

    def disagreements(self) -> dict[str, dict[str, Decision]]:
        """Give the images about which reviewers disagree, with what each of them says."""
        said: dict[str, dict[str, Decision]] = {}
        for journal in self.journals():
            for name, decision in journal.decisions().items():
                said.setdefault(name, {})[journal.reviewer] = decision
        return {
            name: by_reviewer
            for name, by_reviewer in said.items()
            if len({decision.outcome for decision in by_reviewer.values()}) > 1
        }

    def open_disagreements(self) -> set[str]:
        """Give the images about which reviewers disagree and nobody resolved it."""
        return self.disagreements().keys() - self.journal(RESOLVED).decisions().keys()

    def both(self) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
        """Give each two reviewers, and their outcomes of the images that both decided about."""
        for first, second in combinations(self.journals(), 2):
            one, other = first.decisions(), second.decisions()
            shared = sorted(one.keys() & other.keys())
            yield (
                first.reviewer,
                second.reviewer,
                [(one[name].outcome, other[name].outcome) for name in shared],
            )

    def write_corrections(self) -> Path:
        """Write what all come to as a corrections file, whole or not at all, and give its path."""
        path = self.folder / REVIEWED_CORRECTIONS
        with review_lock(self.folder):
            write_text(path, self.corrections_csv())
        return path

    def corrections_csv(self) -> str:
        """Give what all come to: earlier corrections, then decisions, in the images' order."""
        lines = dict(self._earlier_lines())
        said: dict[str, dict[str, Decision]] = {}
        for journal in self.journals():
            for name, decision in journal.decisions().items():
                said.setdefault(name, {})[journal.reviewer] = decision
        resolved = self.journal(RESOLVED).decisions()
        for name in resolved.keys() | said.keys():
            by_reviewer = said.get(name, {})
            if name in resolved:
                lines[name] = self._line(name, resolved[name], RESOLVED)
            elif len({one.outcome for one in by_reviewer.values()}) > 1:
                lines[name] = self._disagreement(name, by_reviewer)
            else:
                last = max(by_reviewer.values(), key=lambda one: one.when)
                lines[name] = self._line(name, last, " ".join(sorted(by_reviewer)))
        ordered = sorted(lines, key=_image_order)
        return csv_line(_COLUMNS) + "".join(_line_text(tuple(lines[name])) for name in ordered)

    def add(self, reviewer: str, entries: Iterable[Entry]) -> int:
        """Add decisions to a reviewer's journal; give how many it had not already."""
        journal = self.journal(reviewer)
        known = journal.decisions()
        new = [
            one
            for one in entries
            if one.id not in known
            or (known[one.id].verdict, known[one.id].label) != (one.verdict, one.label)
        ]
        journal.decide_all(new)
        self.write_corrections()
        return len(new)

    def _earlier_lines(self) -> Iterator[tuple[str, list[str]]]:
        for name, (action, label) in self._earlier.items():
            if action != "keep":
                yield name, [name, self._labels[name], label or "", action, _EARLIER, "", ""]

    def _line(self, name: str, decision: Decision, reviewers: str) -> list[str]:
        given = self._labels[name]
        if decision.verdict == "unsure":
            return self._unchanged(name, "unsure", reviewers, decision.when)
        if decision.verdict == "drop":
            return [name, given, "", "drop", "drop", reviewers, decision.when]
        assert decision.label is not None
        # Who keeps a label that was corrected before keeps the corrected one.
        action = "keep" if decision.label == given else "relabel"
        label = decision.label if action == "relabel" else ""
        return [name, given, label, action, decision.verdict, reviewers, decision.when]

    def _disagreement(self, name: str, said: Mapping[str, Decision]) -> list[str]:
        when = max(decision.when for decision in said.values())
        return self._unchanged(name, DISAGREE, " ".join(sorted(said)), when)

    def _unchanged(self, name: str, word: str, reviewers: str, when: str) -> list[str]:
        """Give the line of an image that stays as it is in the study, earlier corrections kept."""
        action, label = self._earlier.get(name, ("keep", None))
        return [name, self._labels[name], label or "", action, word, reviewers, when]

    def _check(self, journal: Journal) -> None:
        """Refuse a journal that was made for other data, so that nothing is taken for this one's.

        What is refused stays where it is.
        """
        labels = (one.label for one in journal.decisions().values())
        strangers = sorted({one for one in labels if one is not None} - self._classes)
        wrong = [
            (name, given)
            for name, given in journal.givens().items()
            if self._labels.get(name) != given
        ]
        advice = (
            f"It was made for other data. Move it out of the folder to begin anew ({journal.path} "
            "is left as it is), or review the run folder that it was made for."
        )
        if wrong:
            name, given = wrong[0]
            has = self._labels.get(name)
            now = "no such image" if has is None else f"the label {printable(has)!r}"
            raise RunFolderError(
                f"The decisions in {journal.path} do not fit this study: "
                f"{counted(len(wrong), 'image')}, the first of them {printable(name)}, for which "
                f"it has the label {printable(given)!r} and the study {now}. {advice}"
            )
        if strangers:
            raise RunFolderError(
                f"The decisions in {journal.path} name a class {printable(strangers[0])!r} that "
                f"this study does not have. {advice}"
            )


def entries_of(
    content: bytes,
    name: str,
    corrections: Iterable[Correction],
    labels: Mapping[str, str],
    classes: Sequence[str],
) -> Iterator[Entry]:
    """Give the decisions that a corrections file stands for.

    Where no line says what was decided, as in an edited list of the audit, ``keep`` is what stands
    there before anybody looks, and is no decision.

    Parameters
    ----------
    content, name
        Of the file.
    corrections
        What `tenfold.data.corrections.parse_corrections` reads in it.
    labels, classes
        As of `Review`.
    """
    words = {
        row["id"].strip(): row.get("decision", "").strip().lower()
        for _, row in correction_rows(content, name)
    }
    now = _now()
    for one in corrections:
        image = image_id(one.split, one.index)
        word = words[image]
        if word in (DISAGREE, _EARLIER) or (one.action == "keep" and not word):
            continue
        given = labels[image]
        if word == "unsure" or one.action == "drop":
            verdict: Verdict = "drop" if one.action == "drop" else "unsure"
            yield Entry(id=image, given=given, verdict=verdict, when=now)
        else:
            label = given if one.label is None else classes[one.label]
            yield Entry(id=image, given=given, verdict=one.action, label=label, when=now)


def _image_order(name: str) -> tuple[str, int]:
    split, _, place = name.partition("/")
    return split, int(place)


def _unreadable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"The decisions in {path} cannot be read ({error.strerror or error}). Make the file "
        "readable, or move it out of the folder to begin anew."
    )
