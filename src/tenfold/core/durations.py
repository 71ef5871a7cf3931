"""Spans of time as people write them: ``90s``, ``10m``, ``1h30m``."""

from __future__ import annotations

import re

from tenfold.core.errors import SettingsError

_UNITS = (3600, 60, 1)
_SPAN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)


def parse_duration(text: str | float) -> float:
    """Give the seconds of a span of time.

    Parameters
    ----------
    text
        Hours, minutes and seconds, each with its letter (``2h``, ``1h30m``, ``1.5m``), or a number
        of seconds.

    Raises
    ------
    SettingsError
        If it is not such a span, or not above zero.
    """
    if isinstance(text, str):
        match = _SPAN.fullmatch(text.strip().lower().replace(" ", ""))
        parts = match.groups("0") if match else ("0", "0", "0")
        seconds = sum(float(part) * unit for part, unit in zip(parts, _UNITS, strict=True))
    else:
        seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise SettingsError(
            f"{text!r} is not a span of time. Write hours, minutes or seconds, for example 90s, "
            "10m, 2h or 1h30m."
        )
    return seconds


def format_duration(seconds: float) -> str:
    """Write a span of time with its two largest units: ``4.3 s``, ``6 min 24 s``, ``2 h``."""
    if 0 < seconds < 0.05:
        return "under 0.1 s"
    if seconds < 10:
        return f"{f'{seconds:.1f}'.removesuffix('.0')} s"
    whole, large, small = round(seconds), "min", "s"
    if whole < 60:
        return f"{whole} s"
    if whole >= 3600:
        whole, large, small = round(seconds / 60), "h", "min"
    rest = f" {whole % 60} {small}" if whole % 60 else ""
    return f"{whole // 60} {large}{rest}"


def format_estimate(seconds: float) -> str:
    """Write an estimated span of time, in two figures at most: ``31 s``, ``3.1 min``."""
    units = ((3600, "h"), (60, "min"), (1, "s"))
    unit, letter = next((it for it in units if seconds >= 2 * it[0]), units[-1])
    return f"{float(f'{seconds / unit:.2g}'):.3g} {letter}"
