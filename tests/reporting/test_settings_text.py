from __future__ import annotations

import shlex
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.settings import parse_assignment
from tenfold.report.formats import command_options, toml_text

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
