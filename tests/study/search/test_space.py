"""What is searched: names, ranges, conditions, several models."""

from __future__ import annotations

from typing import Any

import pytest

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.core.records.tuning import SearchDimension
from tenfold.models.model import MODELS
from tenfold.study.recipe import StudySettings, load_recipe
from tenfold.study.search.space import search_space

UNITS = {"name": "model.units", "low": 2, "high": 64, "step": 2}
RATE = {"name": "training.learning_rate", "low": 1e-4, "high": 1e-1, "is_log": True}


class TestSearchSpace:
    def settings(self, *space: Any) -> StudySettings:
        return load_recipe("cnn").with_changes({"tune.space": list(space)})

    def test_a_name_stands_for_the_model_s_or_the_training_s_own_range(self) -> None:
        names = [d.name for d in search_space(self.settings("training.optimizer", "model.units"))]
        assert names == ["training.optimizer", "model.units"]

    def test_a_name_of_a_list_stands_for_all_of_its_places(self) -> None:
        names = [d.name for d in search_space(self.settings("model.filters"))]
        assert names[0] == "model.filters.0"
        assert len(names) >= 2

    def test_a_range_written_out_wins_over_the_own(self) -> None:
        space = search_space(self.settings("model.units", UNITS))
        assert space == (SearchDimension.model_validate(UNITS),)

    def test_an_unknown_name_suggests_the_near(self) -> None:
        with pytest.raises(UnknownNameError, match=r"Did you mean 'model\.units'"):
            search_space(self.settings("model.unit"))

    @pytest.mark.parametrize(
        "dimension",
        [
            {"name": "model.units"},
            {"name": "model.units", "low": 3},
            {"name": "model.units", "low": 3, "high": 2, "step": 1},
            {"name": "model.units", "low": 2, "high": 3, "step": 0},
            {"name": "model.units", "choices": []},
            {"name": "training.learning_rate", "low": 0.0, "high": 0.1, "is_log": True},
        ],
    )
    def test_a_range_that_is_none_is_a_clear_error(self, dimension: dict[str, Any]) -> None:
        message = rf"The search range '{dimension['name']}' needs choices, or low and high"
        with pytest.raises(SettingsError, match=message):
            search_space(self.settings(dimension))


class TestSpaceOfSeveralModels:
    def settings(self, *space: Any, models: tuple[str, ...] = ("cnn", "fast")) -> StudySettings:
        return load_recipe("cnn").with_changes(
            {"tune.space": list(space), "tune.models": list(models)}
        )

    def test_a_model_that_no_entry_names_is_searched_in_all_its_ranges(self) -> None:
        space = search_space(self.settings("model.units"))
        by_model = {
            name: {one.name for one in space if one.model == name} for name in ("cnn", "fast")
        }
        assert space[0].name == "model.name"
        assert space[0].choices == ("cnn", "fast")
        assert by_model["cnn"] == {"model.units"}
        assert by_model["fast"] == {one.name for one in MODELS["fast"].search_space}

    def test_names_in_the_journal_are_told_apart(self) -> None:
        keys = [one.key for one in search_space(self.settings("model.units", "model.widths"))]
        assert "cnn:model.units" in keys
        assert "fast:model.widths.0" in keys
        assert len(set(keys)) == len(keys)

    def test_a_written_range_is_of_the_models_that_have_it(self) -> None:
        assert [one.model for one in search_space(self.settings(UNITS, "model.depths"))][1] == "cnn"

    def test_ranges_of_the_recipe_s_model_are_left_out_where_it_is_not_searched(self) -> None:
        models = ("inception", "resnet")
        recipe = load_recipe("fast").with_changes({"tune.models": list(models)})
        assert any(entry == "model.widths.1" for entry in recipe.tune.space)
        names = {(one.model, one.name) for one in search_space(recipe)}
        shared = {name for model, name in names if model is None}
        assert shared == {"model.name", "training.learning_rate", "training.label_smoothing"}
        for model in models:
            own = {one.name for one in MODELS[model].search_space}
            assert {name for of, name in names if of == model} == own

    def test_a_written_range_that_no_model_has(self) -> None:
        with pytest.raises(SettingsError, match=r"'model\.unit' is of no model of this search"):
            search_space(self.settings(UNITS | {"name": "model.unit"}))

    def test_an_unknown_model_suggests_the_near(self) -> None:
        with pytest.raises(UnknownNameError, match=r"no model named 'cnm'\. Did you mean 'cnn'"):
            self.settings(models=("cnm",))
