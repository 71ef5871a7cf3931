"""Settings: typed, frozen, strict, and helpful when a name or a value is wrong."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tenfold.core.errors import SettingsError, nearest_names


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown setting is an error that suggests the near."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

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
    location = [str(part) for part in problem["loc"]]
    name = ".".join(filter(None, [where, *location])) or "The settings"
    if problem["type"] == "extra_forbidden":
        known = _fields_at(cls, location[:-1])
        message = f"There is no setting named {name!r}."
        if near := nearest_names(location[-1], known):
            prefix = name[: -len(location[-1])]
            message += f" Did you mean {' or '.join(repr(prefix + match) for match in near)}?"
        return f"{message} Known here: {', '.join(known)}."
    if problem["type"] == "missing":
        return f"The setting {name!r} is missing."
    return f"The setting {name!r} is not valid: {problem['msg']}, got {problem['input']!r}."


def _fields_at(cls: type[BaseModel], location: Iterable[str]) -> list[str]:
    """Give the field names of the settings nested in `cls` at `location`."""
    current: Any = cls
    for part in location:
        field = current.model_fields.get(part) if hasattr(current, "model_fields") else None
        annotation = field.annotation if field is not None else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            current = annotation
    return sorted(current.model_fields)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``"training.epochs=3"`` into its dotted name and its value.

    The value is read as TOML (``3``, ``0.1``, ``true``, ``[32, 64]``); what is not valid TOML is
    taken as a string, so ``training.optimizer=adam`` needs no quotes.

    Raises
    ------
    SettingsError
        If there is no ``=`` or no name before it.
    """
    name, sign, value = text.partition("=")
    name = name.strip()
    if not sign or not name:
        raise SettingsError(
            f"{text!r} is not an assignment. Write name=value, for example training.epochs=3."
        )
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value.strip()


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
    if not part.isdigit() or int(part) >= len(current):
        raise SettingsError(
            f"There is no setting named {name!r}: {part!r} is not a place in a list of "
            f"{len(current)} values (0 to {len(current) - 1})."
        )
    return int(part)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """List what differs between two nested settings, one line a setting: ``name: old -> new``."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        name = f"{prefix}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{name}.")
        elif before != after:
            lines.append(f"{name}: {before!r} -> {after!r}")
    return lines
