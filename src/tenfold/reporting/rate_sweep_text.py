"""A learning-rate sweep as a table for people and as CSV."""

from __future__ import annotations

from tenfold.core.records.training import RateStep, RateSweepRecord
from tenfold.core.text import csv_line
from tenfold.reporting.wording import rendered_text

_ROWS = 16


def rate_sweep_text(record: RateSweepRecord) -> str:
    """Give some of the steps, and the suggestion in words."""
    return rendered_text("rate_sweep.txt.j2", record=record, steps=_shown(record))


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
