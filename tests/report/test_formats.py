"""Numbers, names and lists as the page writes them."""

from __future__ import annotations

import shlex
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.settings import parse_assignment
from tenfold.report import formats
from tenfold.report.formats import command_options, toml_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.01, "under 0.1 s"),
        (0.25, "0.2 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (384, "6 min 24 s"),
        (3600, "1 h"),
        (7259, "2 h 1 min"),
        (float("nan"), "–"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0"), (0.004, "0.4"), (0.657, "66"), (0.994, "99"), (0.996, "99.6"), (1, "100")],
)
def test_of_hundred_is_all_or_none_only_where_it_is(share: float, text: str) -> None:
    assert formats.of_hundred(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999_499, "999,499"),
        (999_500, "1 million"),
        (41_276_000, "41.3 million"),
        (999_900_000, "1 billion"),
        (5_240_000_000, "5.24 billion"),
        (1_234_000_000_000, "1,230 billion"),
    ],
)
def test_large(value: int, text: str) -> None:
    assert formats.large(value) == text


def test_a_count_that_is_not_known_is_a_dash() -> None:
    assert (formats.count(50_000), formats.count(None)) == ("50,000", "–")


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "+0.012"), (-0.0123, "−0.012"), (-0.0001, "0.000"), (0, "0.000")]
)
def test_signed(value: float, text: str) -> None:
    assert formats.signed(value) == text


@pytest.mark.parametrize(
    ("parts", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (list("abc"), "a, b and c")],
)
def test_join(parts: list[str], text: str) -> None:
    assert formats.join(parts) == text


def test_join_counts_what_it_does_not_name() -> None:
    assert formats.join("abcd", most=4) == "a, b, c and d"
    assert formats.join("abcde", most=4) == "a, b, c and 2 more"


def test_in_sentence_quotes_what_is_no_plain_word() -> None:
    assert formats.in_sentence("deer") == "deer"
    assert formats.in_sentence("7") == "“7”"
    assert formats.in_sentence("") == "“(no name)”"


@given(st.text())
def test_printable_has_no_control_characters_and_is_never_empty(text: str) -> None:
    shown = formats.printable(text)
    assert shown
    assert all(letter.isprintable() or letter == " " or ord(letter) > 160 for letter in shown)
    assert not {"\n", "\x00", "\u202e"} & set(shown)


@given(st.text(), st.integers(2, 40))
def test_shorten_keeps_to_its_width(text: str, width: int) -> None:
    assert len(formats.shorten(text, width)) <= max(width, len("(no name)"))


def test_setting_names_and_values() -> None:
    assert formats.setting_name("model.filters.0") == "filters_0"
    assert formats.setting_value(0.001) == "0.001"
    assert formats.setting_value(True) == "yes"
    assert formats.setting_value(64.0) == "64"


values = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    st.lists(st.integers(0, 4096), max_size=4),
)


@given(values)
def test_an_option_is_read_back_as_what_it_was(value: Any) -> None:
    words = shlex.split(command_options({"model.filters": value}))
    assert words[0] == "--set"
    assert parse_assignment(words[1]) == ("model.filters", value)
    assert len(words) == 2


@given(values, values, values)
def test_toml_is_read_back_as_what_it_was(first: Any, second: Any, third: Any) -> None:
    text = toml_text({"model.name": first, "training.epochs": second, "model.units": third})
    assert tomllib.loads(text) == {
        "model": {"name": first, "units": third},
        "training": {"epochs": second},
    }


def test_what_it_looks_like() -> None:
    assignments = {"model.name": "cnn", "model.filters": [64, 32], "training.learning_rate": 1e-5}
    assert command_options(assignments) == (
        "--set 'model.name=\"cnn\"' --set 'model.filters=[64, 32]' "
        "--set training.learning_rate=1e-05"
    )
    assert toml_text(assignments) == (
        '[model]\nname = "cnn"\nfilters = [64, 32]\n\n[training]\nlearning_rate = 1e-05'
    )
