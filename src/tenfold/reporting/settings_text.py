"""Settings as people paste them: options of the command line, and a recipe's TOML."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any


def command_options(assignments: Mapping[str, Any]) -> str:
    """Give ``--set`` options, quoted for a shell.

    Parameters
    ----------
    assignments
        Whole values by dotted name, as in `TuneRecord.best_assignments`.
    """
    return " ".join(
        f"--set {shlex.quote(f'{name}={_toml_value(value)}')}"
        for name, value in assignments.items()
    )


def toml_text(assignments: Mapping[str, Any]) -> str:
    """Give the settings as tables of a recipe."""
    tables: dict[str, list[str]] = {}
    for name, value in assignments.items():
        table, _, setting = name.rpartition(".")
        tables.setdefault(table, []).append(f"{setting} = {_toml_value(value)}")
    return "\n\n".join("\n".join((f"[{table}]", *lines)) for table, lines in tables.items())


def _toml_value(value: Any) -> str:
    """Write a value as TOML, of which JSON's scalars and lists are a part."""
    return json.dumps(value, ensure_ascii=False)
