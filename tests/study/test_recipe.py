"""Recipes, their settings, and what changes them."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.core.records.tuning import SearchDimension
from tenfold.core.settings import Settings, recipe_names, recipe_text
from tenfold.models.model import MODELS
from tenfold.study.recipe import StudySettings, load_recipe
from tenfold.study.search.space import search_space


class TestEveryRecipe:
    @pytest.fixture(params=recipe_names())
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_resolves_and_is_named_as_its_file(self, name: str) -> None:
        settings = load_recipe(name)
        assert settings.recipe.name == name
        assert settings.recipe.title
        assert settings.recipe.description.endswith(".")

    def test_begins_with_a_header_that_names_its_command(self, name: str) -> None:
        header = recipe_text(name).partition("\n[")[0]
        assert header.startswith(f"# Recipe `{name}`")
        assert "#   tenfold run" in header

    def test_its_flat_form_resolves_to_itself(self, name: str) -> None:
        settings = load_recipe(name)
        stored = json.loads(json.dumps(settings.flat(), allow_nan=False))
        assert stored == settings.flat()
        assert StudySettings.resolve(stored) == settings

    def test_a_recipe_with_a_model_s_name_is_that_model_s(self, name: str) -> None:
        assert name not in MODELS or load_recipe(name).model.name == name

    def test_its_search_ranges_exist_and_hold_valid_values(self, name: str) -> None:
        settings = load_recipe(name)
        space = search_space(settings)
        assert space
        for dimension in space:
            for value in dimension.choices or (dimension.low, dimension.high):
                is_whole = isinstance(value, float) and value.is_integer()
                settings.with_changes({dimension.name: int(value) if is_whole else value})


class TestReportRecipe:
    """The original's values, as its text states them."""

    settings = load_recipe("report")

    def test_search(self) -> None:
        tune = self.settings.tune
        assert tune.is_enabled
        assert (tune.sampler, tune.pruner) == ("random", "none")
        assert (tune.trials, tune.executions_per_trial, tune.epochs) == (3, 2, 3)
        assert tune.batch_size == 32
        assert (tune.validation_fraction, tune.validation_method) == (0.1, "last")

    def test_search_space(self) -> None:
        space = {
            dimension.name: (dimension.low, dimension.high, dimension.step)
            if dimension.choices is None
            else dimension.choices
            for dimension in search_space(self.settings)
        }
        assert space == {
            "model.conv_layers": (1, 3, 1),
            "model.filters.0": (32, 128, 32),
            "model.filters.1": (32, 128, 32),
            "model.filters.2": (32, 128, 32),
            "model.units": (64, 512, 64),
            "training.optimizer": ("adam", "rmsprop", "sgd"),
        }

    def test_a_filter_count_is_searched_only_where_the_layer_is(self) -> None:
        conditions = {
            dimension.name: (dimension.only_if.name, dimension.only_if.at_least)
            for dimension in search_space(self.settings)
            if dimension.only_if is not None
        }
        assert conditions == {
            "model.filters.1": ("model.conv_layers", 2),
            "model.filters.2": ("model.conv_layers", 3),
        }

    def test_training(self) -> None:
        training = self.settings.training
        assert (training.epochs, training.batch_size) == (20, 64)
        assert (training.validation_fraction, training.validation_method) == (0.1, "last")
        assert (training.optimizer, training.schedule) == ("rmsprop", "constant")
        assert training.learning_rate is None  # Keras' default
        assert (training.normalization, training.augmentation) == ("scale", "none")
        assert (training.weights, training.label_smoothing) == ("last", 0)

    def test_model(self) -> None:
        model = self.settings.model
        assert model.name == "cnn"
        assert model.settings["conv_layers"] == 2
        assert list(model.settings["filters"][:2]) == [64, 32]
        assert (model.settings["units"], model.settings["kernel_size"]) == (128, 3)
        assert (model.settings["padding"], model.settings["has_batch_norm"]) == ("valid", False)

    def test_cross_validation(self) -> None:
        cross_validate = self.settings.cross_validate
        assert cross_validate.folds == 5
        assert set(cross_validate.protocols) == {"fresh", "warm-start"}
        warm = cross_validate.warm_start
        assert (warm.epochs, warm.batch_size, warm.optimizer) == (5, 64, "adam")
        assert warm.augmentation == "report"

    def test_reference_values(self) -> None:
        values = {reference.measure: reference.value for reference in self.settings.references}
        assert len(values) == len(self.settings.references)
        stated = {
            "explore.channel_means": (0.49140, 0.48216, 0.44653),
            "explore.channel_standard_deviations": (0.24703, 0.24349, 0.26159),
            "tune.best_validation_accuracy": 0.6162,
            "evaluate.accuracy": 0.6576,
            "evaluate.macro_precision": 0.689,
            "evaluate.macro_recall": 0.658,
            "evaluate.macro_f1": 0.665,
            "cross_validate.warm-start.accuracy": 0.656,
            "cross_validate.warm-start.macro_precision": 0.681,
            "cross_validate.warm-start.macro_recall": 0.656,
            "cross_validate.warm-start.macro_f1": 0.644,
        }
        assert {name: values.get(name) for name in stated} == stated
        assert "deer" in str(values["evaluate.weakest_class"])


