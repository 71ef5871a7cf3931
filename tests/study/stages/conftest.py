"""Run the stages of tiny studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tenfold.study.recipe import StudySettings
from tenfold.study.study import Study


@pytest.fixture
def run_stage(tiny_settings: Callable[..., StudySettings], tmp_path: Path) -> Callable[..., Path]:
    """Give a function that runs a stage, and what it needs, and gives the stage's folder."""

    def run(
        stage: str, changes: Mapping[str, Any] | None = None, *, out: Path = tmp_path / "run"
    ) -> Path:
        list(Study(tiny_settings(changes), out).run(stage))
        return out / stage

    return run
