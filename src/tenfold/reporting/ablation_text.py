"""An ablation as a table: for the terminal, for documents, and as CSV."""

from __future__ import annotations

import statistics

from tenfold.core.records.tuning import AblatedScores, AblationRecord
from tenfold.core.text import csv_line
from tenfold.reporting.wording import rendered_text

_HEADINGS = ("without", "what instead", "accuracy", "effect, points", "95% interval", "time")


def ablation_text(record: AblationRecord) -> str:
    """Give the table as Markdown, which reads well on a terminal too."""
    rows = [_HEADINGS, *_rows(record)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return rendered_text("ablation.md.j2", record=record, rows=rows, widths=widths)


def ablation_csv(record: AblationRecord) -> str:
    """Give one row an ingredient with plain numbers."""
    names = [f"accuracy_seed_{seed}" for seed in record.seeds]
    rows: list[tuple[object, ...]] = [
        ("without", "effect", "interval_low", "interval_high", "seconds", *names),
        ("", "", "", "", record.seconds, *record.accuracies),
    ]
    for scores in record.ablated:
        ends = scores.interval.low, scores.interval.high
        name = scores.ingredient.name
        rows.append((name, scores.effect, *ends, scores.seconds, *scores.accuracies))
    return "".join(map(csv_line, rows))


def _rows(record: AblationRecord) -> list[tuple[str, ...]]:
    """Give the table's cells: the recipe as it is, then each ingredient, worth most first."""
    return [
        ("–", "recipe as it is", _percent(record.accuracies), "–", "–", "1.00×"),
        *(_row(scores, record.seconds) for scores in record.ablated),
    ]


def _row(scores: AblatedScores, seconds: float) -> tuple[str, ...]:
    interval = scores.interval
    return (
        scores.ingredient.title,
        scores.ingredient.without,
        _percent(scores.accuracies),
        f"{100 * scores.effect:+.2f}",
        f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}",
        f"{scores.seconds / seconds:.2f}×",
    )


def _percent(accuracies: tuple[float, ...]) -> str:
    return f"{100 * statistics.mean(accuracies):.2f}%"
