"""Which recipe suits a data set, where the user names none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import SettingsError
from tenfold.core.progress import SilentProgress
from tenfold.core.records.choice import ChoiceRecord, RecipeComparison, RecipeTrial
from tenfold.core.run_folder import CHOICE
from tenfold.data.dataset import ImageDataset, ImageSplit
from tenfold.data.sources.look import DataLook
from tenfold.report.findings.data import choice_sentence
from tenfold.study import choice
from tenfold.study.choice import Asked, choose_recipe, compare_recipes, recipe_of_settings
from tenfold.study.recipe import StudySettings
from tenfold.study.request import ResolvedRequest, StudyRequest
from tenfold.study.study import Study

ASKED = Asked("folder", "/photos")


def look(count: int, side_px: int) -> DataLook:
    """Give a look at a data set of two classes that must not be read."""

    def load() -> ImageDataset:
        raise AssertionError("the data set was read")

    return DataLook((count, count), ((side_px, 2 * side_px),) * 3, False, load)


def compared(fast: float, transfer: float) -> RecipeComparison:
    return RecipeComparison(
        fitted=400,
        judged=200,
        fast=RecipeTrial(error=fast, expected_error=fast),
        transfer=RecipeTrial(error=transfer, expected_error=transfer),
        seconds=1.0,
    )


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replace the trial of both recipes by one that `fast` wins; give how often it was held."""
    held: list[int] = []

    def compare(dataset: ImageDataset, **_: object) -> RecipeComparison:
        held.append(len(dataset.train))
        return compared(0.1, 0.2)

    monkeypatch.setattr(choice, "compare_recipes", compare)
    return held