class TestRecipeFile:
    def test_a_file_of_the_user_s_own(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text(recipe_text("fast").replace('name = "fast"', 'name = "mine"', 1))
        settings = load_recipe(str(path))
        assert settings.recipe.name == "mine"
        assert settings.model == load_recipe("fast").model

    def test_the_least_recipe_takes_all_defaults(self, tmp_path: Path) -> None:
        path = tmp_path / "least.toml"
        path.write_text('[recipe]\nname = "least"\ntitle = "T"\ndescription = "D"\n')
        assert load_recipe(str(path)).model.name == "cnn"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"[recipe\n", r"mine\.toml is not valid TOML: .*line 1"),
            (b"seed = 1\n", "The setting 'recipe' is missing"),
            (b"[recipe]\nname = 1\n", r"The setting 'recipe\.name' is not valid"),
            (b"\xff\xfe", r"mine\.toml cannot be read"),
            (b"model = 3\n", "The setting 'model' must be a table, got 3"),
            (b"a=" + b"[" * 50_000, "nested too deeply"),
            (b"a=" + b"{a=" * 20_000, "nested too deeply"),
            (b"a." * 60_000 + b"a=1", "nested too deeply"),
            (b"[" + b"a." * 60_000 + b"a]", "nested too deeply"),
            (b"seed=" + b"9" * 100_000, "not valid TOML"),
            (b"# long\n" * 100_000, r"mine\.toml cannot be read: it has 700,000 bytes"),
        ],
    )
    def test_a_broken_file_is_a_clear_error(
        self, tmp_path: Path, content: bytes, message: str
    ) -> None:
        path = tmp_path / "mine.toml"
        path.write_bytes(content)
        with pytest.raises(SettingsError, match=message):
            load_recipe(str(path))

    def test_no_such_file(self) -> None:
        with pytest.raises(SettingsError, match=r"There is no recipe file nowhere/mine\.toml"):
            load_recipe("nowhere/mine.toml")

    def test_an_unknown_name_suggests_the_near(self) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'report'"):
            load_recipe("raport")


class TestAssignments:
    def test_change_the_recipe_s_values_and_its_defaults(self) -> None:
        settings = load_recipe(
            "cnn",
            ["training.epochs=3", "model.filters.0=8", "explore.samples_per_class=2"],
            seed=9,
        )
        assert settings.training.epochs == 3
        assert settings.model.settings["filters"] == [8, 64, 128]
        assert settings.explore.samples_per_class == 2
        assert settings.seed == 9

    def test_the_last_of_two_wins(self) -> None:
        assert load_recipe("cnn", ["seed=1", "seed=2"]).seed == 2

    @pytest.mark.parametrize(
        ("assignment", "message"),
        [
            ("training.epoch=3", r"Did you mean 'training\.epochs'"),
            ("model.unit=3", r"Did you mean 'model\.units'"),
            ("model.conv_layers=9", r"'model\.conv_layers' is not valid"),
            ("model.conv_layers=4", "filters names 3 layers"),
            ("model.name=cn", "no model named 'cn'. Did you mean 'cnn'"),
            ("training.augmentation=crop", "no augmentation policy named 'crop'. Did you mean"),
            ("cross_validate.warm_start.augmentation=x", "no augmentation policy named 'x'"),
            ("tune.sampler=bayes", r"'tune\.sampler' is not valid"),
            ("seed=-1", "'seed' is not valid"),
        ],
    )
    def test_a_wrong_one_is_a_clear_error(self, assignment: str, message: str) -> None:
        with pytest.raises(SettingsError, match=message):
            load_recipe("cnn", [assignment])

    @given(st.lists(st.text(max_size=30), max_size=3))
    def test_whatever_is_assigned_is_taken_or_refused(self, assignments: list[str]) -> None:
        with contextlib.suppress(SettingsError):
            load_recipe("cnn", assignments)


