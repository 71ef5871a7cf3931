"""What a user asks, resolved to settings and a run folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import DataError, RunFolderError, SettingsError, UnknownNameError
from tenfold.core.settings import recipe_text
from tenfold.study.recipe import StudySettings, load_recipe
from tenfold.study.request import StudyRequest


@pytest.fixture(autouse=True)
def no_cifar10(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TENFOLD_CIFAR10", raising=False)
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run_folder(tiny_settings: Callable[..., StudySettings], tmp_path: Path) -> Path:
    """Give the folder of a study of the image folder that nothing was run of yet."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "settings.json").write_text(json.dumps(tiny_settings({"seed": 5}).flat()))
    return out


class TestNewStudy:
    def test_nothing_said_takes_the_default_recipe_and_digits(self) -> None:
        request = StudyRequest().resolve()
        assert request.settings == load_recipe("fast").with_changes({"data.source": "digits"})
        assert request.out == Path("runs/fast-digits")
        assert "CIFAR-10 is not on this machine" in request.sentence
        assert "tenfold run --data cifar10" in request.sentence

    def test_everything_said(self, image_folder: Path, tmp_path: Path) -> None:
        request = StudyRequest(
            data=str(image_folder),
            recipe="report",
            out=tmp_path / "new",
            seed=3,
            assignments=("training.epochs=2",),
            is_strict=True,
            is_thorough=True,
        ).resolve()
        settings = request.settings
        assert (settings.recipe.name, settings.seed, settings.training.epochs) == ("report", 3, 2)
        assert settings.data.source == "folder"
        assert settings.data.location == str(image_folder.resolve())
        assert settings.data.is_strict
        assert settings.evaluate.is_thorough
        assert request.out == tmp_path / "new"

    def test_columns_of_a_table_are_settings(self, image_folder: Path) -> None:
        columns = {"label": "1", "group": "patient"}
        settings = StudyRequest(data=str(image_folder), columns=columns).resolve().settings
        assert (settings.data.label_column, settings.data.group_column) == ("1", "patient")
        assert settings.data.path_column is None

    def test_a_relative_path_is_stored_whole(
        self, image_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(image_folder.parent)
        settings = StudyRequest(data=image_folder.name, recipe="fast").resolve().settings
        assert settings.data.location == str(image_folder.resolve())

    def test_the_run_folder_is_named_by_recipe_and_source(self, image_folder: Path) -> None:
        out = StudyRequest(data=str(image_folder), recipe="report").resolve().out
        assert out == Path("runs/report-folder")

    @pytest.mark.parametrize(
        ("request_", "error", "message"),
        [
            (StudyRequest(recipe="reprot"), UnknownNameError, "Did you mean 'report'"),
            (StudyRequest(data="digit"), DataError, "Did you mean 'digits'"),
            (StudyRequest(assignments=("training.epochs",)), SettingsError, "not an assignment"),
            (StudyRequest(assignments=("training.epoch=1",)), SettingsError, "training.epochs"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, request_: StudyRequest, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            request_.resolve()


class TestModel:
    def test_takes_the_recipe_of_its_name(self) -> None:
        request = StudyRequest(model="resnet", data="digits").resolve()
        assert request.settings.model == load_recipe("resnet").model
        assert request.settings.training == load_recipe("resnet").training
        assert request.out == Path("runs/resnet-digits")

    def test_takes_a_recipe_that_has_it_under_another_name(self) -> None:
        request = StudyRequest(model="pretrained", data="digits").resolve()
        assert request.settings.model == load_recipe("transfer").model
        assert request.out == Path("runs/transfer-digits")

    def test_takes_the_place_of_the_recipe_s(self) -> None:
        request = StudyRequest(
            model="resnet", recipe="cnn", data="digits", assignments=("model.depth=8",)
        ).resolve()
        settings = request.settings
        assert (settings.model.name, settings.model.settings["depth"]) == ("resnet", 8)
        assert "units" not in settings.model.settings
        assert settings.training == load_recipe("cnn").training
        assert request.out == Path("runs/cnn-resnet-digits")

    def test_the_recipe_s_own_model_changes_nothing(self) -> None:
        request = StudyRequest(model="cnn", recipe="report", data="digits").resolve()
        assert request.settings.model == load_recipe("report").model
        assert request.out == Path("runs/report-digits")

    def test_changes_a_stored_study(self, run_folder: Path) -> None:
        settings = StudyRequest(out=run_folder, model="resnet").resolve().settings
        assert settings.model.name == "resnet"
        assert settings.model.settings["depth"] == 20
        assert (settings.seed, settings.training.epochs) == (5, 2)

    def test_an_unknown_one_suggests_the_near(self) -> None:
        with pytest.raises(UnknownNameError, match=r"no model named 'resnte'.*'resnet'"):
            StudyRequest(model="resnte", data="digits").resolve()

    def test_a_recipe_s_name_is_no_model(self) -> None:
        with pytest.raises(UnknownNameError, match="There is no model named 'report'"):
            StudyRequest(model="report", data="digits").resolve()

    def test_two_that_differ_are_refused(self) -> None:
        request = StudyRequest(model="resnet", data="digits", assignments=("model.name=cnn",))
        with pytest.raises(SettingsError, match=r"--model says resnet and --set model\.name=cnn"):
            request.resolve()


class TestSearch:
    def test_who_asks_for_a_search_trains_with_its_winner(self) -> None:
        assert not load_recipe("fast").tune.is_enabled
        settings = StudyRequest(recipe="fast", stages=("tune",)).resolve().settings
        assert settings.tune.is_enabled

    def test_models_and_trials(self) -> None:
        request = StudyRequest(stages=("tune",), models=("cnn", "fast", "cnn"), trials=7)
        tune = request.resolve().settings.tune
        assert (tune.models, tune.trials) == (("cnn", "fast"), 7)

    def test_one_model_takes_the_place_of_several_that_were_searched(
        self, run_folder: Path
    ) -> None:
        path = run_folder / "settings.json"
        stored = json.loads(path.read_text())
        several = stored["tune"] | {"models": ["cnn", "fast"]}
        path.write_text(json.dumps(stored | {"tune": several}))
        settings = StudyRequest(out=run_folder, stages=("tune",), model="fast").resolve().settings
        assert (settings.model.name, settings.tune.models) == ("fast", ())

    def test_a_budget_leaves_the_number_of_trials_open(self) -> None:
        tune = StudyRequest(stages=("tune",), budget="10m").resolve().settings.tune
        assert (tune.budget_seconds, tune.trials) == (600, None)

    @pytest.mark.parametrize(
        "asked", [{"trials": 5}, {"assignments": ("tune.trials=5",)}], ids=["trials", "set"]
    )
    def test_unless_it_is_said_too(self, asked: dict[str, Any]) -> None:
        tune = StudyRequest(stages=("tune",), budget="10m", **asked).resolve().settings.tune
        assert (tune.budget_seconds, tune.trials) == (600, 5)

    def test_a_stored_study_keeps_its_way(self, run_folder: Path) -> None:
        stored = json.loads((run_folder / "settings.json").read_text())
        settings = StudyRequest(out=run_folder, stages=("tune",)).resolve().settings
        assert settings.flat() == stored


class TestStoredStudy:
    def test_its_settings_and_data_are_the_ground(self, run_folder: Path) -> None:
        request = StudyRequest(out=run_folder).resolve()
        assert request.settings.flat() == json.loads((run_folder / "settings.json").read_text())
        assert request.sentence.endswith("images, as the run folder was made with.")

    def test_what_is_said_changes_them(self, run_folder: Path) -> None:
        settings = (
            StudyRequest(out=run_folder, seed=6, assignments=("training.epochs=7",), is_strict=True)
            .resolve()
            .settings
        )
        assert (settings.seed, settings.training.epochs) == (6, 7)
        assert settings.data.is_strict
        assert settings.model.settings["units"] == 4

    def test_other_data_are_taken_when_given(self, run_folder: Path) -> None:
        settings = StudyRequest(out=run_folder, data="digits").resolve().settings
        assert (settings.data.source, settings.data.location) == ("digits", None)
        assert settings.seed == 5

    def test_a_recipe_replaces_all_but_the_data(self, run_folder: Path) -> None:
        settings = StudyRequest(out=run_folder, recipe="report").resolve().settings
        assert settings.recipe.name == "report"
        assert settings.data.source == "folder"
        assert settings.seed == load_recipe("report").seed

    def test_an_empty_folder_is_a_new_study(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        settings = StudyRequest(out=tmp_path / "empty").resolve().settings
        assert settings.data.source == "digits"

    def test_settings_of_another_version_are_a_clear_error(self, run_folder: Path) -> None:
        path = run_folder / "settings.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"of_the_future": 1}))
        with pytest.raises(
            RunFolderError, match=r"'of_the_future'.*\n.*written by another version"
        ):
            StudyRequest(out=run_folder).resolve()

    def test_somebody_else_s_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("mine")
        with pytest.raises(RunFolderError, match=r"not empty \(it holds thesis\.txt\)"):
            StudyRequest(out=tmp_path).resolve()


@pytest.mark.cifar10
def test_cifar10_on_this_machine_is_the_default(
    cifar10_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_CIFAR10", str(cifar10_path))
    request = StudyRequest().resolve()
    assert request.settings.data.source == "cifar10"
    assert request.out == Path("runs/fast-cifar10")
    assert "because it is on this machine at" in request.sentence
    assert "tenfold run --data digits" in request.sentence


class TestRebalance:
    def test_sets_the_training_s_rebalancing(self, run_folder: Path) -> None:
        for stages in ((), ("train",), ("tune",), ("cross-validate",)):
            request = StudyRequest(out=run_folder, rebalance="inverse", stages=stages).resolve()
            assert request.settings.training.rebalance == "inverse"
        assert StudyRequest(rebalance="auto").resolve().settings.training.rebalance == "auto"

    def test_a_wrong_name_or_command_is_named(self) -> None:
        with pytest.raises(UnknownNameError, match=r"named 'inverze'\. Did you mean 'inverse'"):
            StudyRequest(rebalance="inverze").resolve()
        with pytest.raises(SettingsError, match=r"run, tune, train, cross-validate, not report"):
            StudyRequest(rebalance="auto", stages=("report",)).resolve()


class TestResolvedOnce:
    """Whatever was asked for is put together first, and checked as one."""

    @pytest.fixture
    def resolved(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """Give a list that holds the values of each check of a whole study's settings."""
        resolved = []
        check = StudySettings.model_validate

        def counting(values: Any) -> StudySettings:
            resolved.append(values)
            return check(values)

        monkeypatch.setattr(StudySettings, "model_validate", counting)
        return resolved

    @pytest.mark.parametrize(
        "asked",
        [
            {"recipe": "fast"},
            {"recipe": "fast", "assignments": ("training.epochs=3",)},
            {"model": "pretrained"},
            {"model": "resnet", "recipe": "cnn", "assignments": ("model.depth=8", "seed=1")},
            {
                "model": "cnn",
                "seed": 4,
                "assignments": ("model.filters.0=8", "training.epochs=3"),
                "is_strict": True,
                "budget": "10m",
                "rebalance": "inverse",
            },
            {"stages": ("tune",), "models": ("cnn", "fast"), "trials": 3, "budget": "5m"},
        ],
        ids=["recipe", "set", "model", "model and recipe", "options", "tune"],
    )
    def test_a_new_study(self, asked: dict[str, Any], resolved: list[Any]) -> None:
        StudyRequest(data="digits", **asked).resolve()
        assert len(resolved) == 1

    def test_a_stored_study(self, run_folder: Path, resolved: list[Any]) -> None:
        StudyRequest(
            out=run_folder, seed=6, model="resnet", assignments=("training.epochs=7",)
        ).resolve()
        assert len(resolved) == 1

    def test_options_count_more_than_settings(self) -> None:
        settings = (
            StudyRequest(
                data="digits",
                recipe="fast",
                seed=2,
                rebalance="inverse",
                assignments=("seed=1", "training.rebalance=none", "data.source=cifar10"),
            )
            .resolve()
            .settings
        )
        assert (settings.seed, settings.training.rebalance) == (2, "inverse")
        assert settings.data.source == "digits"

    def test_what_is_wrong_in_the_recipe_itself_is_said_first(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text(recipe_text("cnn").replace("epochs = 10", "epochs = 0"))
        request = StudyRequest(data="digits", recipe=str(path), assignments=("training.epoch=1",))
        with pytest.raises(SettingsError, match=r"'training\.epochs' is not valid.*got 0"):
            request.resolve()

    def test_what_is_wrong_in_a_stored_study_is_said_first(self, run_folder: Path) -> None:
        path = run_folder / "settings.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"of_the_future": 1}))
        with pytest.raises(RunFolderError, match="'of_the_future'"):
            StudyRequest(out=run_folder, assignments=("training.epoch=1",)).resolve()
        path.write_text(json.dumps({"data": {"source": 5}}))
        with pytest.raises(RunFolderError, match=r"'data\.source' is not valid"):
            StudyRequest(out=run_folder).resolve()