def photographs(folder: Path, side_px: int, count: int = 6) -> Path:
    """Write a folder of two classes of noise."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (side_px, side_px + 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


class TestChoice:
    @pytest.mark.parametrize(
        ("count", "side_px", "recipe", "because"),
        [
            (20, 400, "transfer", "photographs"),
            (50_000, choice.PHOTOGRAPH_PX, "transfer", "photographs"),
            (choice.MOST_LARGE_COMPARED, choice.SMALL_PX, "transfer", "photographs"),
            (choice.MANY_PER_CLASS, 32, "fast", "many"),
            (choice.MANY_PER_CLASS, 95, "fast", "many"),
        ],
    )
    def test_what_is_clear_is_not_tried(
        self, count: int, side_px: int, recipe: str, because: str
    ) -> None:
        made = choose_recipe(look(count, side_px), ASKED, SilentProgress())
        assert (made.recipe, made.because) == (recipe, because)
        assert (made.train_count, made.shorter_side_px) == (2 * count, side_px)

    def test_a_budget_too_short_for_features_is_not_spent_on_trying(self) -> None:
        asked = Asked("folder", "/photos", budget_seconds=10)
        made = choose_recipe(look(1500, 32), asked, SilentProgress())
        assert (made.recipe, made.because) == ("fast", "budget")

    @pytest.mark.parametrize(
        ("asked", "recipe", "because"),
        [
            (Asked("s", None), "transfer", "unknown"),
            (Asked("s", None, is_rebalanced=True), "fast", "rebalancing"),
            (Asked("s", None, is_shared=True), "fast", "workers"),
            (Asked("s", None, recipe="fast"), "fast", "settings"),
        ],
    )
    def test_without_a_look(self, asked: Asked, recipe: str, because: str) -> None:
        made = choose_recipe(None, asked, SilentProgress())
        assert (made.recipe, made.because) == (recipe, because)

    @pytest.mark.parametrize(
        "because",
        [
            "photographs",
            "many",
            "comparison",
            "few",
            "budget",
            "unknown",
            "rebalancing",
            "settings",
            "workers",
        ],
    )
    def test_every_reason_is_one_sentence_that_says_how_to_choose_otherwise(
        self, because: str
    ) -> None:
        made = choose_recipe(look(20, 400), ASKED, SilentProgress()).model_copy(
            update={"because": because, "budget_seconds": 60.0, "comparison": compared(0.1, 0.2)}
        )
        sentence = choice_sentence(made)
        assert sentence.startswith("Recipe transfer (efficientnet-lite0, images at 160 px)")
        assert "--recipe fast" in sentence
        assert "  " not in sentence
        assert " ," not in sentence


class TestSettings:
    @pytest.mark.parametrize(
        ("names", "recipe"),
        [
            ({"fine_tune_epochs"}, "transfer"),
            ({"widths.1"}, "fast"),
            ({"widths", "fine_tune_epochs"}, None),
            ({"no_such"}, None),
            (set(), None),
        ],
    )
    def test_the_model_that_has_them(self, names: set[str], recipe: str | None) -> None:
        assert recipe_of_settings(frozenset(names)) == recipe


class TestTrial:
    @pytest.mark.slow
    def test_both_recipes_are_tried_on_images_that_they_did_not_see(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two brightnesses, which either recipe tells apart; nothing else is to be learned."""
        monkeypatch.setattr(choice, "_TRIED_STEPS", 30)
        rng = np.random.default_rng(0)
        labels = np.arange(66) % 2
        images = rng.integers(0, 60, (66, 8, 8, 1)) + 150 * labels[:, None, None, None]
        split = ImageSplit(images.astype(np.uint8), labels)
        dataset = ImageDataset(
            source="npz",
            location="x",
            title="x",
            description="x",
            classes=("dark", "bright"),
            train=split,
            test=split.take(np.arange(0)),
            split_note="",
        )
        record = compare_recipes(dataset, seed=0, progress=SilentProgress())
        assert record is not None
        assert (record.fitted, record.judged) == (44, 22)
        assert record.transfer.error == 0
        assert record.fast.error < 0.2
        again = compare_recipes(dataset, seed=0, progress=SilentProgress())
        assert again is not None
        assert (again.fast, again.transfer) == (record.fast, record.transfer)

    def test_few_images_are_not_tried(self) -> None:
        few = ImageSplit(np.zeros((10, 8, 8, 1), np.uint8), np.arange(10) % 2)
        dataset = ImageDataset(
            source="npz",
            location="x",
            title="x",
            description="x",
            classes=("a", "b"),
            train=few,
            test=few,
            split_note="",
        )
        assert compare_recipes(dataset, seed=0, progress=SilentProgress()) is None


