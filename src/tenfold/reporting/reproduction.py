"""The original's published values beside ours, as facts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tenfold.core.record import Reference, ReferenceValue
from tenfold.reporting.formats import count, duration, score, signed
from tenfold.reporting.measures import check_measure_name, measures
from tenfold.reporting.study_records import StudyRecords

CURVE_LENGTH = 5
"""A list of at least this many values is a curve: summed up in the table, drawn in a figure."""

_WHOLE_NUMBERS = ("total_cases", "total_predictions", "correct", "parameters")


@dataclass(frozen=True)
class Difference:
    """Ours less the original's; of text, what the two have in common.

    Parameters
    ----------
    kind
        ``settings`` are texts that assign values, ``names`` lists of names.
    values
        Of numbers, one each; of curves the one of `epoch`.
    epoch
        The last that both curves have.
    names
        Settings of which the two have different values, or the names that both list.
    """

    kind: Literal["numbers", "curves", "same text", "settings", "names"]
    values: tuple[float, ...] = ()
    epoch: int | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReproductionRow:
    """One line of the reproduction table."""

    reference: Reference
    ours: ReferenceValue | None
    """None where the stage was not run, or the data lack the class."""
    lacks_class: bool
    difference: Difference | None


@dataclass(frozen=True)
class CurvePair:
    """A curve of the original and ours, each one value an epoch."""

    label: str
    original: tuple[float, ...]
    ours: tuple[float, ...]


def reproduction_rows(records: StudyRecords) -> list[ReproductionRow]:
    """Put every reference beside our measure of the same name.

    Raises
    ------
    SettingsError
        If a reference points to a measure that does not exist; suggests the near names.
    """
    found = measures(records)
    classes = records.acquire.classes
    rows = []
    for reference in records.references:
        check_measure_name(reference.measure, classes)
        ours = found.get(reference.measure)
        match = re.fullmatch(r"\w+\.class\.(.+)\.\w+", reference.measure)
        rows.append(
            ReproductionRow(
                reference=reference,
                ours=ours,
                lacks_class=match is not None and match.group(1) not in classes,
                difference=None if ours is None else _difference(reference.value, ours),
            )
        )
    return rows


def curve_pairs(records: StudyRecords) -> list[CurvePair]:
    """Give the references that are curves and that we have ours of."""
    found = measures(records)
    pairs = []
    for reference in records.references:
        ours = found.get(reference.measure)
        if is_curve(reference.value) and isinstance(ours, tuple) and ours:
            assert isinstance(reference.value, tuple)
            pairs.append(CurvePair(reference.label, reference.value, ours))
    return pairs


def is_curve(value: ReferenceValue) -> bool:
    """Say whether a value is one of so many that it is a curve."""
    return isinstance(value, tuple) and len(value) >= CURVE_LENGTH


def measured(value: float, measure: str, *, is_signed: bool = False) -> str:
    """Write a number as those of its measure are written: a duration, a count or a score."""
    last = measure.rpartition(".")[2]
    # Pixel statistics are compared to the fifth digit, as the original prints them.
    digits = 5 if measure.startswith("explore.") else 4
    if last != "seconds" and last not in _WHOLE_NUMBERS:
        return signed(value, digits) if is_signed else score(value, digits)
    text = duration(abs(value)) if last == "seconds" else count(abs(round(value)))
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{text}" if is_signed else text


def _difference(original: ReferenceValue, ours: ReferenceValue) -> Difference | None:
    if isinstance(original, str) or isinstance(ours, str):
        return _difference_of_texts(str(original), str(ours))
    if isinstance(original, tuple) and isinstance(ours, tuple):
        if not is_curve(original) and not is_curve(ours):
            pairs = zip(original, ours, strict=False)
            return Difference("numbers", tuple(after - before for before, after in pairs))
        epoch = min(len(original), len(ours))
        if not epoch:
            return None
        return Difference("curves", (ours[epoch - 1] - original[epoch - 1],), epoch)
    if isinstance(original, tuple) or isinstance(ours, tuple):
        return None
    return Difference("numbers", (ours - original,))


def _difference_of_texts(original: str, ours: str) -> Difference:
    if "=" in original and "=" in ours:
        before, after = _assignments(original), _assignments(ours)
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return Difference("settings" if changed else "same text", names=tuple(changed))
    before_names, after_names = _names(original), _names(ours)
    if before_names == after_names:
        return Difference("same text")
    return Difference("names", names=tuple(sorted(before_names & after_names)))


def _assignments(text: str) -> dict[str, str]:
    parts = (part.partition("=") for part in text.split(","))
    # "filters.0" and "filters_0" are one setting.
    return {name.strip().replace(".", "_"): value.strip() for name, sign, value in parts if sign}


def _names(text: str) -> set[str]:
    return {name.strip() for name in re.split(r",| and ", text) if name.strip()}
