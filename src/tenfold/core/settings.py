"""Settings: typed, frozen, strict, and helpful when a name or a value is wrong; recipes' text."""

from __future__ import annotations

import copy
import tomllib
import types
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from tenfold.core.errors import SettingsError, UnknownNameError, nearest_names
from tenfold.core.files import read_regular_file

DEFAULT_RECIPE = "fast"
_MOST_RECIPE_BYTES = 2**17  # Many times what tenfold's own have.
_MOST_DOTS = 200  # On a line.


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown setting is an error that suggests the near."""

    # Infinity is no value of any setting, and JSON, which settings are stored as, has none.
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str = "") -> Self:
        """Check plain values and give the settings.

        Parameters
        ----------
        values
            Nested plain data, as read from TOML or JSON.
        where
            Dotted prefix for messages, for example ``"training"``.

        Raises
        ------
        SettingsError
            Names every setting that is unknown or out of range, what arrived and what is allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            lines = [_describe(cls, problem, where) for problem in error.errors()]
            raise SettingsError("\n".join(lines)) from None

    def plain(self) -> dict[str, Any]:
        """Give the settings as nested plain data, ready for JSON."""
        return self.model_dump(mode="json")


def _describe(cls: type[BaseModel], problem: Any, where: str) -> str:
    location, known = _locate(cls, problem["loc"])
    name = ".".join(filter(None, [where, *location])) or "The settings"
    if problem["type"] == "extra_forbidden":
        message = f"There is no setting named {name!r}."
        if near := nearest_names(location[-1], known):
            prefix = name[: -len(location[-1])]
            message += f" Did you mean {' or '.join(repr(prefix + match) for match in near)}?"
        return f"{message} Known here: {', '.join(known)}."
    if problem["type"] == "missing":
        return f"The setting {name!r} is missing."
    reason = problem["msg"].removeprefix("Value error, ")
    return f"The setting {name!r} is not valid: {reason}, got {problem['input']!r}."


def _locate(cls: type[BaseModel], location: Iterable[str | int]) -> tuple[list[str], list[str]]:
    """Give pydantic's location as users write it, and the names of the fields known there.

    Where a setting may be of several types, pydantic puts the type it tried into the location.
    """
    names: list[str] = []
    known: list[str] = []
    current: Any = cls
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            known = sorted(current.model_fields)
            field = current.model_fields.get(str(part))
            current = None if field is None else _without_none(field.annotation)
        elif get_origin(current) in (Union, types.UnionType) and isinstance(part, str):
            members = [kind for kind in get_args(current) if getattr(kind, "__name__", "") == part]
            current = members[0] if members else None
            continue
        else:
            current = next(iter(get_args(current)), None)  # an item of a list
        names.append(str(part))
    return names, known


def _without_none(annotation: Any) -> Any:
    members = [kind for kind in get_args(annotation) if kind is not type(None)]
    is_optional = get_origin(annotation) in (Union, types.UnionType) and len(members) == 1
    return members[0] if is_optional else annotation


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``"training.epochs=3"`` into its dotted name and its value.

    The value is read as TOML (``3``, ``0.1``, ``true``, ``[32, 64]``); what is not valid TOML is
    taken as a string, so ``training.optimizer=adam`` needs no quotes.

    Raises
    ------
    SettingsError
        If there is no ``=`` or no whole name before it.
    """
    name, sign, value = text.partition("=")
    name = name.strip()
    if not sign or not all(name.split(".")):
        raise SettingsError(
            f"{text!r} is not an assignment. Write name=value, for example training.epochs=3."
        )
    try:
        read = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):  # A number may be too long, a list too deep.
        return name, value.strip()
    # A value of several lines may read as TOML of several names: then it is a plain string.
    return name, read["value"] if len(read) == 1 else value.strip()


def with_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Give nested tables with what they leave out."""
    filled = {**defaults, **values}
    for name, default in defaults.items():
        if isinstance(default, Mapping) and isinstance(filled[name], Mapping):
            filled[name] = with_defaults(filled[name], default)
    return filled