class TestRequest:
    @pytest.fixture(autouse=True)
    def elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def acquired(self, request: StudyRequest) -> ResolvedRequest:
        """Run the first stage as the command line does."""
        resolved = request.resolve()
        study = Study(resolved.settings, resolved.out, device="cpu", choice=resolved.choice)
        list(study.run("acquire"))
        return resolved

    def test_photographs_take_pretrained_features(self, tmp_path: Path) -> None:
        request = StudyRequest(data=str(photographs(tmp_path / "pets", 200, count=3))).resolve()
        assert request.settings.recipe.name == "transfer"
        assert request.out == Path("runs/transfer-folder")
        assert request.choice is not None
        assert request.choice.because == "photographs"

    def test_photographs_that_are_made_small_are_small_images(
        self, tmp_path: Path, trial: list[int]
    ) -> None:
        data = str(photographs(tmp_path / "pets", 200, count=3))
        resolved = StudyRequest(data=data, assignments=("data.image_size_px=32",)).resolve()
        assert resolved.choice is not None
        assert (resolved.choice.because, resolved.choice.shorter_side_px) == ("comparison", 32)
        assert len(trial) == 1

    def test_settings_are_resolved_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolved: list[object] = []
        check = StudySettings.model_validate

        def counting(values: object) -> StudySettings:
            resolved.append(values)
            return check(values)

        monkeypatch.setattr(StudySettings, "model_validate", counting)
        StudyRequest(data=str(photographs(tmp_path / "pets", 200, count=3))).resolve()
        assert len(resolved) == 1

    def test_a_trial_is_held_once(self, tmp_path: Path, trial: list[int]) -> None:
        request = StudyRequest(data=str(photographs(tmp_path / "icons", 12)))
        first = self.acquired(request)
        second = request.resolve()
        assert len(trial) == 1
        assert first.settings.recipe.name == "fast"
        assert (second.settings, second.out) == (first.settings, first.out)
        assert second.choice == first.choice
        assert ChoiceRecord.read(first.out / CHOICE) == first.choice

    def test_a_killed_command_finds_its_choice_again(
        self, tmp_path: Path, trial: list[int]
    ) -> None:
        """A folder with a choice and nothing else is a new study's."""
        request = StudyRequest(data=str(photographs(tmp_path / "icons", 12)), out=tmp_path / "run")
        made = request.resolve().choice
        assert made is not None
        (tmp_path / "run").mkdir()
        made.write(tmp_path / "run" / CHOICE)
        assert request.resolve().choice == made
        assert len(trial) == 1

    def test_a_run_folder_keeps_its_recipe(self, tmp_path: Path, trial: list[int]) -> None:
        data = str(photographs(tmp_path / "icons", 12))
        out = tmp_path / "run"
        self.acquired(StudyRequest(data=data, recipe="cnn", out=out))
        resolved = StudyRequest(data=data, out=out).resolve()
        assert (resolved.settings.recipe.name, resolved.choice, trial) == ("cnn", None, [])

    @pytest.mark.parametrize("said", [{"recipe": "fast"}, {"model": "fast"}, {"models": ("cnn",)}])
    def test_who_names_a_recipe_or_model_gets_it(
        self, tmp_path: Path, said: dict[str, str], trial: list[int]
    ) -> None:
        data = str(photographs(tmp_path / "pets", 200, count=3))
        resolved = StudyRequest(data=data, stages=("tune",), **said).resolve()
        assert (resolved.settings.recipe.name, resolved.choice, trial) == ("fast", None, [])

    def test_settings_of_one_model_choose_it(self, tmp_path: Path) -> None:
        data = str(photographs(tmp_path / "pets", 200, count=3))
        resolved = StudyRequest(data=data, assignments=("model.widths.0=16",)).resolve()
        assert resolved.settings.recipe.name == "fast"

    def test_a_setting_of_no_model_is_named(self, tmp_path: Path) -> None:
        data = str(photographs(tmp_path / "pets", 200, count=3))
        with pytest.raises(SettingsError, match=r"model\.width"):
            StudyRequest(data=data, assignments=("model.width=16",)).resolve()

    def test_rebalancing_takes_a_network_that_is_trained(self, tmp_path: Path) -> None:
        data = str(photographs(tmp_path / "pets", 200, count=3))
        resolved = StudyRequest(data=data, rebalance="inverse").resolve()
        assert resolved.settings.recipe.name == "fast"

    def test_workers_share_a_network_that_is_trained(self, tmp_path: Path) -> None:
        data = str(photographs(tmp_path / "pets", 200, count=3))
        resolved = StudyRequest(data=data, stages=("train",), workers=2).resolve()
        assert resolved.settings.recipe.name == "fast"
        assert resolved.settings.training.micro_batches == 4

    def test_no_data_named_takes_the_default(self, trial: list[int]) -> None:
        assert StudyRequest().resolve().choice is None
        assert trial == []

    def test_a_damaged_choice_is_named(self, tmp_path: Path, trial: list[int]) -> None:
        data = str(photographs(tmp_path / "icons", 12))
        out = self.acquired(StudyRequest(data=data)).out
        (out / CHOICE).write_text(json.dumps({"recipe": "fats"}))
        with pytest.raises(Exception, match=CHOICE):
            StudyRequest(data=data).resolve()
