"""What rich draws on a terminal: the progress of tasks, and what a model is made of."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.table import Table
from rich.text import Text

from tenfold.core.progress import TaskContext
from tenfold.core.text import escaped, format_estimate, printable
from tenfold.report.findings.training import parts_of
from tenfold.report.formats import MISSING, count, shape
from tenfold.report.wording import words

if TYPE_CHECKING:
    from tenfold.models.summary import ModelSummary


class TerminalProgress:
    """Show progress on a terminal; where the output is no terminal, only the lines that stay.

    Without a `console` on standard error.
    """

    def __init__(self, console: Console | None = None, *, is_quiet: bool = False) -> None:
        self.console = console or Console(stderr=True)
        self.is_quiet = is_quiet
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=self.console,
            transient=True,
            disable=is_quiet or not self.console.is_terminal,
            speed_estimate_period=60,
        )
        self._open = 0

    def say(self, message: str) -> None:
        """Print one line."""
        if not self.is_quiet:
            self.console.print(escaped(message), markup=False, highlight=False, soft_wrap=True)

    def task(
        self, description: str, total: float, *, done: float = 0.0, unit: str = "it"
    ) -> TaskContext:
        """Open a bar; see `tenfold.core.progress.Progress.task`."""
        return _Bar(self, description, total, done, unit)

    def open_bar(self, description: str, total: float, done: float, unit: str) -> TaskID:
        """Add a bar to the display, and begin the display with the first one."""
        if self._open == 0:
            self._bars.start()
        self._open += 1
        bar = self._bars.add_task(printable(description), total=total, unit=unit, detail="")
        self._bars.update(bar, completed=done)
        return bar

    def move_bar(self, bar: TaskID, units: float, detail: str) -> None:
        """Move a bar on."""
        self._bars.update(bar, advance=units, detail=escaped(detail, keep=""))

    def close_bar(self, bar: TaskID) -> None:
        """Take a bar away, and end the display with the last one."""
        self._bars.remove_task(bar)
        self._open -= 1
        if self._open == 0:
            self._bars.stop()


class _RateColumn(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} {task.fields.get('unit', 'it')}/s")


_LEAST_SECONDS_BETWEEN_UPDATES = 0.1
_SECONDS_BEFORE_A_WORD = 5.0
"""Of a task, before its end is estimated: the first steps of anything are slow."""
_LEAST_SECONDS_FOR_A_WORD = 30.0
"""Shorter tasks are not worth a line that stays."""


class _Bar:
    """One bar. Updates are gathered, so that a thousand steps a second cost nothing.

    A task that will take long says so once, in a line that stays: a bar's own estimate is gone
    with the bar, and where the output is no terminal there is none.
    """

    def __init__(
        self, owner: TerminalProgress, description: str, total: float, done: float, unit: str
    ) -> None:
        self._owner = owner
        self._opening = (description, total, done, unit)
        self._pending = 0.0
        self._shown_at = 0.0
        self._advanced = 0.0
        self._has_said_time = False

    def __enter__(self) -> Self:
        self._opened_at = time.monotonic()
        self._bar = self._owner.open_bar(*self._opening)
        return self

    def __exit__(self, *_: object) -> None:
        self._owner.close_bar(self._bar)

    def advance(self, units: float = 1.0, *, detail: str = "") -> None:
        """Count units as done; see `tenfold.core.progress.Task.advance`."""
        self._pending += units
        now = time.monotonic()
        if now - self._shown_at >= _LEAST_SECONDS_BETWEEN_UPDATES:
            self._owner.move_bar(self._bar, self._pending, detail)
            self._advanced += self._pending
            self._pending = 0.0
            self._shown_at = now
            self._say_time(now - self._opened_at)

    def _say_time(self, seconds: float) -> None:
        """Say once how long the task will take, when that can be told from what is done."""
        description, total, done, _ = self._opening
        if self._has_said_time or seconds < _SECONDS_BEFORE_A_WORD or self._advanced <= 0:
            return
        self._has_said_time = True
        left = seconds * (total - done - self._advanced) / self._advanced
        if seconds + left >= _LEAST_SECONDS_FOR_A_WORD:
            self._owner.say(f"{description}: about {format_estimate(seconds + left)}")


_WIDTH_WITHOUT_TERMINAL = 120
"""Columns where the output goes to a file or a pipe."""


def show_model(summary: ModelSummary) -> None:
    """Print what a model is and costs, its settings and its layers, and what these do."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_WITHOUT_TERMINAL)
    for part in (
        f"{summary.model}: {summary.summary}.",
        words("network", "size", summary),
        "",
        _settings_table(summary),
        _layer_table(summary),
        words("network", "cost"),
        *(f"- {part} {words('network', 'purpose', part)}" for part in parts_of(summary.layers)),
    ):
        console.print(part, markup=False, highlight=False)


def _settings_table(summary: ModelSummary) -> Table:
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


def _layer_table(summary: ModelSummary) -> Table:
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
