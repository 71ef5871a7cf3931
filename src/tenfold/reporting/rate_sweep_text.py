"""A learning-rate sweep as a table for people and as CSV."""

from __future__ import annotations

from tenfold.core.records.rate_sweep import RateStep, RateSweepRecord
from tenfold.core.text import csv_line

_ROWS = 16


def rate_sweep_text(record: RateSweepRecord) -> str:
    """Give some of the steps, and the suggestion in words."""
    lines = ["learning rate    loss", *(f"{_row(record, step)}" for step in _shown(record))]
    if record.is_diverged:
        end = "the loss grew too large beyond it"
    else:
        end = "no rate that was tried made it grow without bound"
    return "\n".join(
        [
            *lines,
            "",
            f"Suggested: --set training.learning_rate={record.suggested_rate:g}",
            f"There the loss falls fastest. It is lowest at {record.lowest_rate:.2g}; {end}.",
            f"This training's own rate is {record.default_rate:g}. A suggestion is where to begin "
            "a search, not its end: a rate that falls to zero can begin several times higher.",
        ]
    )


def rate_sweep_csv(record: RateSweepRecord) -> str:
    """Give all steps as CSV."""
    rows = [list(RateStep.model_fields), *(step.model_dump().values() for step in record.steps)]
    return "".join(map(csv_line, rows))


def _shown(record: RateSweepRecord) -> list[RateStep]:
    """Give steps spread over the sweep, and the two that count."""
    last = len(record.steps) - 1
    places = {round(place * last / (_ROWS - 1)) for place in range(_ROWS)}
    marked = (record.lowest_rate, record.steepest_rate)
    places |= {i for i, step in enumerate(record.steps) if step.learning_rate in marked}
    return [record.steps[place] for place in sorted(places)]


def _row(record: RateSweepRecord, step: RateStep) -> str:
    note = ""
    if step.learning_rate == record.steepest_rate:
        note = "  falls fastest"
    if step.learning_rate == record.lowest_rate:
        note += "  lowest"
    return f"{step.learning_rate:13.3g} {step.smoothed_loss:7.3f}{note}"
