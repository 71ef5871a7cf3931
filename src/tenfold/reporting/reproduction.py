"""The original's published values beside ours."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tenfold.core.records.reference import Reference, ReferenceValue
from tenfold.core.text import printable
from tenfold.reporting.formats import (
    MISSING,
    count,
    counted,
    duration,
    join,
    score,
    signed,
)
from tenfold.reporting.measures import check_measure_name, measures
from tenfold.reporting.study_records import StudyRecords

CURVE_LENGTH = 5
"""A list of at least this many values is a curve: summed up in the table, drawn in a figure."""

NOT_RUN = "not run"
NO_SUCH_CLASS = "no such class in these data"


@dataclass(frozen=True)
class ReproductionRow:
    """One line of the reproduction table, ready to be shown."""

    label: str
    where: str
    original: str
    ours: str
    difference: str
    """Ours minus the original's; words where the two are no numbers."""
    note: str


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
    return [_row(reference, found, records) for reference in records.references]


def curve_pairs(records: StudyRecords) -> list[CurvePair]:
    """Give the references that are curves and that we have ours of."""
    found = measures(records)
    pairs = []
    for reference in records.references:
        ours = found.get(reference.measure)
        if _is_curve(reference.value) and isinstance(ours, tuple) and ours:
            assert isinstance(reference.value, tuple)
            pairs.append(CurvePair(reference.label, reference.value, ours))
    return pairs


def _row(
    reference: Reference, found: dict[str, ReferenceValue], records: StudyRecords
) -> ReproductionRow:
    check_measure_name(reference.measure, records.acquire.classes)
    ours = found.get(reference.measure)
    if ours is None:
        shown, difference = _absent(reference.measure, records.acquire.classes), MISSING
    else:
        shown, difference = _shown(ours, reference), _difference(reference, ours)
    return ReproductionRow(
        label=reference.label,
        where=reference.where,
        original=_shown(reference.value, reference),
        ours=shown,
        difference=difference,
        note=reference.note,
    )


def _absent(measure: str, classes: tuple[str, ...]) -> str:
    match = re.fullmatch(r"\w+\.class\.(.+)\.\w+", measure)
    if match and match.group(1) not in classes:
        return NO_SUCH_CLASS
    return NOT_RUN


def _is_curve(value: ReferenceValue) -> bool:
    return isinstance(value, tuple) and len(value) >= CURVE_LENGTH


def _shown(value: ReferenceValue, reference: Reference) -> str:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, tuple):
        if not _is_curve(value):
            return ", ".join(_number(part, reference.measure) for part in value)
        is_loss = "loss" in reference.measure
        best = f"lowest {score(min(value))}" if is_loss else f"highest {score(max(value))}"
        epochs = counted(len(value), "epoch")
        return f"{epochs}: {score(value[0])} to {score(value[-1])}, {best}"
    return _number(value, reference.measure)


def _number(value: float, measure: str) -> str:
    last = measure.rpartition(".")[2]
    if last == "seconds":
        return duration(value)
    if last in {"total_cases", "total_predictions", "correct", "parameters"}:
        return count(round(value))
    # Pixel statistics are compared to the fifth digit, as the original prints them.
    return score(value, 5 if measure.startswith("explore.") else 4)


def _difference(reference: Reference, ours: ReferenceValue) -> str:
    original = reference.value
    if isinstance(original, str) or isinstance(ours, str):
        return _difference_in_words(str(original), str(ours))
    if isinstance(original, tuple) != isinstance(ours, tuple):
        return MISSING
    if isinstance(original, tuple) and isinstance(ours, tuple):
        if _is_curve(original) or _is_curve(ours):
            common = min(len(original), len(ours))
            if not common:
                return MISSING
            return f"epoch {common}: {signed(ours[common - 1] - original[common - 1])}"
        pairs = zip(original, ours, strict=False)
        return ", ".join(_signed(b - a, reference.measure) for a, b in pairs)
    assert isinstance(original, float)
    assert isinstance(ours, float)
    return _signed(ours - original, reference.measure)


def _signed(value: float, measure: str) -> str:
    last = measure.rpartition(".")[2]
    if last == "seconds":
        return f"{'+' if value > 0 else '−' if value < 0 else ''}{duration(abs(value))}"
    if last in {"total_cases", "total_predictions", "correct", "parameters"}:
        return f"{'+' if value > 0 else '−' if value < 0 else ''}{count(abs(round(value)))}"
    return signed(value, 5 if measure.startswith("explore.") else 4)


def _difference_in_words(original: str, ours: str) -> str:
    if "=" in original and "=" in ours:
        before, after = _assignments(original), _assignments(ours)
        names = [*before, *(name for name in after if name not in before)]
        changed = [name for name in names if before.get(name) != after.get(name)]
        return f"differs in {join(changed)}" if changed else "the same"
    before_names, after_names = _names(original), _names(ours)
    if before_names == after_names:
        return "the same"
    if common := sorted(before_names & after_names):
        return f"{join(common)} in both"
    return "another"


def _assignments(text: str) -> dict[str, str]:
    parts = (part.partition("=") for part in text.split(","))
    # "filters.0" and "filters_0" are one setting.
    return {name.strip().replace(".", "_"): value.strip() for name, sign, value in parts if sign}


def _names(text: str) -> set[str]:
    return {name.strip() for name in re.split(r",| and ", text) if name.strip()}
