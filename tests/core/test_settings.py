from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from tenfold.core.errors import SettingsError
from tenfold.core.settings import Settings, differences, parse_assignment, with_values


class Range(Settings):
    low: float = 0.0
    high: float = 1.0


class Inner(Settings):
    epochs: int = Field(1, ge=1)
    weights: Range | None = None
    name: str = "a"


class Outer(Settings):
    training: Inner = Inner()
    ranges: tuple[str | Range, ...] = ()
    seed: int = 0
    rate: float | None = None

    @model_validator(mode="after")
    def _seed_is_not_13(self) -> Outer:
        if self.seed == 13:
            raise ValueError("13 brings bad luck")
        return self


class Required(Settings):
    name: str


class TestParse:
    def test_gives_settings_with_defaults(self) -> None:
        parsed = Outer.parse({"training": {"epochs": 3}})
        assert parsed.training.epochs == 3
        assert parsed.training.name == "a"
        assert parsed.plain()["training"] == {"epochs": 3, "weights": None, "name": "a"}

    def test_plain_data_parse_to_the_same_settings(self) -> None:
        parsed = Outer.parse({"ranges": ["a", {"low": -1}], "training": {"weights": {}}})
        assert Outer.parse(json.loads(json.dumps(parsed.plain()))) == parsed

    def test_settings_are_frozen(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            Outer().seed = 3  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"sed": 1}, "no setting named 'sed'. Did you mean 'seed'? Known here: ranges, rate"),
            ({"xyzzy": 1}, "no setting named 'xyzzy'. Known here: ranges, rate, seed, training."),
            (
                {"training": {"epoch": 1}},
                "'training.epoch'. Did you mean 'training.epochs'? Known here: epochs, name",
            ),
            (
                {"training": {"weights": {"lo": 1}}},
                "'training.weights.lo'. Did you mean 'training.weights.low'? Known here: high, low",
            ),
            (
                {"ranges": ["a", {"hihg": 1}]},
                "'ranges.1.hihg'. Did you mean 'ranges.1.high'? Known here: high, low.",
            ),
            ({"training": {"epochs": 0}}, "'training.epochs' is not valid: Input should be great"),
            ({"training": {"epochs": "many"}}, "got 'many'"),
            ({"training": 3}, "'training' is not valid"),
            ({"rate": float("inf")}, "'rate' is not valid: Input should be a finite number"),
            ({"seed": 13}, "The setting 'The settings' is not valid: 13 brings bad luck"),
        ],
    )
    def test_says_what_is_wrong(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(SettingsError) as caught:
            Outer.parse(values)
        assert message in str(caught.value)

    def test_names_every_problem_on_a_line_of_its_own(self) -> None:
        with pytest.raises(SettingsError) as caught:
            Outer.parse({"sed": 1, "training": {"epochs": 0}})
        assert len(str(caught.value).splitlines()) == 2

    def test_names_a_missing_setting(self) -> None:
        with pytest.raises(SettingsError, match=r"^The setting 'recipe.name' is missing\.$"):
            Required.parse({}, where="recipe")

    def test_the_prefix_stands_before_every_name(self) -> None:
        with pytest.raises(SettingsError, match=r"Did you mean 'model\.low'"):
            Range.parse({"lo": 1}, where="model")


PLAIN = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # TOML's strings take everything but lone surrogates and, unescaped, the delete character.
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f")),
    lambda item: st.lists(item, max_size=4),
    max_leaves=8,
)
NAMES = st.lists(
    st.text(string.ascii_lowercase + "_", min_size=1, max_size=8), min_size=1, max_size=4
)


