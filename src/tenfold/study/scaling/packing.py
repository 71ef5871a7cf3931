"""Named values as bytes: JSON, and beside it the bytes and arrays that JSON cannot hold.

What goes between a driver and its workers is in this form, so that nothing is pickled.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

Values = Mapping[str, Any]
"""By name: what JSON can hold, bytes, or NumPy arrays."""
_LENGTH_BYTES = 8


def pack(values: Values) -> bytes:
    """Give named values as bytes.

    Raises
    ------
    TypeError
        If a value is none that can be sent.
    """
    plain: dict[str, Any] = {}
    blobs: list[tuple[str, str, bytes]] = []
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(value), allow_pickle=False)
            blobs.append((name, "array", buffer.getvalue()))
        elif isinstance(value, bytes):
            blobs.append((name, "bytes", value))
        else:
            plain[name] = value
    places = [(name, kind, len(content)) for name, kind, content in blobs]
    # Paths that are no UTF-8 hold lone surrogates, which JSON's escapes keep.
    header = json.dumps([plain, places]).encode("ascii")
    contents = (content for _, _, content in blobs)
    return b"".join((len(header).to_bytes(_LENGTH_BYTES, "little"), header, *contents))


def unpack(content: bytes) -> dict[str, Any]:
    """Give the values of `pack`; an object that JSON has no type for (a tuple) is a list now.

    Raises
    ------
    ValueError
        If the bytes are not such values.
    """
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    values, places = json.loads(content[_LENGTH_BYTES:start])
    found: dict[str, Any] = values
    for name, kind, length in places:
        part = content[start : start + length]
        if len(part) != length:
            raise ValueError(f"{name} has {len(part):,} bytes instead of {length:,}")
        start += length
        found[name] = (
            np.lib.format.read_array(io.BytesIO(part), allow_pickle=False)
            if kind == "array"
            else part
        )
    return found
