"""JSON that strangers sent, read in bounded memory and time."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from tenfold.serving.guard import Refusal
from tenfold.serving.requests import HoldBytes

MOST_VALUES = 2_000_000
"""Reading them holds up all others for a tenth of a second; more are sent as bytes."""
_MOST_OBJECTS = 10_000
# Of CPython 3.11, rounded up: a reference and a short text, a list, a field with its name.
_VALUE_BYTES, _LIST_BYTES, _FIELD_BYTES = 64, 128, 256


def read_json(text: bytes, hold: HoldBytes) -> Any:
    """Give what a text says; 400 if it is no JSON, 413 if it has too many values.

    `hold` is told the most bytes that the values take, before there are any: some texts take thirty
    times their own length.
    """
    lists, objects = text.count(b"["), text.count(b"{")
    values = text.count(b",") + lists + objects
    if values > MOST_VALUES or objects > _MOST_OBJECTS:
        raise Refusal(
            413,
            "too_many_values",
            f"The JSON text has more than {MOST_VALUES:,} values. Send arrays as bytes, or in "
            "several requests.",
        )
    is_plain = text.isascii() and b"\\" not in text
    hold(
        # Twice, as the text and what it says; one rare character makes a whole text wide.
        2 * len(text) * (1 if is_plain else 4)
        + values * _VALUE_BYTES
        + lists * _LIST_BYTES
        + (objects + text.count(b":")) * _FIELD_BYTES
    )
    try:
        return json.loads(text, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise _bad("it is not in UTF-8") from None
    except RecursionError:
        raise _bad("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _bad(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError:
        raise _bad("a number has too many digits") from None


def _no_number(name: str) -> NoReturn:
    raise _bad(f"{name} is no number in JSON")


def _bad(reason: str) -> Refusal:
    return Refusal(400, "bad_json", f"The body is no JSON: {reason}.")