class _OtherSettings(Settings):
    depth: int = 4


@pytest.fixture
def other_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a second model, which shares no setting with the first."""
    module: Any = ModuleType("tenfold.models.other")
    own = (SearchDimension(name="model.depth", low=1, high=4, step=1),)
    module.MODEL = SimpleNamespace(
        name="other", settings_type=_OtherSettings, search_space=own, takes_any_size=True
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(MODELS._modules, "other", module.__name__)


@pytest.mark.usefixtures("other_model")
class TestModelChange:
    def test_takes_the_other_model_s_defaults(self) -> None:
        settings = load_recipe("cnn", ["model.name=other"])
        assert (settings.model.name, settings.model.settings) == ("other", {"depth": 4})

    def test_and_its_settings(self) -> None:
        settings = load_recipe("cnn", ["model.depth=2", "model.name=other"])
        assert settings.model.settings == {"depth": 2}

    def test_refuses_the_old_model_s_settings(self) -> None:
        with pytest.raises(SettingsError, match=r"no setting named 'model\.units'"):
            load_recipe("cnn", ["model.name=other", "model.units=3"])

    def test_works_on_a_stored_study_too(self) -> None:
        settings = load_recipe("cnn").with_changes({"model.name": "other", "model.depth": 3})
        assert settings.model.settings == {"depth": 3}

    def test_searches_the_new_model_s_ranges_instead_of_the_old_s(self) -> None:
        before = load_recipe("cnn")
        after = before.with_changes({"model.name": "other"})
        own = [d.name for d in search_space(before) if not d.name.startswith("model.")]
        assert own
        assert [d.name for d in search_space(after)] == [*own, "model.depth"]
        assert search_space(after)[0] == search_space(before)[0]

    def test_searches_no_model_range_where_none_was(self) -> None:
        settings = load_recipe("cnn").with_changes({"tune.space": ["training.learning_rate"]})
        after = settings.with_changes({"model.name": "other"})
        assert after.tune.space == ("training.learning_rate",)

    def test_a_space_that_is_said_is_taken(self) -> None:
        settings = load_recipe("cnn", ["model.name=other", 'tune.space=["training.weight_decay"]'])
        assert settings.tune.space == ("training.weight_decay",)

    def test_the_same_model_changes_nothing(self) -> None:
        assert load_recipe("cnn").with_changes({"model.name": "cnn"}) == load_recipe("cnn")


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_takes_every_model(recipe: str, name: str) -> None:
    settings = load_recipe(recipe, [f"model.name={name}"])
    assert settings.model.name == name
    assert search_space(settings)
    if name != load_recipe(recipe).model.name:
        assert settings.model.settings == MODELS[name].settings_type().plain()


def test_a_model_for_one_image_size_is_trained_without_low_resolution() -> None:
    fast = load_recipe("fast")
    assert fast.training.low_resolution_share > 0
    assert fast.with_changes({"model.name": "cnn"}).training.low_resolution_share == 0
    assert fast.with_changes({"model.name": "resnet"}).training == fast.training


def test_photographs_are_read_at_the_size_that_the_model_looks_at() -> None:
    from tenfold.study.stages.acquire import STAGE

    fast, transfer = load_recipe("fast"), load_recipe("transfer")
    sizes = [
        study.source_options(is_offline=True).large_image_size_px
        for study in (
            fast,
            transfer,
            transfer.with_changes({"model.input_size_px": 192}),
            transfer.with_changes({"training.budget_seconds": 60.0}),
        )
    ]
    assert sizes == [96, 160, 192, 224]
    folders = [study.with_changes({"data.source": "folder"}) for study in (fast, transfer)]
    used = [STAGE.settings_used(study)["data"] for study in (fast, transfer, *folders)]
    assert ["large_image_size_px" in data for data in used] == [False, False, False, True]
