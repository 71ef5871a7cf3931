"""An ablation as a table: for the terminal, for documents, and as CSV."""

from __future__ import annotations

import statistics

from tenfold.core.records.ablation import AblatedScores, AblationRecord
from tenfold.core.text import csv_line, printable
from tenfold.reporting.formats import counted

_NAMED = ("tenfold", "torch")
"""Packages whose versions the heading names; the record has them all."""

HEADINGS = (
    "without",
    "what instead",
    "accuracy",
    "effect, points",
    "95% interval",
    "time",
)


def ablation_rows(record: AblationRecord) -> list[tuple[str, ...]]:
    """Give the table's cells: the recipe as it is, then each ingredient, worth most first."""
    return [
        ("–", "recipe as it is", _percent(record.accuracies), "–", "–", "1.00×"),
        *(_row(scores, record.seconds) for scores in record.ablated),
    ]


def ablation_heading(record: AblationRecord) -> str:
    """Say what was measured on what, in how many trainings, and how."""
    seeds = counted(len(record.seeds), "seed")
    versions = ", ".join(
        f"{name} {version}" for name, version in record.versions.items() if name in _NAMED
    )
    return (
        f"Recipe {printable(record.recipe)} on {printable(record.data)}: accuracy on "
        f"{record.held_out:,} training images that no training saw, mean of {seeds}; "
        f"{record.device}, {record.precision}, {counted(record.jobs, 'training')} at a time, "
        f"{versions}. The effect is accuracy with the ingredient minus without; its interval holds "
        "the luck of the images"
        f"{' and of the seeds' if len(record.seeds) > 1 else ', not of the seed'}."
    )


def ablation_text(record: AblationRecord) -> str:
    """Give the table as Markdown, which reads well on a terminal too."""
    rows = [HEADINGS, *ablation_rows(record)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEADINGS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return ablation_heading(record) + "\n\n" + "\n".join(lines)


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
