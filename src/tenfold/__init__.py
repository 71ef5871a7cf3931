"""tenfold: from labelled images to a classifier and the report that proves it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tenfold.core.machine import let_waiting_threads_sleep

if TYPE_CHECKING:
    from tenfold.classifier import ImageClassifier, load
    from tenfold.core.errors import TenfoldError
    from tenfold.study.recipe import StudySettings, load_recipe
    from tenfold.study.study import Study

__version__ = "0.1.0"

let_waiting_threads_sleep()  # before anything imports torch, by whatever way in

__all__ = ["ImageClassifier", "Study", "StudySettings", "TenfoldError", "load", "load_recipe"]

_HOMES = {
    "ImageClassifier": "tenfold.classifier",
    "Study": "tenfold.study.study",
    "StudySettings": "tenfold.study.recipe",
    "TenfoldError": "tenfold.core.errors",
    "load": "tenfold.classifier",
    "load_recipe": "tenfold.study.recipe",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tenfold' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