class TestParseAssignment:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("training.epochs=3", ("training.epochs", 3)),
            (" training.epochs = 3 ", ("training.epochs", 3)),
            ("a=0.1", ("a", 0.1)),
            ("a=1e-4", ("a", 1e-4)),
            ("a=true", ("a", True)),
            ("a=[32, 64]", ("a", [32, 64])),
            ("a=adam", ("a", "adam")),
            ("a='3'", ("a", "3")),
            ("a=b=c", ("a", "b=c")),
            ("a=", ("a", "")),
            ("a=/data/my images", ("a", "/data/my images")),
            ('a=[{ name = "model.units", low = 1 }]', ("a", [{"name": "model.units", "low": 1}])),
            ("a=1\nb = 2", ("a", "1\nb = 2")),
        ],
    )
    def test_reads_name_and_value(self, text: str, expected: tuple[str, Any]) -> None:
        name, value = parse_assignment(text)
        assert (name, value) == expected
        assert type(value) is type(expected[1])

    @pytest.mark.parametrize("text", ["", "training.epochs", "=3", " =3", "a.=1", ".a=1", "a..b=1"])
    def test_refuses_what_is_no_assignment(self, text: str) -> None:
        with pytest.raises(SettingsError, match=r"Write name=value, for example training\.epochs"):
            parse_assignment(text)

    @given(name=NAMES, value=PLAIN)
    def test_values_written_as_toml_come_back(self, name: list[str], value: Any) -> None:
        dotted = ".".join(name)
        # JSON's numbers, strings, booleans and lists are TOML's.
        assert parse_assignment(f"{dotted}={json.dumps(value, ensure_ascii=False)}") == (
            dotted,
            value,
        )

    @given(st.text())
    def test_any_text_is_an_assignment_or_a_clear_error(self, text: str) -> None:
        try:
            name, _ = parse_assignment(text)
        except SettingsError:
            return
        assert all(name.split("."))


NESTED = st.recursive(
    PLAIN,
    lambda item: st.dictionaries(st.text(string.ascii_lowercase, min_size=1), item, max_size=3),
    max_leaves=8,
)


class TestWithValues:
    def test_replaces_and_leaves_the_original(self) -> None:
        values = {"model": {"filters": [1, 2, 3]}, "seed": 0}
        changed = with_values(values, {"model.filters.1": 9, "seed": 4, "new.table.x": 1})
        assert changed == {"model": {"filters": [1, 9, 3]}, "seed": 4, "new": {"table": {"x": 1}}}
        assert values == {"model": {"filters": [1, 2, 3]}, "seed": 0}

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("seed.x", "'x' is inside a plain value"),
            ("seed.x.y", "'x' is inside a plain value"),
            ("filters.3", r"'3' is not a place in a list of 3 values \(0 to 2\)"),
            ("filters.-1", "'-1' is not a place"),
            ("filters.²", "'²' is not a place"),
            ("filters.0.a", "'a' is inside a plain value"),
            ("empty.0", r"'0' is not a place in a list of 0 values\."),
        ],
    )
    def test_refuses_a_way_that_is_none(self, name: str, message: str) -> None:
        with pytest.raises(SettingsError, match=message):
            with_values({"seed": 0, "filters": [1, 2, 3], "empty": []}, {name: 1})

    @settings(max_examples=50)
    @given(values=st.dictionaries(st.text(string.ascii_lowercase, min_size=1), NESTED), new=PLAIN)
    def test_every_leaf_can_be_replaced(self, values: dict[str, Any], new: Any) -> None:
        for name in _leaves(values):
            changed = with_values(values, {name: new})
            assert _at(changed, name) == new
            # and replaced back
            assert with_values(changed, {name: _at(values, name)}) == values


def _leaves(values: Any, prefix: str = "") -> list[str]:
    if isinstance(values, dict):
        pairs: Any = values.items()
    elif isinstance(values, list):
        pairs = enumerate(values)
    else:
        return [prefix]
    return [
        leaf
        for key, value in pairs
        for leaf in _leaves(value, f"{prefix}.{key}" if prefix else key)
    ]


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values[int(part)] if isinstance(values, list) else values[part]
    return values


class TestDifferences:
    def test_gives_one_sorted_line_a_setting(self) -> None:
        old = {"b": {"x": 1, "y": [1, 2]}, "a": "u", "same": 0, "gone": True}
        new = {"b": {"x": 2, "y": [1, 3]}, "a": "v", "same": 0, "come": None}
        assert differences(old, new) == [
            "a: 'u' -> 'v'",
            "b.x: 1 -> 2",
            "b.y: [1, 2] -> [1, 3]",
            "gone: True -> not set",
        ]

    @settings(max_examples=50)
    @given(st.dictionaries(st.text(), NESTED))
    def test_nothing_differs_from_itself(self, values: dict[str, Any]) -> None:
        assert differences(values, values) == []
