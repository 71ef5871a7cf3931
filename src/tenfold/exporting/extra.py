"""Packages of an extra, or how to get them."""

from __future__ import annotations

import importlib
from types import ModuleType

from tenfold.core.errors import SettingsError


def need(module: str, *, extra: str) -> ModuleType:
    """Import a module that an extra installs.

    Parameters
    ----------
    module
        Its full name.
    extra
        The extra's name in tenfold's ``pyproject.toml``.

    Raises
    ------
    SettingsError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise SettingsError(
            f"This needs the package {package}, which is not installed ({error}). Install it: "
            f"pip install 'tenfold[{extra}]'"
        ) from None
