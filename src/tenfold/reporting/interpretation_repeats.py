"""Runs with other seeds: the score to speak of, and a table with its meaning for the terminal."""

from __future__ import annotations

from tenfold.core.records.evaluation import RepeatsRecord
from tenfold.reporting.formats import duration, score
from tenfold.reporting.wording import words

RUN_SCORES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
}
"""The scores of a run, as a table's heading names them."""


def leading_score(record: RepeatsRecord) -> str:
    """Give the score to speak of: accuracy, unless it is that of the large classes."""
    return "balanced_accuracy" if record.is_imbalanced else "accuracy"


def repeats_text(record: RepeatsRecord) -> str:
    """Give a row a run, mean and standard deviation below, and what they mean."""
    lines = ["", f"run       seed  {'  '.join(RUN_SCORES.values())}  training"]
    lines += [
        f"{run.run:<4}{run.seed:>10}  {_cells([getattr(run, name) for name in RUN_SCORES])}  "
        f"{duration(run.training_seconds)}"
        for run in record.runs
    ]
    name = leading_score(record)
    lines += [
        f"{'mean':14}  {_cells([record.means[name] for name in RUN_SCORES])}",
        f"{'± deviation':14}  {_cells([record.standard_deviations[name] for name in RUN_SCORES])}",
        "",
        words("repeats", "spread", record, name, RUN_SCORES[name].lower()),
        words("repeats", "what_varies", record),
        words("repeats", "what_does_not", record),
        words("repeats", "meaning", record, name),
    ]
    return "\n".join(lines)


def _cells(values: list[float]) -> str:
    return "  ".join(
        f"{score(value, 4):>{len(title)}}"
        for value, title in zip(values, RUN_SCORES.values(), strict=True)
    )
