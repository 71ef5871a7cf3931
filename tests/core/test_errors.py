"""The error tree and the messages that suggest near names."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core import errors
from tenfold.core.errors import (
    SettingsError,
    TenfoldError,
    UnknownNameError,
    nearest_names,
    unknown_name_message,
)

ERRORS = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, TenfoldError)
]


def drawn_parents() -> dict[str, str | None]:
    """Read the tree in the module's docstring: the parent of each class, by depth."""
    assert errors.__doc__ is not None
    parents: dict[str, str | None] = {}
    branch: list[str] = []
    for line in errors.__doc__.splitlines():
        if match := re.match(r"^    ((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)", line):
            depth = len(match[1]) // 4
            branch = [*branch[:depth], match[2]]
            parents[match[2]] = branch[-2] if depth else None
    return parents


def test_the_drawn_tree_is_the_real_one() -> None:
    real = {
        error.__name__: None if error is TenfoldError else error.__bases__[0].__name__
        for error in ERRORS
    }
    assert drawn_parents() == real


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_says_what_it_means(error: type[TenfoldError]) -> None:
    assert error.__doc__
    assert error.__doc__.strip().splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        ("SettingsError", ValueError),
        ("UnknownNameError", KeyError),
        ("DataError", ValueError),
        ("ImageShapeError", ValueError),
        ("DeviceError", RuntimeError),
        ("TrainingError", RuntimeError),
        ("RunFolderError", RuntimeError),
        ("StorageError", OSError),
    ],
)
def test_errors_are_also_the_standard_ones(error: str, builtin: type[Exception]) -> None:
    assert issubclass(getattr(errors, error), builtin)


@pytest.mark.parametrize(
    "error", [error for error in ERRORS if error is not UnknownNameError], ids=lambda e: e.__name__
)
def test_the_message_is_what_was_given_and_survives_pickling(error: type[TenfoldError]) -> None:
    back = pickle.loads(pickle.dumps(error("The sky is down.")))
    assert type(back) is error
    assert str(back) == "The sky is down."


def test_an_unknown_name_is_said_in_a_sentence() -> None:
    error = UnknownNameError("model", "resnet8", {"resnet18", "cnn", "vit"})
    assert str(error) == (
        "There is no model named 'resnet8'. Did you mean 'resnet18'? Known: cnn, resnet18, vit."
    )
    assert error.kind == "model"
    assert error.name == "resnet8"
    assert error.known == ("cnn", "resnet18", "vit")


def test_an_unknown_name_reaches_another_process_whole() -> None:
    error = UnknownNameError("recipe", "reprot", ("report", "fast"))
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is UnknownNameError
    assert str(back) == str(error)
    assert (back.kind, back.name, back.known) == (error.kind, error.name, error.known)


def test_an_unknown_name_is_caught_as_a_settings_error_and_as_a_key_error() -> None:
    for caught in (SettingsError, KeyError, ValueError, TenfoldError):
        with pytest.raises(caught):
            raise UnknownNameError("model", "x", ())


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("reprot", ["report", "fast"], ["report"]),
        ("CNN", ["cnn", "vit"], ["cnn"]),
        ("crop_flip", ["none", "crop-flip"], ["crop-flip"]),
        ("zebra", ["cnn", "vit"], []),
        ("", ["cnn"], []),
        ("learning_rat", ["weight_decay", "learning_rate"], ["learning_rate"]),
        ("aaaa", ["aaab", "aaac", "aaad", "aaae"], ["aaae", "aaad", "aaac"]),
    ],
)
def test_near_names(name: str, known: list[str], near: list[str]) -> None:
    assert nearest_names(name, known) == near


def test_the_nearest_name_comes_first() -> None:
    assert nearest_names("resnet19", ["resnet", "resnet18x", "resnet18"])[0] == "resnet18"


def test_names_are_given_as_they_are_written() -> None:
    assert nearest_names("adamw", ["AdamW"]) == ["AdamW"]


def test_a_message_without_near_or_known_names() -> None:
    assert unknown_name_message("model", "x", []) == "There is no model named 'x'. Known: none."
    assert unknown_name_message("model", "zzz", ["b", "a"]) == (
        "There is no model named 'zzz'. Known: a, b."
    )
    assert "Did you mean 'abcd' or 'ab'?" in unknown_name_message("k", "abc", ["ab", "abcd"])


@given(st.text(), st.lists(st.text(), max_size=6))
def test_near_names_are_known_ones(name: str, known: list[str]) -> None:
    near = nearest_names(name, known)
    assert len(near) <= 3
    assert set(near) <= set(known)
