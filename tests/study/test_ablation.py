"""An ablation on a few digits: what is tried, kept, compared and told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tenfold.cli.main import app
from tenfold.core.errors import DataError, SettingsError, UnknownNameError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageSplit
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.models.model import MODELS
from tenfold.report.findings.tuning import ablation_csv, ablation_text
from tenfold.study.ablation import Ablation, ingredients_of, parse_names
from tenfold.study.recipe import StudySettings, load_recipe
from tenfold.study.scaling.processes import Processes
from tenfold.training.fit import fit_network
from tenfold.training.settings import TRAINING_INGREDIENTS

SHORT = ("training.epochs=1", "training.least_steps=4", "model.widths=[8, 8, 8]")


@pytest.fixture(scope="module")
def settings() -> StudySettings:
    return load_recipe("fast", SHORT)


@pytest.fixture(scope="module")
def digits() -> ImageSplit:
    train = SOURCES["digits"].load(None, SourceOptions(), SilentProgress()).train
    return ImageSplit(train.images[:300], train.labels[:300])


def ablation_of(settings: StudySettings, digits: ImageSplit, out: Path) -> Ablation:
    return Ablation(
        settings=settings,
        train=digits,
        classes=tuple("0123456789"),
        mirror_keeps_class=False,
        ingredients=parse_names(settings, ["label-smoothing", "muon"]),
        seeds=(0, 1),
        out=out,
    )


@pytest.mark.parametrize("name", list(MODELS))
def test_every_ingredient_of_a_model_has_a_name_of_its_own(name: str) -> None:
    ingredients = (*MODELS[name].ingredients, *TRAINING_INGREDIENTS)
    assert len({ingredient.name for ingredient in ingredients}) == len(ingredients)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_ingredient_of_every_model_is_a_valid_change(name: str) -> None:
    settings = load_recipe("cnn", ["training.optimizer=adam"]).with_changes({"model.name": name})
    for ingredient in ingredients_of(settings):
        assert settings.with_changes(ingredient.changes) != settings


def test_only_what_is_used_can_be_switched_off(settings: StudySettings) -> None:
    names = {ingredient.name for ingredient in ingredients_of(settings)}
    assert {"muon", "whitening", "label-smoothing", "low-resolution-first"} <= names
    plain = settings.with_changes(
        {"training.optimizer": "sgd", "training.label_smoothing": 0.0, "model.is_whitened": False}
    )
    left = {ingredient.name for ingredient in ingredients_of(plain)}
    assert not {"muon", "whitening", "label-smoothing"} & left
    with pytest.raises(UnknownNameError, match="muon"):
        parse_names(settings, ["muo"])


def test_a_recipe_without_ingredients_is_told() -> None:
    bare = load_recipe("report").with_changes(
        {
            "training.augmentation": "none",
            "training.normalization": "scale",
            "training.schedule": "constant",
            "training.weight_decay": 0.0,
            "model.conv_dropout": 0.0,
            "model.dense_dropout": 0.0,
        }
    )
    with pytest.raises(SettingsError, match="no ingredient"):
        parse_names(bare, [])


def test_trainings_are_kept_and_compared(
    settings: StudySettings,
    digits: ImageSplit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ablation = ablation_of(settings, digits, tmp_path)
    record = ablation.run(data="digits", device="cpu", progress=SilentProgress())
    assert record.held_out == 28
    assert [len(scores.accuracies) for scores in record.ablated] == [2, 2]
    for scores in record.ablated:
        difference = sum(record.accuracies) / 2 - sum(scores.accuracies) / 2
        assert scores.effect == pytest.approx(difference)
        assert scores.interval.holds(scores.effect)
    effects = [scores.effect for scores in record.ablated]
    assert effects == sorted(effects, reverse=True)
    kept = sorted((tmp_path / "trainings").iterdir())
    assert len(kept) == 6

    # One training lost: only it is done again, and the result is the same.
    before = json.loads(kept[0].read_text())["right"]
    kept[0].unlink()
    asked = []
    monkeypatch.setattr(
        "tenfold.study.ablation.fit_network",
        lambda *given, **named: asked.append(1) or fit_network(*given, **named),
    )
    again = ablation.run(data="digits", device="cpu", progress=SilentProgress())
    assert len(asked) == 1
    assert json.loads(kept[0].read_text())["right"] == before
    assert again.accuracies == record.accuracies

    text = ablation_text(record)
    assert "Label smoothing" in text
    assert "mean of 2 seeds" in text
    assert "only 28 images" in text
    assert text.count("% (few)") == 3
    enough = ablation_text(record.model_copy(update={"held_out": 30}))
    assert "few" not in enough
    assert len(ablation_csv(record).splitlines()) == 4


def test_a_schedule_that_follows_validation_images_is_told(
    settings: StudySettings, digits: ImageSplit, tmp_path: Path
) -> None:
    waiting = settings.with_changes({"training.schedule": "plateau"})
    ablation = replace(ablation_of(settings, digits, tmp_path), settings=waiting)
    with pytest.raises(SettingsError, match=r"'plateau' follows validation images.*linear"):
        ablation.run(data="digits", device="cpu", progress=SilentProgress())


@pytest.mark.slow
def test_an_error_in_a_process_is_told_and_leaves_nothing_behind(
    settings: StudySettings, digits: ImageSplit, tmp_path: Path
) -> None:
    few = settings.with_changes({"training.rebalance": "inverse"})
    lacking = ImageSplit(digits.images, np.where(digits.labels == 9, 8, digits.labels))
    ablation = replace(ablation_of(settings, lacking, tmp_path), settings=few)
    with pytest.raises(DataError, match="class '9' has none"):
        ablation.run(data="digits", device="cpu", progress=SilentProgress(), place=Processes(2))
    assert not (tmp_path / ".work").exists()


@pytest.mark.slow
def test_the_command_writes_table_picture_and_numbers(tmp_path: Path) -> None:
    arguments = ["ablate", "fast", "--data", "digits", "--out", str(tmp_path), "--jobs", "2"]
    chosen = ["--seeds", "1", "--only", "muon", "--quiet"]
    changes = [part for text in SHORT for part in ("--set", text)]
    result = CliRunner().invoke(app, [*arguments, *chosen, *changes], catch_exceptions=False)
    assert result.exit_code == 0
    assert "Muon" in result.stdout
    for name in ("ablation.json", "ablation.csv", "ablation.md", "ablation.svg"):
        assert (tmp_path / name).stat().st_size > 0
