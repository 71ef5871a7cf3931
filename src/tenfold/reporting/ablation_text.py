"""An ablation as a table for the terminal, as CSV, and as Markdown."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from tenfold.core.records.ablation import AblatedVariant, AblationRecord
from tenfold.core.records.interval import Interval
from tenfold.reporting.formats import MISSING, counted, percent, signed

if TYPE_CHECKING:
    from rich.table import Table


_COLUMNS = (
    "name",
    "title",
    "accuracy",
    "difference",
    "low",
    "high",
    "seed_low",
    "seed_high",
    "seconds",
)


def ablation_table(record: AblationRecord) -> Table:
    """Give a table for `rich`."""
    from rich.table import Table

    table = Table(title=caption(record), title_justify="left")
    table.add_column("Without")
    for name in ("Accuracy", "Brings", "95% (images)", "95% (seeds)", "Seconds"):
        table.add_column(name, justify="right")
    for variant in (record.whole, *record.variants):
        table.add_row(*_cells(variant))
    return table


def ablation_markdown(record: AblationRecord) -> str:
    """Give the table as Markdown."""
    head = "| without | accuracy | brings, points | 95%, images | 95%, seeds | seconds |"
    rows = [f"| {' | '.join(_cells(variant))} |" for variant in (record.whole, *record.variants)]
    return "\n".join((head, "|---|---:|---:|---:|---:|---:|", *rows)) + "\n"


def ablation_csv(record: AblationRecord) -> str:
    """Give one row a variant, the whole recipe first; differences as shares, not points."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_COLUMNS, *(f"accuracy_seed_{seed}" for seed in record.seeds)))
    for one in (record.whole, *record.variants):
        ends = (*_ends(one.interval), *_ends(one.seed_interval))
        writer.writerow(
            (one.name, one.title, one.accuracy, one.difference, *ends, one.seconds, *one.accuracies)
        )
    return text.getvalue()


def caption(record: AblationRecord) -> str:
    """Say what was measured."""
    return (
        f"Recipe {record.recipe} on {record.data}: {counted(len(record.seeds), 'seed')}, "
        f"{counted(record.epochs, 'epoch')}, {counted(record.validation_count, 'held-out image')}"
    )


def _cells(variant: AblatedVariant) -> list[str]:
    is_whole = variant.difference is None
    return [
        "(nothing: the whole recipe)" if is_whole else variant.title,
        percent(variant.accuracy, 2),
        MISSING if variant.difference is None else signed(100 * variant.difference, 2),
        _points(variant.interval),
        _points(variant.seed_interval),
        f"{variant.seconds:.1f}",
    ]


def _points(interval: Interval | None) -> str:
    if interval is None:
        return MISSING
    return f"{signed(100 * interval.low, 2)} to {signed(100 * interval.high, 2)}"


def _ends(interval: Interval | None) -> list[float | None]:
    return [None, None] if interval is None else [interval.low, interval.high]
