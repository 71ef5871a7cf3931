"""Building and fitting a network: what the estimator and every stage have in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenfold.core.errors import DataError, ImageShapeError, SettingsError
from tenfold.core.records.training import EpochRecord
from tenfold.data.dataset import ImageSplit
from tenfold.data.rebalancing import rebalancing_names
from tenfold.models.model import NetworkPlan
from tenfold.training.checkpoint import Checkpoint
from tenfold.training.device import Device
from tenfold.training.fit import FittedNetwork, fit_network
from tenfold.training.inference import predict_logits
from tenfold.training.loop import Trainer
from tenfold.training.settings import TrainingSettings

CPU = Device("cpu", "a processor", 1)
MODEL = {"conv_layers": 1, "filters": [6], "units": 12}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Compute on one thread: threads that wait for each other take longer than such networks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def plan() -> NetworkPlan:
    return NetworkPlan.parse("cnn", MODEL, image_shape=(8, 8, 3), class_count=2)


@pytest.fixture
def split() -> ImageSplit:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (24, 8, 8, 3), dtype=np.uint8)
    images[::2, :4] += 100
    return ImageSplit(images, np.arange(24) % 2)


def fit(plan: NetworkPlan, split: ImageSplit, **others: Any) -> FittedNetwork:
    settings = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "precision": "float32"}
    parsed = TrainingSettings.parse({**settings, **others.pop("settings", {})})
    validation, weights = (others.pop(name, None) for name in ("validation", "initial_weights"))
    trainer = Trainer(parsed, **{"seed": 1, "device": CPU, **others})
    return fit_network(trainer, plan, split, validation, initial_weights=weights)


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys() != set()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_plan_for_too_small_images_fails_when_it_is_built(split: ImageSplit) -> None:
    plan = NetworkPlan.parse("cnn", {}, image_shape=(8, 8, 3), class_count=2)
    with pytest.raises(ImageShapeError, match="Images of 8×8 pixels are too small"):
        fit(plan, split)


def test_a_restored_network_is_the_stored_one(plan: NetworkPlan, split: ImageSplit) -> None:
    fitted = fit(plan, split)
    restored = plan.restore(fitted.network.state_dict())
    np.testing.assert_array_equal(
        predict_logits(restored, split.images, device=CPU),
        predict_logits(fitted.network, split.images, device=CPU),
    )


def test_it_learns_and_normalises_by_the_training_images(
    plan: NetworkPlan, split: ImageSplit
) -> None:
    fitted = fit(plan, split, settings={"epochs": 10})
    assert fitted.history[-1].train_accuracy > 0.9
    pixels = split.images.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(fitted.network.mean.flatten(), pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(1 / fitted.network.scale.flatten(), pixels.std(0), rtol=1e-5)


def test_the_same_seed_gives_the_same_network(plan: NetworkPlan, split: ImageSplit) -> None:
    settings = {"augmentation": "report"}
    first = fit(plan, split, settings=settings)
    assert_same(first.last_weights, fit(plan, split, settings=settings).last_weights)
    other = fit(plan, split, settings=settings, seed=2)
    assert not torch.equal(
        first.last_weights["body.hidden.weight"], other.last_weights["body.hidden.weight"]
    )


def test_mirror_keeps_class_reaches_the_augmentation(plan: NetworkPlan, split: ImageSplit) -> None:
    settings = {"augmentation": "crop-flip"}
    flipped, kept = (
        fit(plan, split, settings=settings, mirror_keeps_class=mirrors).last_weights
        for mirrors in (True, False)
    )
    assert not torch.equal(flipped["body.hidden.weight"], kept["body.hidden.weight"])


@pytest.mark.parametrize("weights", ["last", "best"])
def test_weights_are_chosen_as_the_settings_say(
    weights: str, plan: NetworkPlan, split: ImageSplit
) -> None:
    # Labels turned round: the better it learns, the worse it validates, so the best is early.
    turned = ImageSplit(split.images, 1 - split.labels)
    fitted = fit(plan, split, validation=turned, settings={"epochs": 8, "weights": weights})
    assert fitted.best_epoch is not None
    assert fitted.best_epoch < 8
    last, best = fitted.last_weights, fitted.best_weights
    assert not torch.equal(last["body.output.weight"], best["body.output.weight"])
    assert_same(dict(fitted.network.state_dict()), best if weights == "best" else last)


def test_without_validation_best_is_last(plan: NetworkPlan, split: ImageSplit) -> None:
    fitted = fit(plan, split, settings={"weights": "best"})
    assert fitted.best_epoch is None
    assert_same(dict(fitted.network.state_dict()), fitted.last_weights)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"early_stopping_patience": 2}, "training.early_stopping_patience is 2"),
        ({"schedule": "plateau"}, "training.schedule is 'plateau'"),
    ],
)
def test_what_follows_validation_needs_validation_images(
    settings: dict[str, Any], named: str, plan: NetworkPlan, split: ImageSplit
) -> None:
    with pytest.raises(
        SettingsError, match=rf"{named}, .* Set training\.validation_fraction above"
    ):
        fit(plan, split, settings=settings)
    assert fit(plan, split, validation=split, settings={**settings, "epochs": 2}).history


def test_averaged_weights_are_the_result(plan: NetworkPlan, split: ImageSplit) -> None:
    plain = fit(plan, split, settings={"epochs": 4})
    averaged = fit(plan, split, settings={"epochs": 4, "averaging": "ema"})
    assert_same(dict(averaged.network.state_dict()), averaged.last_weights)
    assert not torch.equal(
        averaged.last_weights["body.output.weight"], plain.last_weights["body.output.weight"]
    )
    assert averaged.is_averaged
    assert not plain.is_averaged


def test_given_weights_are_the_start_normalisation_included(
    plan: NetworkPlan, split: ImageSplit
) -> None:
    first = fit(plan, split)
    darker = ImageSplit(split.images // 2, split.labels)
    still = {"epochs": 1, "optimizer": "sgd", "learning_rate": 1e-12}
    again = fit(plan, darker, initial_weights=first.last_weights, settings=still)
    assert torch.equal(again.network.mean, first.network.mean)
    for name, tensor in first.last_weights.items():
        torch.testing.assert_close(again.last_weights[name], tensor)


def test_given_weights_are_not_changed(plan: NetworkPlan, split: ImageSplit) -> None:
    weights = fit(plan, split).last_weights
    before = {name: tensor.clone() for name, tensor in weights.items()}
    fit(plan, split, initial_weights=weights)
    assert_same(weights, before)


def test_it_goes_on_from_a_checkpoint(plan: NetworkPlan, split: ImageSplit, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(record: EpochRecord) -> None:
        if record.epoch == 2:
            raise Stopped

    others = {"validation": split, "settings": {"checkpoint_seconds": 0, "weights": "best"}}
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    with pytest.raises(Stopped):
        fit(plan, split, **others, checkpoint=checkpoint, on_epoch=stop)
    resumed = fit(plan, split, **others, checkpoint=checkpoint)
    whole = fit(plan, split, **others)
    assert_same(resumed.last_weights, whole.last_weights)
    assert_same(dict(resumed.network.state_dict()), dict(whole.network.state_dict()))


def test_a_rebalancing_needs_every_class(plan: NetworkPlan, split: ImageSplit) -> None:
    even = split.take(np.flatnonzero(split.labels == 0))
    settings = {"rebalance": "inverse"}
    with pytest.raises(DataError, match=r"class 'dog' has none .*--rebalance none"):
        fit(plan, even, settings=settings, classes=("cat", "dog"))
    with pytest.raises(DataError, match="class number 1 has none"):
        fit(plan, even, settings=settings)


@pytest.mark.parametrize(
    "name", [name for name in rebalancing_names() if name not in ("none", "auto")]
)
def test_a_rebalancing_finds_more_of_the_small_class(name: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [180, 20])
    images = rng.integers(0, 160, (200, 8, 8, 3), dtype=np.uint8)
    images[labels == 1] += 12  # brighter by less than the classes spread: they overlap
    split = ImageSplit(images, labels)
    plan = NetworkPlan.parse("cnn", MODEL, image_shape=(8, 8, 3), class_count=2)

    def said_small(rebalance: str) -> int:
        steps = {"epochs": 1, "least_steps": 75, "batch_size": 20}
        fitted = fit(plan, split, settings={**steps, "rebalance": rebalance})
        assert fitted.rebalancing.method == rebalance
        return int(predict_logits(fitted.network, images, device=CPU).argmax(1).sum())

    assert said_small(name) > said_small("none")
