"""What a budget's size changes of the settings, and what it leaves."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from tenfold.data.dataset import ImageSplit
from tenfold.models.model import NetworkPlan
from tenfold.training import fit as fitting
from tenfold.training.budget import NetworkSize
from tenfold.training.device import choose_device
from tenfold.training.fit import FittedNetwork, fit_network
from tenfold.training.loop import Trainer
from tenfold.training.settings import TrainingSettings

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


def test_what_is_left_of_a_budget_is_what_is_promised(fit: Any) -> None:
    fitted = fit(budget_seconds=4, started_at=time.monotonic() - 3.7)
    assert " left of 4 s this machine can show about " in fitted.budget.sentence