def with_values(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Give a deep copy of nested plain data with some values replaced.

    Parameters
    ----------
    values
        Nested plain data.
    changes
        New values by dotted name; a number in the name is a place in a list
        (``model.filters.0``). Missing tables are made, so that the check that follows can name
        an unknown setting.

    Raises
    ------
    SettingsError
        If a name goes through a value that is no table, or past the end of a list.
    """
    result: dict[str, Any] = copy.deepcopy(dict(values))
    for name, value in changes.items():
        *path, last = name.split(".")
        current: Any = result
        for part in path:
            current = _step(current, part, name)
        _assign(current, last, name, value)
    return result


def _step(current: Any, part: str, name: str) -> Any:
    if isinstance(current, list):
        return current[_place(current, part, name)]
    if not isinstance(current, dict):
        raise SettingsError(
            f"There is no setting named {name!r}: {part!r} is inside a plain value."
        )
    return current.setdefault(part, {})


def _assign(current: Any, last: str, name: str, value: Any) -> None:
    if isinstance(current, list):
        current[_place(current, last, name)] = value
    elif isinstance(current, dict):
        current[last] = value
    else:
        raise SettingsError(
            f"There is no setting named {name!r}: {last!r} is inside a plain value."
        )


def _place(current: list[Any], part: str, name: str) -> int:
    if not part.isdecimal() or int(part) >= len(current):
        places = f" (0 to {len(current) - 1})" if current else ""
        raise SettingsError(
            f"There is no setting named {name!r}: {part!r} is not a place in a list of "
            f"{len(current)} values{places}."
        )
    return int(part)


NOT_SET = "not set"
"""What `differences` writes for a setting that is not there."""


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """List what differs between two nested settings, one line a setting: ``name: old -> new``."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        name = f"{prefix}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{name}.")
        elif before != after:
            told = [repr(side[key]) if key in side else NOT_SET for side in (old, new)]
            lines.append(f"{name}: {told[0]} -> {told[1]}")
    return lines


def recipe_names() -> tuple[str, ...]:
    """Give the names of the recipes that come with tenfold."""
    folder = resources.files("tenfold") / "recipes"
    return tuple(
        sorted(
            entry.name.removesuffix(".toml")
            for entry in folder.iterdir()
            if entry.name.endswith(".toml")
        )
    )


def recipe_text(name_or_path: str) -> str:
    """Give a recipe's text: one of tenfold's own by name, or a TOML file by path.

    Raises
    ------
    UnknownNameError
        If there is neither.
    """
    if name_or_path in recipe_names():
        return (resources.files("tenfold") / "recipes" / f"{name_or_path}.toml").read_text("utf-8")
    path = Path(name_or_path)
    if path.suffix == ".toml" and path.is_file():
        try:
            return read_regular_file(path, _MOST_RECIPE_BYTES).decode("utf-8")
        except OSError as error:
            reason = error.strerror or error
            raise SettingsError(f"The recipe {path} cannot be read: {reason}.") from None
        except UnicodeDecodeError as error:
            raise SettingsError(f"The recipe {path} cannot be read: {error}.") from None
    if path.suffix == ".toml":
        raise SettingsError(f"There is no recipe file {name_or_path}.")
    raise UnknownNameError("recipe", name_or_path, recipe_names())


def recipe_values(name_or_path: str) -> dict[str, Any]:
    """Give a recipe as nested plain data, whose settings nobody has checked.

    Raises
    ------
    SettingsError
        If there is no such recipe, or it is not valid TOML.
    """
    text = recipe_text(name_or_path)
    try:
        # Each dot is a table in a table, and all of them are gone through for each.
        if any(line.count(".") > _MOST_DOTS for line in text.splitlines()):
            raise RecursionError
        return tomllib.loads(text)
    except RecursionError:
        raise nested_too_deeply(name_or_path) from None
    except ValueError as error:  # TOMLDecodeError is one, and so is a number that is too long.
        raise SettingsError(f"The recipe {name_or_path} is not valid TOML: {error}.") from None


def nested_too_deeply(name_or_path: str) -> SettingsError:
    """Give the error of a recipe that Python cannot go through."""
    return SettingsError(
        f"The recipe {name_or_path} is nested too deeply to be read. Compare it with one of "
        f"tenfold's own: {', '.join(recipe_names())}."
    )
