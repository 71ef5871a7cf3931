"""``tenfold tune``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


class TestTune:
    def test_several_models_and_the_best_settings_to_paste(
        self, tenfold: Command, run_folder: str
    ) -> None:
        result = tenfold(
            *("tune", "--out", run_folder, "--update", "--model", "cnn", "--model", "fast"),
            *("--trials", "1", "--pruner", "halving", "--sampler", "random"),
        )
        assert result.code == 0, result.err
        assert result.out.startswith("Best settings: --set 'model.name=\"")
        stored = json.loads((Path(run_folder) / "settings.json").read_text())["tune"]
        assert stored["models"] == ["cnn", "fast"]
        assert (stored["trials"], stored["pruner"], stored["sampler"]) == (1, "halving", "random")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--model", "cnm"], "There is no model named 'cnm'. Did you mean 'cnn'?"),
            (["--budget", "soon"], "'soon' is not a span of time"),
            (["--pruner", "halfing"], "The setting 'tune.pruner' is not valid"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, tenfold: Command, options: list[str], message: str
    ) -> None:
        result = tenfold("tune", "--data", "digits", *options)
        assert result.code == 2
        assert result.err.startswith("Error: ")
        assert message in result.err
