"""What reviewers come to together about a study's labels.

In a run folder::

    review/
    ├── ANN.jsonl         the journal of the reviewer ANN, see `tenfold.data.decisions`
    ├── resolved.jsonl    what was decided where reviewers disagree
    └── corrections.csv   what all of them come to; written again after each decision
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path

from tenfold.core.errors import RunFolderError, SettingsError
from tenfold.core.files import write_text
from tenfold.core.text import counted, csv_line, printable
from tenfold.data.corrections import Correction, correction_rows, image_id
from tenfold.data.decisions import Decision, Entry, Journal, Verdict, now_text, review_lock

REVIEW = "review"
"""Folder in a run folder."""
REVIEWED_CORRECTIONS = "corrections.csv"
RESOLVED = "resolved"
"""Whose journal decides where reviewers disagree."""
DEFAULT_REVIEWER = "reviewer"
DISAGREE = "disagree"
"""In the column ``decision``: nothing is changed until somebody resolves it."""
_EARLIER = "earlier"
"""A correction that the study was made with, and that nobody looked at again."""
_JOURNAL = ".jsonl"
_NAME = re.compile(r"\w[\w-]{0,39}")
_COLUMNS = ("id", "given", "suggested", "action", "decision", "reviewer", "when")


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

    def _said(self) -> dict[str, dict[str, Decision]]:
        """Give what each reviewer says of each image that somebody decided about."""
        said: dict[str, dict[str, Decision]] = {}
        for journal in self.journals():
            for name, decision in journal.decisions().items():
                said.setdefault(name, {})[journal.reviewer] = decision
        return said

    def disagreements(self) -> dict[str, dict[str, Decision]]:
        """Give the images about which reviewers disagree, with what each of them says."""
        return {
            name: by_reviewer
            for name, by_reviewer in self._said().items()
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
        said = self._said()
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
    now = now_text()
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


@lru_cache(2**16)
def _line_text(cells: tuple[str, ...]) -> str:
    """Give a line of CSV; with each decision all others are written again as they were."""
    return csv_line(cells)


def _image_order(name: str) -> tuple[str, int]:
    split, _, place = name.partition("/")
    return split, int(place)
