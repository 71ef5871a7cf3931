"""The learning-rate finder on the digits: what it suggests, writes and refuses."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tenfold.cli.main import app
from tenfold.core.errors import SettingsError, TrainingError
from tenfold.core.progress import SilentProgress
from tenfold.core.records.training import RateSweepRecord
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.report.figures.canvas import svg_text
from tenfold.report.figures.search import draw_rate_sweep
from tenfold.report.findings.tuning import rate_sweep_csv, rate_sweep_text
from tenfold.study.learning_rate import find_learning_rate
from tenfold.study.recipe import load_recipe
from tenfold.training.device import Device
from tenfold.training.loop import Trainer

SMALL = (
    "model.conv_layers=1",
    "model.filters=[8]",
    "model.padding=same",
    "model.units=16",
    "training.optimizer=sgd",
    "training.momentum=0.9",
    "training.schedule=plateau",  # needs validation images in a training; here it is left out
    "training.early_stopping_patience=3",
)


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    return SOURCES["digits"].load(None, SourceOptions(), SilentProgress())


@pytest.fixture(scope="module")
def device() -> Device:
    from tenfold.training.device import choose_device

    return choose_device("cpu")


def find(digits: ImageDataset, device: Device, **others: Any) -> RateSweepRecord:
    settings = load_recipe("cnn", SMALL)
    trainer = Trainer(settings.training, settings.seed, device, mirror_keeps_class=False)
    plan = settings.network_plan(digits.train.images.shape[1:], len(digits.classes))
    return find_learning_rate(trainer, plan, digits.train, data=digits.title, **others)


@pytest.fixture(scope="module")
def record(digits: ImageDataset, device: Device) -> RateSweepRecord:
    return find(digits, device, high=100.0, steps=60)


def test_the_suggestion_lies_where_the_loss_falls(record: RateSweepRecord) -> None:
    rates = [step.learning_rate for step in record.steps]
    assert rates[0] == pytest.approx(load_recipe("cnn").training.learning_rate / 1000)
    assert rates[0] < record.steepest_rate < record.lowest_rate <= rates[-1]
    assert record.suggested_rate == pytest.approx(record.steepest_rate, rel=0.06)
    assert 1e-3 < record.suggested_rate < 1
    assert record.is_diverged
    assert len(rates) < 60


def test_the_same_seed_gives_the_same_sweep(
    record: RateSweepRecord, digits: ImageDataset, device: Device
) -> None:
    again = find(digits, device, high=100.0, steps=60)
    assert again.steps == record.steps


def test_text_and_csv_have_what_was_found(record: RateSweepRecord) -> None:
    text = rate_sweep_text(record)
    assert f"--set training.learning_rate={record.suggested_rate:g}" in text
    assert "falls fastest" in text
    assert "  lowest" in text
    rows = list(csv.DictReader(rate_sweep_csv(record).splitlines()))
    assert [float(row["loss"]) for row in rows] == [step.loss for step in record.steps]


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.1), (1.0, 0.1), (-1.0, 1.0), (0.0, 1.0)])
def test_a_range_that_is_none_is_refused(
    low: float, high: float, digits: ImageDataset, device: Device
) -> None:
    with pytest.raises(SettingsError, match=r"0 < low < high; got"):
        find(digits, device, low=low, high=high)


def test_too_few_steps_are_refused(digits: ImageDataset, device: Device) -> None:
    with pytest.raises(SettingsError, match=r"--steps is 3; .* at least 20"):
        find(digits, device, steps=3)


def test_a_loss_that_never_falls_says_where_to_begin(digits: ImageDataset, device: Device) -> None:
    with pytest.raises(TrainingError, match=r"did not fall .* Begin lower \(--low\)"):
        find(digits, device, low=1e3, high=1e6, steps=20)


def test_the_command_writes_a_picture_and_the_numbers(tmp_path: Path) -> None:
    arguments = ["find-learning-rate", "--recipe", "cnn", "--data", "digits", "--steps", "40"]
    changes = [part for text in SMALL for part in ("--set", text)]
    result = CliRunner().invoke(
        app, [*arguments, *changes, "--device", "cpu", "--quiet", "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    assert "Suggested: --set training.learning_rate=" in result.output
    picture = (tmp_path / "learning_rate.svg").read_text("utf-8")
    assert picture.startswith("<svg")
    assert ">0.01<" in picture  # rates as people write them
    assert "$" not in picture  # no TeX
    assert len((tmp_path / "learning_rate.csv").read_text("utf-8").splitlines()) > 20


def test_the_rates_of_the_picture_are_numbers(record: RateSweepRecord) -> None:
    text = svg_text(partial(draw_rate_sweep, record))
    assert "mathdefault" not in text
