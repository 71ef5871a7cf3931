"""One reviewer at work: what there is to look at, what was decided, what it tells so far.

Plain data in and out; `tenfold.serving.review.app` gives it addresses.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, get_args

from tenfold.data.decisions import DecidedMeanwhileError, Decision, Verdict
from tenfold.data.reviews import RESOLVED, REVIEW, Review
from tenfold.evaluation.review import review_agreement, review_yield
from tenfold.serving.guard import Refusal
from tenfold.serving.review.study import Pair, ReviewedStudy

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
MOST_ROWS = 500
_HISTORY = 200
"""Decisions that can be taken back after the page was loaded again."""
_SHOWN_PAIRS = 4


class ReviewSession:
    """One reviewer, who does not see what others decided; or whoever resolves disagreements.

    Parameters
    ----------
    study
        Whose labels are reviewed.
    reviewer
        Name of the journal.
    """

    def __init__(self, study: ReviewedStudy, reviewer: str) -> None:
        self.study = study
        self.reviewer = reviewer
        self.is_resolving = reviewer == RESOLVED
        self.review = Review(study.path / REVIEW, study.source_labels, study.earlier, study.classes)
        self._journal = self.review.journal(reviewer)
        self._class_lists: dict[str, list[str]] = {}

    def state(self) -> dict[str, Any]:
        """Give what the page needs first."""
        out = shlex.quote(str(self.study.path))
        return {
            "title": self.study.acquired.title,
            "run": str(self.study.path),
            "digest": self.study.digest,
            "classes": list(self.study.classes),
            "reviewer": self.reviewer,
            "is_resolving": self.is_resolving,
            "lists": [self._summary(name) for name in self._lists()],
            "class_counts": {
                name: [
                    int(((one.labels == label) & one.is_kept).sum())
                    for label in range(len(self.study.classes))
                ]
                for name, one in self.study.splits.items()
            },
            "history": self._journal.standing()[-_HISTORY:],
            "notes": self._notes(),
            "commands": {
                "retrain": f"tenfold review {out} --retrain",
                "resolve": f"tenfold review {out} --resolve",
            },
        }

    def rows(self, name: str, start: int, count: int) -> dict[str, Any]:
        """Give some rows of a list."""
        decided = self._journal.decisions()
        if name == "pairs":
            pairs = self.study.pairs[start : start + count]
            return {
                "total": len(self.study.pairs),
                "rows": [self._pair_row(pair, decided) for pair in pairs],
            }
        ids = self._ids(name)
        return {
            "total": len(ids),
            "rows": [self._row(one, decided.get(one)) for one in ids[start : start + count]],
        }

    def next_open(self, name: str, after: int) -> int | None:
        """Give the place of the next row that nothing was decided about; None if all were."""
        decided = self._journal.decisions()
        if name == "pairs":
            is_open = [not _is_settled(pair, decided) for pair in self.study.pairs]
        else:
            is_open = [one not in decided for one in self._ids(name)]
        order = [*range(after, len(is_open)), *range(min(after, len(is_open)))]
        return next((place for place in order if is_open[place]), None)

    def item(self, name: str) -> dict[str, Any]:
        """Give all that is known of an image."""
        split, index = self.place(name)
        one = self.study.splits[split]
        source = int(one.given.labels[index])
        rank, issue = self.study.issue.get(name, (None, None))
        decided = self._journal.decisions()
        return {
            **self._plain_row(name, decided.get(name)),
            "source": source if source != one.labels[index] else None,
            "rank": rank,
            "score": None if issue is None else issue.score,
            "probabilities": self.study.most_probable(name),
            "judge": one.source,
            "pairs": [
                {
                    "id": (other := pair.second if pair.first == name else pair.first),
                    "label": self.study.label(other),
                    "is_exact": pair.is_exact,
                    "is_same": pair.is_same,
                }
                for pair in self.study.pairs_of.get(name, ())[:_SHOWN_PAIRS]
            ],
            "said": {
                reviewer: self._plain_decision(decision)
                for reviewer, decision in (
                    self.review.disagreements().get(name, {}) if self.is_resolving else {}
                ).items()
            },
        }

    def progress(self, name: str) -> dict[str, Any]:
        """Give what the decisions about a list tell, and how reviewers agree."""
        decided = self._journal.decisions()
        counts = dict.fromkeys(VERDICTS, 0)
        for decision in decided.values():
            counts[decision.verdict] += 1
        found = None
        if name in self.study.splits:
            verdicts = [decided[one].verdict if one in decided else None for one in self._ids(name)]
            found = review_yield(verdicts).model_dump()
        agreements = [review_agreement(*both).model_dump() for both in self.review.both()]
        return {
            "list": self._summary(name),
            "lists": [self._summary(one) for one in self._lists()],
            "counts": counts,
            "yield": found,
            # Blind to what others said of an image, not to how often they said the same.
            "agreements": [one for one in agreements if one["images"]],
            "disagreements": len(self.review.open_disagreements()),
        }

    def decide(
        self, name: str, verdict: str, label: int | None, expects: int | None
    ) -> dict[str, Any]:
        """Write a decision down; it is on the disk when this returns.

        Raises
        ------
        Refusal
            If it is none, or another tab decided meanwhile.
        """
        self.place(name)
        known = next((one for one in VERDICTS if one == verdict), None)
        if known is None:
            raise Refusal(422, "verdict", f"A decision is one of: {', '.join(VERDICTS)}.")
        kept = self.study.label(name)
        if known == "keep":
            label = kept
        if known == "relabel" and (label is None or not 0 <= label < len(self.study.classes)):
            raise Refusal(422, "class", "There is no such class.")
        if known == "relabel" and label == kept:
            known = "keep"
        becomes = (
            self.study.classes[label]
            if known in ("keep", "relabel") and label is not None
            else None
        )
        try:
            made = self._journal.decide(
                name, self.study.source_labels[name], known, becomes, expects=expects
            )
        except DecidedMeanwhileError as error:
            raise Refusal(
                409,
                "decided_meanwhile",
                f"In another tab {name} was decided otherwise meanwhile"
                f"{self._said(error.current)}. This page shows it now; nothing was changed.",
            ) from None
        self.review.write_corrections()
        return {"id": name, "decision": self._plain_decision(made)}

    def undo(self, number: int) -> dict[str, Any]:
        """Take a decision back.

        Raises
        ------
        Refusal
            If it does not hold any more.
        """
        try:
            name, before = self._journal.undo(number)
        except DecidedMeanwhileError as error:
            raise Refusal(
                409,
                "decided_meanwhile",
                "That decision does not hold any more: in another tab it was taken back or "
                f"decided otherwise{self._said(error.current)}. Nothing was changed.",
            ) from None
        self.review.write_corrections()
        return {"id": name, "decision": self._plain_decision(before)}

    def place(self, name: str) -> tuple[Any, int]:
        """Give split and place of an image; a `Refusal` if there is none."""
        try:
            return self.study.place(name)
        except KeyError:
            raise Refusal(404, "no_image", f"There is no image {name[:40]!r}.") from None

    def _lists(self) -> list[str]:
        if self.is_resolving:
            return ["disagreements"]
        audited = [name for name in ("test", "train") if self.study.splits[name].issues is not None]
        return [*audited, *(["pairs"] if self.study.pairs else [])]

    def _ids(self, name: str) -> Sequence[str]:
        if name in self.study.splits:
            issues = self.study.splits[name].issues or ()  # type: ignore[index]
            return [issue.id for issue in issues]
        if name == "disagreements" and self.is_resolving:
            return sorted(self.review.disagreements())
        if name in self._class_lists:
            return self._class_lists[name]
        kind, _, rest = name.partition("/")
        if kind == "only":
            self.place(rest)
            return [rest]
        split, _, label = rest.partition("/")
        if (
            kind == "class"
            and split in self.study.splits
            and label.isascii()
            and label.isdecimal()
            and int(label[:9]) < len(self.study.classes)
        ):
            ids = self.study.of_class(split, int(label[:9]))  # type: ignore[arg-type]
            self._class_lists[name] = ids
            return ids
        raise Refusal(404, "no_list", f"There is no list {name[:40]!r}.")

    def _summary(self, name: str) -> dict[str, Any]:
        decided = self._journal.decisions()
        if name == "pairs":
            total = len(self.study.pairs)
            done = sum(_is_settled(pair, decided) for pair in self.study.pairs)
        else:
            ids = self._ids(name)
            total, done = len(ids), sum(one in decided for one in ids)
        return {"name": name, "total": total, "decided": done}

    def _notes(self) -> list[str]:
        out = shlex.quote(str(self.study.path))
        notes = []
        if self.study.splits["train"].issues is None:
            notes.append(
                "Labels of training images were not audited: that takes predictions by models that "
                f"did not learn from them. For these: tenfold cross-validate --out {out}, then "
                f"tenfold audit --out {out}"
            )
        if self._journal.unreadable_lines:
            notes.append(
                f"{self._journal.unreadable_lines} lines of {self._journal.path.name} could not be "
                "read (a kill may have cut one off); all others count."
            )
        return notes

    def _row(self, name: str, decision: Decision | None) -> list[Any]:
        row = self._plain_row(name, decision)
        issue = self.study.issue.get(name)
        score = None if issue is None else round(issue[1].score, 3)
        return [name, row["given"], row["suggested"], score, row["decision"]]

    def _plain_row(self, name: str, decision: Decision | None) -> dict[str, Any]:
        return {
            "id": name,
            "given": self.study.label(name),
            "suggested": self.study.suggested(name),
            "decision": self._plain_decision(decision),
        }

    def _pair_row(self, pair: Pair, decided: dict[str, Decision]) -> dict[str, Any]:
        return {
            "items": [
                self._plain_row(name, decided.get(name)) for name in (pair.first, pair.second)
            ],
            "agreement": pair.agreement,
            "is_exact": pair.is_exact,
            "is_mirrored": pair.is_mirrored,
            "is_same": pair.is_same,
            "is_settled": _is_settled(pair, decided),
        }

    def _plain_decision(self, decision: Decision | None) -> dict[str, Any] | None:
        if decision is None:
            return None
        label = None if decision.label is None else self.study.classes.index(decision.label)
        return {"number": decision.number, "verdict": decision.verdict, "label": label}

    def _said(self, decision: Decision | None) -> str:
        if decision is None:
            return " (nothing is decided about it now)"
        becomes = "" if decision.label is None else f" {decision.label}"
        return f" ({decision.verdict}{becomes})"


def _is_settled(pair: Pair, decided: dict[str, Decision]) -> bool:
    """Say whether a pair needs no further look: one is changed, or both were looked at."""
    both = [decided.get(pair.first), decided.get(pair.second)]
    return all(one is not None for one in both) or any(
        one is not None and one.verdict in ("relabel", "drop") for one in both
    )
