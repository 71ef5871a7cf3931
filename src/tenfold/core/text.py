"""Text from outside made fit to show and to store; durations as people say them.

Names of files and classes may hold bytes that are no text, characters that steer a terminal or
turn a line around, and the beginning of a spreadsheet's formula. Each is met in one place: here.
See decision 024.
"""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, TextIO

from tenfold.core.errors import SettingsError

_JOINERS = frozenset("\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
"""Of letters and emoji: they change no other character, and some languages need them."""
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NO_CHARACTERS = "\ufffe\uffff"
"""Which XML, and with it SVG, does not allow."""
_NOT_PLAIN = re.compile("[^ -~]")
_ERRORS = "tenfold-escape"
_FORMULA_SIGNS = r"[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]"
"""What begins a formula in Excel, LibreOffice or Google Sheets (OWASP, CSV injection), the wide
forms of East Asian keyboards included."""
_FORMULA, _GUARDED = re.compile(f"'*{_FORMULA_SIGNS}"), re.compile(f"'+{_FORMULA_SIGNS}")
_UNITS = (3600, 60, 1)
_SPAN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)


def readable(name: str) -> str:
    r"""Give a path as text that can be stored: the byte FF, which is no UTF-8, becomes ``\xff``.

    Python holds such bytes as lone surrogates, which neither UTF-8 nor JSON can.
    """
    if name.isascii():
        return name
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return name.encode("utf-8", "backslashreplace").decode()


def readable_values(values: Any) -> Any:
    """Give nested plain data with `readable` text."""
    if isinstance(values, str):
        return readable(values)
    if isinstance(values, dict):
        return {readable_values(key): readable_values(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(map(readable_values, values))
    return values


def escaped(text: str, keep: str = "\n") -> str:
    r"""Give text whose characters are all to be seen: the escape character becomes ``\x1b``.

    Parameters
    ----------
    text
        Of any lines.
    keep
        Control characters that stay.
    """
    return _NOT_PLAIN.sub(lambda match: _escaped_letter(match.group(), keep), readable(text))


def printable(text: str) -> str:
    """Give a name for people: `escaped`, on one line, and never empty."""
    return " ".join(escaped(text, keep="").split()) or "(no name)"


def counted(value: int, singular: str, plural: str | None = None) -> str:
    """Write a number with its noun, for example ``1 image`` or ``50,000 images``."""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"


def shortlist(names: Sequence[str], most: int = 10) -> str:
    """Give names as a text, the first `most` and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def json_line(values: Any) -> str:
    r"""Give plain data as JSON on one line, with ``\u001b`` for what `escaped` escapes."""
    text = json.dumps(readable_values(values), ensure_ascii=False)
    return _NOT_PLAIN.sub(lambda match: _json_letter(match.group()), text)


def make_tolerant(stream: TextIO) -> None:
    """Let a stream write every character: one that its encoding lacks as JSON does, ``\\u00e9``.

    Errors alone are changed, never the encoding, which is the reader's.
    """
    codecs.register_error(_ERRORS, _json_escapes)
    # What stands in for a stream, in tests and notebooks, may not know the word.
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors=_ERRORS)


def _json_escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _json_letter(letter: str) -> str:
    return json.dumps(letter)[1:-1] if _is_unsafe(letter) else letter


def _is_unsafe(letter: str) -> bool:
    if letter in _JOINERS:
        return False
    return unicodedata.category(letter) in _UNSAFE_CATEGORIES or letter in _NO_CHARACTERS


def _escaped_letter(letter: str, keep: str) -> str:
    if letter in keep or not _is_unsafe(letter):
        return letter
    return letter.encode("unicode_escape").decode()


def csv_line(cells: Any) -> str:
    """Give a line of CSV; text that a spreadsheet would compute is made text by a ``'`` before it.

    `csv_cell_text` takes the ``'`` away again. Numbers are written as they are.
    """
    return ",".join(map(_csv_cell, cells)) + "\n"


def csv_cell_text(cell: str) -> str:
    """Give the text that `csv_line` wrote a cell of."""
    return cell[1:] if _GUARDED.match(cell) else cell


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    text = readable(str(value))
    if isinstance(value, str) and _FORMULA.match(text):
        text = "'" + text
    # Python's csv leaves a lone carriage return unquoted, and then cannot read it.
    if any(letter in text for letter in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


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
