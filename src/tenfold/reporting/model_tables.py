"""A model's settings and layers as tables for a terminal, and what they mean in words."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tenfold.core.records.training import ModelSummary
from tenfold.report.findings.training import parts_of
from tenfold.report.formats import MISSING, count, shape
from tenfold.report.wording import words


def sentences(summary: ModelSummary) -> list[str]:
    """Say what the model is and what it costs."""
    return [f"{summary.model}: {summary.summary}.", words("network", "size", summary)]


def settings_table(summary: ModelSummary) -> Table:
    """Give the settings, their values, and the ranges that a search would try."""
    table = _table("Settings, as --set model.NAME=VALUE or [model] in a recipe take them")
    table.add_column("Setting", no_wrap=True)
    table.add_column("Value")
    table.add_column("Worth searching")
    ranges = {
        dimension.name.removeprefix("model."): words("tuning", "range", dimension)
        for dimension in summary.search_space
    }
    for name, value in summary.settings.items():
        own = [
            text if key == name else f"{key.removeprefix(f'{name}.')}: {text}"
            for key, text in ranges.items()
            if key == name or key.startswith(f"{name}.")
        ]
        table.add_row(Text(name), Text(_toml(value)), Text("\n".join(own) or MISSING))
    return table


def layer_table(summary: ModelSummary) -> Table:
    """Give every layer's kind, output shape, parameters and multiply-adds, and the totals."""
    table = _table("Layers, from input to output; shapes are channels × height × width")
    table.show_footer = True
    table.add_column("Layer", "Total", overflow="fold")
    table.add_column("Kind", overflow="fold")
    table.add_column("Output shape", justify="right", no_wrap=True)
    table.add_column("Parameters", count(summary.parameter_count), justify="right", no_wrap=True)
    table.add_column("Multiply-adds", count(summary.multiply_adds), justify="right", no_wrap=True)
    for layer in summary.layers:
        table.add_row(
            Text(layer.name),
            Text(layer.kind),
            shape(layer.output_shape),
            count(layer.parameters),
            count(layer.multiply_adds),
        )
    return table


def explanations(summary: ModelSummary) -> list[str]:
    """Say what the columns and each kind of layer are."""
    return [
        words("network", "cost"),
        *(f"- {part} {words('network', 'purpose', part)}" for part in parts_of(summary.layers)),
    ]


def _table(title: str) -> Table:
    return Table(
        title=escape(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
