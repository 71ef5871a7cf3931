"""Which models a server begins with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tenfold.core.errors import SettingsError
from tenfold.serving.model import prepare_model
from tenfold.serving.repository import FIRST_VERSION, NamedModel, model_name
from tenfold.serving.watching import WatchedFolder


def models_to_serve(given: Sequence[str], watched: WatchedFolder | None) -> list[NamedModel]:
    """Read the models that the command line names, MODEL or NAME=MODEL, and a folder's.

    Raises
    ------
    SettingsError
        If there is none, or two have one name.
    ModelFolderError
        If one cannot be read.
    """
    if not given and watched is None:
        raise SettingsError(
            "No model was given. Give one or more: tenfold serve MODEL; or a folder of models: "
            "tenfold serve --watch FOLDER"
        )
    named = [_named(text) for text in given]
    names = [name for name, _ in named]
    _check_names(names)
    models = [NamedModel(name, FIRST_VERSION, prepare_model(path)) for name, path in named]
    if watched is not None:
        models += watched.first()
        _check_names([one.name for one in models])
    return models


def _named(text: str) -> tuple[str, Path]:
    """Give a model's name and place; a path that has a sign of equality may be there as well."""
    name, sign, rest = text.partition("=")
    if sign and rest and not Path(text).exists():
        if model_name(name) != name:
            raise SettingsError(
                f"{name!r} is no name for addresses. Letters, digits, _, - and . are allowed: "
                f"{model_name(name)}={rest}"
            )
        return name, Path(rest)
    path = Path(text)
    return model_name(path.resolve().name), path


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(
            f"Two models are called {twice[0]!r}. Give one of them another name: tenfold serve "
            f"NAME=MODEL, for example {twice[0]}-2=MODEL"
        )
