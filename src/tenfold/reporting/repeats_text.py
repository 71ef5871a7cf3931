"""Runs with other seeds as text for a terminal."""

from __future__ import annotations

from tenfold.core.records.repeats import RepeatsRecord
from tenfold.reporting.formats import duration, score
from tenfold.reporting.interpretation_repeats import TITLES, repeats_sentences


def repeats_text(record: RepeatsRecord) -> str:
    """Give a row a run, mean and standard deviation below, and what they mean."""
    lines = ["", f"run       seed  {'  '.join(TITLES.values())}  training"]
    lines += [
        f"{run.run:<4}{run.seed:>10}  {_cells([getattr(run, name) for name in TITLES])}  "
        f"{duration(run.training_seconds)}"
        for run in record.runs
    ]
    lines += [
        f"{'mean':14}  {_cells([record.means[name] for name in TITLES])}",
        f"{'± deviation':14}  {_cells([record.standard_deviations[name] for name in TITLES])}",
        "",
        *repeats_sentences(record),
    ]
    return "\n".join(lines)


def _cells(values: list[float]) -> str:
    return "  ".join(
        f"{score(value, 4):>{len(title)}}"
        for value, title in zip(values, TITLES.values(), strict=True)
    )
