"""``tenfold tune``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenfold.study.request import StudyRequest
from tenfold.study.search.space import search_space

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

    def test_one_model_is_searched_as_its_own_recipe_trains_it(
        self, tenfold: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        requests: list[StudyRequest] = []

        def stop(request: StudyRequest, **_: Any) -> None:
            requests.append(request)
            raise SystemExit(0)

        monkeypatch.setattr("tenfold.cli.training.run_study", stop)
        assert tenfold("tune", "--data", "digits", "--model", "resnet").code == 0
        settings = requests[0].resolve().settings
        assert (settings.recipe.name, settings.model.name) == ("resnet", "resnet")
        assert settings.tune.is_enabled
        assert settings.tune.models == ()
        assert {one.name for one in search_space(settings)} >= {"model.depth", "model.width"}

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
        result = tenfold("tune", *options)
        assert result.code == 2
        assert result.err.startswith("Error: ")
        assert message in result.err
