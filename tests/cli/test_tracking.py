"""``tenfold log``: what it says of what is missing, not there or not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ("--mlflow", "--tensorboard")),
        (["--tensorboard", "logs"], ("settings.json",)),
        (["--mlflow", "sqlite:///mlflow.db"], ("settings.json",)),
    ],
)
def test_what_is_not_there_is_said(
    words: list[str], said: tuple[str, ...], tenfold: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    result = tenfold("log", "empty", *words)
    assert result.code == 2
    assert all(one in result.err for one in said)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_study_that_is_not_begun_is_said(run_folder: str, tenfold: Callable[..., Any]) -> None:
    result = tenfold("log", run_folder, "--tensorboard", "logs")
    assert result.code == 2
    assert "tenfold acquire" in result.err


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("mlflow", ["--mlflow", "sqlite:///mlflow.db"]),
        ("tensorboard", ["--tensorboard", "logs"]),
    ],
)
def test_a_package_that_is_missing_is_named(
    package: str,
    words: list[str],
    run_folder: str,
    tenfold: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert tenfold("acquire", "--out", run_folder).code == 0
    monkeypatch.setitem(sys.modules, package, None)
    result = tenfold("log", run_folder, *words)
    assert result.code == 2
    assert f"tenfold[{package}]" in result.err


def test_an_unfinished_study_is_logged_and_what_is_missing_is_said(
    run_folder: str, tenfold: Callable[..., Any]
) -> None:
    pytest.importorskip("tensorboard", reason="needs TensorBoard")
    assert tenfold("acquire", "--out", run_folder).code == 0
    result = tenfold("log", run_folder, "--tensorboard", "logs")
    assert result.code == 0, result.err
    assert "logs" in result.out
    assert f"tenfold run --out {run_folder}" in result.out
    assert "curves" in result.out
