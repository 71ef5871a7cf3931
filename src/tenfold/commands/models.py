"""`tenfold models`: the architectures, or one architecture layer by layer."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenfold.commands.options import DebugOption
from tenfold.commands.output import echo
from tenfold.core.errors import SettingsError

if TYPE_CHECKING:
    from tenfold.core.records.training import ModelSummary

_IMAGE_SIZE = re.compile(r"(\d{1,5})(?:[x×](\d{1,5}))?(?:[x×](\d{1,5}))?", re.ASCII)
_MOST_PX = 4096
_WIDTH_WITHOUT_TERMINAL = 120
"""Columns where the output goes to a file or a pipe."""


def models(  # noqa: PLR0917 -- typer passes them all by name
    name: Annotated[str | None, typer.Argument(help="Show this model's layers.")] = None,
    image_size: Annotated[
        str,
        typer.Option(
            "--image-size", metavar="HxWxC", help="Height, width and channels of the images."
        ),
    ] = "32x32x3",
    classes: Annotated[int, typer.Option("--classes", min=2, help="Number of classes.")] = 10,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, e.g. model.depth=56."),
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: DebugOption = False,
) -> None:
    """List the models, or show one: its settings, layers, parameters, multiply-adds."""
    del debug  # read by `main`, which shows the trace
    if name is None:
        _list_models(is_json)
        return
    image_shape = parse_image_size(image_size)
    settings = _model_settings(name, assignments or [])
    from tenfold.models.summary import summarize_model

    summary = summarize_model(name, settings, image_shape=image_shape, class_count=classes)
    if is_json:
        echo(summary.model_dump_json(indent=2))
    else:
        _show(summary)


def parse_image_size(text: str) -> tuple[int, int, int]:
    """Give height, width and channels of ``32x32x3``, ``32x32`` (three channels) or ``32``.

    Raises
    ------
    SettingsError
        If it is none of these, or a number is out of range.
    """
    match = _IMAGE_SIZE.fullmatch(text.strip().lower())
    if match is not None:
        height = int(match.group(1))
        width, channels = int(match.group(2) or height), int(match.group(3) or 3)
        if 1 <= min(height, width) <= max(height, width) <= _MOST_PX and 1 <= channels <= 4:
            return height, width, channels
    raise SettingsError(
        f"{text!r} is not an image size. Write HEIGHTxWIDTHxCHANNELS, for example 32x32x3 (up to "
        f"{_MOST_PX} pixels, 1 to 4 channels)."
    )


def _model_settings(name: str, assignments: list[str]) -> dict[str, Any]:
    from tenfold.core.settings import parse_assignment, with_values
    from tenfold.models.model import MODELS

    changes = dict(parse_assignment(text) for text in assignments)
    for setting in changes:
        if not setting.startswith("model.") or setting == "model.name":
            raise SettingsError(
                f"--set {setting} does not name a setting of a model. Write model.SETTING=value, "
                "for example model.width=2; the argument says which model: tenfold models NAME."
            )
    # Assignments may name a place in a list, so they change the defaults.
    defaults = {"model": MODELS[name].settings_type().plain()}
    settings: dict[str, Any] = with_values(defaults, changes)["model"]
    return settings


def _list_models(is_json: bool) -> None:
    from tenfold.models.model import MODELS

    lines = {name: MODELS[name].summary for name in MODELS}
    if is_json:
        echo(json.dumps(lines, indent=2, ensure_ascii=False))
        return
    width = max(map(len, lines))
    for name, line in lines.items():
        echo(f"{name:{width}}  {line}")


def _show(summary: ModelSummary) -> None:
    from rich.console import Console

    from tenfold.reporting import model_tables

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_WITHOUT_TERMINAL)
    parts = (
        *model_tables.sentences(summary),
        "",
        model_tables.settings_table(summary),
        model_tables.layer_table(summary),
        *model_tables.explanations(summary),
    )
    for part in parts:
        console.print(part, markup=False, highlight=False)
