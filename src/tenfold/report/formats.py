"""Numbers, names and settings as the report writes them."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tenfold.core.record import Interval
from tenfold.core.text import counted, escaped, format_duration, printable

MISSING = "–"
"""Shown where there is no value."""


def score(value: float | None, digits: int = 3) -> str:
    """Write a score on the scale 0 to 1, for example ``0.658``."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share as per cent, for example ``65.8%``."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{100 * value:.{digits}f}%"


def of_hundred(share: float) -> str:
    """Write how many of 100 that is; never 100 or 0 where it is not all or none."""
    rounded = round(100 * share)
    if (rounded == 100 and share < 1) or (rounded == 0 and share > 0):
        return f"{100 * share:.1f}"
    return str(rounded)


def interval(ends: Interval, digits: int = 3) -> str:
    """Write an interval of scores, for example ``0.648 to 0.667``."""
    return f"{score(ends.low, digits)} to {score(ends.high, digits)}"


def percent_interval(ends: Interval, digits: int = 1) -> str:
    """Write an interval of shares as per cent, for example ``64.8% to 66.7%``."""
    return f"{percent(ends.low, digits)} to {percent(ends.high, digits)}"


def signed(value: float, digits: int = 3) -> str:
    """Write a difference with its sign, for example ``+0.012`` or ``−0.012``; zero has none."""
    if not math.isfinite(value):
        return MISSING
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def points(value: float) -> str:
    """Write a loss of a share in percentage points, with a sign only where it is a gain."""
    text = f"{abs(100 * value):.1f}"
    return text if value >= 0 or float(text) == 0 else f"−{text}"


def count(value: int | None) -> str:
    """Write a whole number with thousands separators, for example ``50,000``."""
    return MISSING if value is None else f"{value:,}"


FEW_IMAGES = 30
"""A score of fewer says little: Wilson's interval of half of 30 is 35 points wide."""


def cases(value: int | None) -> str:
    """Write how many images a score rests on, and that these are few: ``12 (few)``."""
    return f"{count(value)} (few)" if 0 < (value or 0) < FEW_IMAGES else count(value)


def on_few(text: str, images: int) -> str:
    """Mark a written score that rests on few images: ``0.917 (few)``."""
    return f"{text} (few)" if 0 < images < FEW_IMAGES else text


def few_images(value: int) -> str:
    """Write the warning that a score of so few images carries; empty for enough."""
    return f"only {counted(value, 'image')}" if 0 < value < FEW_IMAGES else ""


def large(value: int) -> str:
    """Write a large whole number shortly: ``1.23 billion``, ``45.6 million``, else in full."""
    for unit, name in ((10**9, "billion"), (10**6, "million")):
        if value >= 0.9995 * unit:
            return f"{float(f'{value / unit:.3g}'):,g} {name}"
    return count(value)


def number(value: float) -> str:
    """Write any number shortly: whole numbers without a point, others with 4 digits."""
    if not math.isfinite(value):
        return MISSING
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """Write a duration with its two largest units, for example ``6 min 24 s``."""
    return format_duration(seconds) if math.isfinite(seconds) else MISSING


def visible(value: Any) -> Any:
    """Give what a template shows with every character to be seen; see `core.text.escaped`."""
    if not isinstance(value, str):
        return value
    return type(value)(escaped(value, keep="\n\t"))


def shorten(text: str, width: int) -> str:
    """Give at most `width` printable characters, with an ellipsis where some were left out."""
    text = printable(text)
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def in_sentence(name: str) -> str:
    """Give a class name for running text: bare if it is one word of letters, else in quotes."""
    name = printable(name)
    return name if name.isalpha() else f"“{name}”"


def valued(named: tuple[str, float]) -> str:
    """Write a class with its score, for example ``deer (0.702)``."""
    return f"{in_sentence(named[0])} ({score(named[1])})"


def join(parts: Iterable[str], *, most: int | None = None) -> str:
    """Join parts as a sentence does: ``a``, ``a and b``, ``a, b and c``.

    Of more than `most` one less is named and the others are counted: ``a, b and 7 more``.
    """
    listed = list(parts)
    if most is not None and len(listed) > most:
        listed = [*listed[: most - 1], f"{len(listed) - most + 1} more"]
    if len(listed) < 2:
        return "".join(listed)
    return f"{', '.join(listed[:-1])} and {listed[-1]}"


def shape(dimensions: Sequence[int]) -> str:
    """Write an array shape, for example ``64 × 15 × 15``."""
    return " × ".join(str(dimension) for dimension in dimensions)


def setting_name(name: str) -> str:
    """Give a searched setting's short name: ``model.filters.0`` is ``filters_0``."""
    if name == "model.name":
        return "model"
    return name.split(".", 1)[-1].replace(".", "_")


def setting_value(value: object) -> str:
    """Write a setting's value shortly."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return printable(str(value))
    return number(value)


def command_options(assignments: Mapping[str, Any]) -> str:
    """Give ``--set`` options, quoted for a shell.

    Parameters
    ----------
    assignments
        Whole values by dotted name, as in `TuneRecord.best_assignments`.
    """
    return " ".join(
        f"--set {shlex.quote(f'{name}={_toml_value(value)}')}"
        for name, value in assignments.items()
    )


def toml_text(assignments: Mapping[str, Any]) -> str:
    """Give the settings as tables of a recipe."""
    tables: dict[str, list[str]] = {}
    for name, value in assignments.items():
        table, _, setting = name.rpartition(".")
        tables.setdefault(table, []).append(f"{setting} = {_toml_value(value)}")
    return "\n\n".join("\n".join((f"[{table}]", *lines)) for table, lines in tables.items())


def _toml_value(value: Any) -> str:
    """Write a value as TOML, of which JSON's scalars and lists are a part."""
    return json.dumps(value, ensure_ascii=False)
