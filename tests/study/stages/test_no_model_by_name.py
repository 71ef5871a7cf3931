"""What trains, searches and reports serves every model alike: none is named in its code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tenfold
from tenfold.models.model import MODELS

SOURCE = Path(tenfold.__file__).parent
ROOMS = ("study", "report", "evaluation", "training", "data")


def _files() -> list[Path]:
    """Give the rooms' files; settings have a default, which is a name; a choice names recipes."""
    files = [file for room in ROOMS for file in sorted((SOURCE / room).rglob("*.py"))]
    return [file for file in files if file.name not in {"settings.py", "choice.py"}]


def test_every_room_has_files() -> None:
    assert {file.relative_to(SOURCE).parts[0] for file in _files()} == set(ROOMS)


def named_models(code: str, models: tuple[str, ...]) -> list[str]:
    """Give the models that code names: as a string of its own, or by importing their module."""
    modules = {f"tenfold.models.{name.replace('-', '_')}": name for name in models}
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and node.value in models:
            found.append(str(node.value))
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            found.append(modules[str(node.module)])
        elif isinstance(node, ast.Import):
            found += [modules[alias.name] for alias in node.names if alias.name in modules]
    return found


@pytest.mark.parametrize("file", _files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_no_model_is_named(file: Path) -> None:
    assert named_models(file.read_text("utf-8"), MODELS.names()) == []


@pytest.mark.parametrize(
    "code",
    [
        "if plan.model == 'resnet': pass",
        "match name:\n    case 'resnet': pass",
        "special = {'resnet': 2}",
        "from tenfold.models.resnet import ResnetSettings",
        "def f():\n    import tenfold.models.resnet",
    ],
)
def test_the_test_finds_what_it_looks_for(code: str) -> None:
    assert named_models(code, ("cnn", "resnet")) == ["resnet"]
    assert named_models("'''A residual network, as resnet is.'''", ("resnet",)) == []
