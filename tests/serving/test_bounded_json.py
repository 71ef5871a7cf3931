"""What JSON texts of strangers may cost."""

from __future__ import annotations

import tracemalloc

import pytest

pytest.importorskip("fastapi")

from tenfold.serving.bounded_json import MOST_VALUES, read_json
from tenfold.serving.guard import Refusal

TEXTS = {
    "numbers": b"[" + b"1e9," * 20_000 + b"0]",
    "small numbers": b"[" + b"0," * 20_000 + b"0]",
    "whole numbers": b"[" + b"99999," * 20_000 + b"0]",
    "empty lists": b"[" + b"[]," * 20_000 + b"[]]",
    "lists of one": b"[" + b"[0]," * 20_000 + b"[]]",
    "objects": b"[" + b'{"":0},' * 9_000 + b"{}]",
    "fields": b"{" + b",".join(b'"%x":[]' % n for n in range(9_000)) + b"}",
    "short texts": b"[" + b'"ab",' * 20_000 + b"0]",
    "one long text": b'"' + b"a" * 1_000_000 + b'"',
    "a wide text": b'"' + b"a" * 1_000_000 + b'\\ud83d\\ude00"',
    "another wide text": b'"' + b"a" * 1_000_000 + '\N{GRINNING FACE}"'.encode(),
}


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_takes_more_than_is_held_for_it(name: str) -> None:
    held: list[int] = []
    tracemalloc.start()
    try:
        read_json(TEXTS[name], held.append)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < sum(held) + 5_000


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"[" + b"0," * MOST_VALUES + b"0]", 413),
        (b"[" + b"{}," * 10_001 + b"0]", 413),
        (b"[" * 50_000, 400),
        (b"-Infinity", 400),
        (b"9" * 5_000, 400),
        (b"\xff", 400),
        (b"", 400),
    ],
)
def test_is_refused(text: bytes, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        read_json(text, lambda _: None)
    assert caught.value.status == status
