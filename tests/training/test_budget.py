"""Which size of a network a time budget chooses, and what that changes of the settings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.settings import DEFAULT_RECIPE, recipe_values
from tenfold.data.dataset import ImageSplit
from tenfold.models.model import MODELS, NetworkPlan
from tenfold.training import budget
from tenfold.training import fit as fitting
from tenfold.training.budget import NetworkSize, choose_for_budget, choose_size, network_sizes
from tenfold.training.device import choose_device
from tenfold.training.fit import FittedNetwork, fit_network
from tenfold.training.loop import Trainer
from tenfold.training.settings import TrainingSettings

SMALL = NetworkSize("S", {}, {"batch_size": 100}, 1.0, ((1e4, 0.4), (1e5, 0.2)))
LARGE = NetworkSize("L", {}, {"batch_size": 100}, 10.0, ((1e4, 0.35), (1e6, 0.07)))
SIZE = NetworkSize(
    "only",
    {"widths": [4, 6, 8]},
    {"batch_size": 4, "learning_rate": 0.06},
    1.0,
    ((1e3, 0.4), (1e4, 0.2)),
)


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that fits in a blink, with some settings of its own."""
    monkeypatch.setattr(fitting, "network_sizes", lambda _: (SIZE,))
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
    plan = NetworkPlan.parse(
        "fast",
        {"widths": [8, 8, 8], "is_mirror_equivariant": True},
        image_shape=(8, 8, 3),
        class_count=2,
    )

    def fitted(*, started_at: float | None = None, **own: object) -> FittedNetwork:
        settings = TrainingSettings.parse({"budget_seconds": 0.2, "batch_size": 8, **own})
        trainer = Trainer(settings, 0, choose_device("cpu"), started_at=started_at)
        split = ImageSplit(images, np.arange(16, dtype=np.int64) % 2)
        return fit_network(trainer, plan, split)

    return fitted


def test_a_size_brings_its_settings(fit: Any) -> None:
    fitted = fit()
    assert fitted.plan.settings.widths == (4, 6, 8)
    assert fitted.plan.settings.is_mirror_equivariant
    assert fitted.settings.batch_size == 4
    assert fitted.settings.learning_rate == 0.06


def test_a_study_keeps_its_own_learning_rate(fit: Any) -> None:
    fitted = fit(learning_rate=0.2)
    assert fitted.settings.batch_size == 4
    assert fitted.settings.learning_rate == 0.2


def test_what_was_spent_before_counts(fit: Any) -> None:
    fitted = fit(budget_seconds=1000, started_at=time.monotonic() - 2000)
    assert fitted.epochs == 4 / 16  # one step is always done
    assert "0 images" not in fitted.budget.sentence
    assert "is over before the training begins" in fitted.budget.sentence


def test_what_is_left_of_a_budget_is_what_is_promised() -> None:
    plan = NetworkPlan.parse("fast", {}, image_shape=(8, 8, 3), class_count=2)
    chosen = choose_for_budget(
        plan,
        TrainingSettings.parse({"budget_seconds": 100}),
        (SIZE,),
        train_count=16,
        spent_seconds=60,
        measure=lambda *_: 0.001,
    )
    assert "In the 40 s left of 1 min 40 s this machine can show about " in chosen.sentence


class Machine:
    """A machine that shows the small size an image in so many seconds, and counts its probes."""

    def __init__(self, seconds_an_image: float, large_over_small: float = 10.0) -> None:
        self.seconds = {"S": seconds_an_image, "L": seconds_an_image * large_over_small}
        self.probed: list[str] = []

    def choose(self, seconds: float, gain: float = 1.0) -> str:
        self.choice = choose_size(
            (SMALL, LARGE),
            seconds=seconds,
            gain=gain,
            batch_size=lambda _: 100,
            measure=self.measure,
        )
        return self.choice.size.name

    def measure(self, size: NetworkSize) -> float:
        self.probed.append(size.name)
        return self.seconds[size.name]


def test_few_seconds_take_the_small_size_and_many_the_large_one() -> None:
    assert Machine(1e-4).choose(10) == "S"
    assert Machine(1e-4).choose(1000) == "L"


def test_a_fast_machine_takes_the_large_size_sooner() -> None:
    assert Machine(1e-4).choose(60) == "S"
    assert Machine(1e-5).choose(60) == "L"


def test_a_size_that_is_slower_than_thought_is_left_again() -> None:
    machine = Machine(1e-4, large_over_small=200)
    assert machine.choose(1000) == "S"
    assert machine.probed == ["S", "L"]


def test_probing_takes_a_small_share_of_the_budget() -> None:
    machine = Machine(0.05)
    machine.choose(20, gain=1e6)  # so many images that the large size looks best
    assert machine.probed == ["S"]


def test_what_is_expected_is_the_table_s() -> None:
    machine = Machine(1e-4)
    machine.choose(10.0)
    images = (10 - 0.04) / 1e-4  # after the probe of 4 steps
    assert machine.choice.images_shown == pytest.approx(images)
    assert machine.choice.expected_accuracy == pytest.approx(1 - SMALL.expected_error(images))


def test_errors_between_and_beyond_measurements() -> None:
    assert SMALL.expected_error(1e4) == pytest.approx(0.4)
    assert SMALL.expected_error(1e5) == pytest.approx(0.2)
    assert 0.2 < SMALL.expected_error(3e4) < 0.4
    far, farther = SMALL.expected_error(1e6), SMALL.expected_error(1e9)
    assert far == farther < 0.2
    assert SMALL.expected_error(5e3) == pytest.approx(0.8)
    assert SMALL.expected_error(0) == 1


def test_a_size_measured_for_long_promises_nothing_for_a_few_images() -> None:
    flat = NetworkSize("XL", {}, {}, 3.0, ((9e4, 0.12), (1.8e5, 0.1)))
    assert flat.expected_error(5e3) > SMALL.expected_error(5e3)


@pytest.mark.parametrize(
    "model",
    [p.stem for p in Path(budget.__file__).parent.glob("*.csv") if p.stem in MODELS],
)
def test_the_tables_that_are_shipped_are_sound(model: str) -> None:
    sizes = network_sizes(model)
    assert len(sizes) > 1
    costs = [size.relative_cost for size in sizes]
    assert costs == sorted(costs)
    assert len(set(costs)) == len(costs)
    for size in sizes:
        MODELS[model].settings_type.parse(size.model_settings)
        images = [shown for shown, _ in size.points]
        errors = [error for _, error in size.points]
        assert images == sorted(set(images))
        assert all(0 < error < 1 for error in errors)


def test_the_default_model_has_a_table_and_others_have_none() -> None:
    assert network_sizes(recipe_values(DEFAULT_RECIPE)["model"]["name"])
    assert network_sizes("cnn") == ()
