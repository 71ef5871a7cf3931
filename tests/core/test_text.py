from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenfold.core import text
from tenfold.core.errors import RunFolderError, SettingsError
from tenfold.core.files import write_json
from tenfold.core.records.data import LeftOutImage
from tenfold.core.text import format_duration, format_estimate, parse_duration

NAMES = st.one_of(
    st.text(),
    st.text(st.characters(categories=["Cs", "Cc", "Cf", "Zl", "Zp"])),
    st.text("=+-@\t\r\n'\"a, ;\\"),
    st.binary().map(os.fsdecode),
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat", "cat"),
        ("café 😀 \N{WOMAN}\N{ZERO WIDTH JOINER}", "café 😀 \N{WOMAN}\N{ZERO WIDTH JOINER}"),
        ("\x1b[2J\x1b]0;pwned\x07", r"\x1b[2J\x1b]0;pwned\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("evil\u202egpj.exe", r"evil\u202egpj.exe"),
        ("\u2028\u2066\ufeff", r"\u2028\u2066\ufeff"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("\uffff", r"\uffff"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("   ", "(no name)"),
        ("", "(no name)"),
    ],
)  # fmt: skip
def test_a_name_is_shown_with_every_character_to_be_seen(name: str, shown: str) -> None:
    assert text.printable(name) == shown


@given(NAMES)
def test_what_is_shown_is_one_line_that_xml_and_utf_8_allow(name: str) -> None:
    shown = text.printable(name)
    assert shown.splitlines() == [shown]
    shown.encode()
    ElementTree.fromstring(f"<name>{escape(shown)}</name>")


def test_lines_stay_lines() -> None:
    assert text.escaped("a\x1b\nb\t") == "a\\x1b\nb\\t"
    assert text.escaped("a\tb", keep="\t") == "a\tb"


@given(NAMES)
def test_readable_text_can_be_stored(name: str) -> None:
    stored = text.readable(name)
    assert stored.encode().decode() == stored
    assert text.readable(stored) == stored


@given(NAMES)
def test_json_comes_back_and_steers_nothing(name: str) -> None:
    line = text.json_line({"name": name})
    assert json.loads(line) == {"name": text.readable(name)}
    assert text.escaped(line, keep="") == line


@given(st.lists(NAMES, min_size=1))
@example(["=1+1", "'=1+1", "''-x", "\r", "a\rb", "-"])
def test_csv_comes_back_and_computes_nothing(names: list[str]) -> None:
    line = text.csv_line([*names, -0.5, 7, None])
    [cells] = csv.reader(io.StringIO(line, newline=""), strict=True)
    assert [text.csv_cell_text(cell) for cell in cells[:-3]] == [*map(text.readable, names)]
    assert cells[-3:] == ["-0.5", "7", ""]
    assert not any(cell[:1] in set("=+-@\t\r\n＝＋－＠") - {""} for cell in cells[:-3])


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_stream_writes_every_character(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    text.make_tolerant(stream)
    stream.write('"é → 😀 \udcff"')
    stream.flush()
    written = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert json.loads(written) == "é → 😀 \udcff"


def test_a_stream_of_another_kind_is_left_alone() -> None:
    text.make_tolerant(io.StringIO())


def test_a_path_that_is_no_text_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record = LeftOutImage(path=os.fsdecode(b"caf\xe9"), reason="é")
    record.write(path)
    assert LeftOutImage.read(path) == record
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(RunFolderError, match="is not a LeftOutImage"):
        LeftOutImage.read(path)
    write_json(path, {"place": os.fsdecode(b"caf\xe9")})
    assert json.loads(path.read_text("utf-8")) == {"place": os.fsdecode(b"caf\xe9")}


def test_a_number_stands_with_its_noun() -> None:
    assert text.counted(1, "image") == "1 image"
    assert text.counted(50_000, "image") == "50,000 images"
    assert text.counted(0, "class", "classes") == "0 classes"


def test_a_long_list_says_how_much_was_left_out() -> None:
    assert text.shortlist(["a", "b"], 2) == "a, b"
    assert text.shortlist(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert text.shortlist([]) == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("90", 90),
        (" 10m ", 600),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("1.5m", 90),
        ("4.3s", 4.3),
        ("10M", 600),
        (40, 40),
        (0.5, 0.5),
    ],
)
def test_spans_are_seconds(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "ten", "10 days", "-5s", "0", "0h0m", "1m2h", "1e3s", "nan", "inf", -1, 0]
)
def test_anything_else_is_refused_with_examples(text: str | float) -> None:
    with pytest.raises(SettingsError, match="is not a span of time") as caught:
        parse_duration(text)
    assert "90s, 10m, 2h" in str(caught.value)


@given(st.text(max_size=12))
def test_any_text_is_a_span_above_zero_or_refused(text: str) -> None:
    with contextlib.suppress(SettingsError):
        assert parse_duration(text) > 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.31, "4.3 s"),
        (4, "4 s"),
        (23, "23 s"),
        (90, "1 min 30 s"),
        (600, "10 min"),
        (3599.6, "1 h"),
        (8000, "2 h 13 min"),
    ],
)
def test_written_as_people_do(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(30.7, "31 s"), (114, "110 s"), (185, "3.1 min"), (7190, "120 min"), (8000, "2.2 h")],
)
def test_an_estimate_is_not_more_exact_than_it_is_sure(seconds: float, text: str) -> None:
    assert format_estimate(seconds) == text
