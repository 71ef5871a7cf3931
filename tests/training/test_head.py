"""Fitting a head to a frozen backbone, and training on from there; with a tiny backbone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tenfold.core.errors import WeightsError
from tenfold.core.records.training import EpochRecord
from tenfold.data.dataset import ImageSplit
from tenfold.models import pretrained
from tenfold.models.model import NetworkPlan
from tenfold.training import fit as fitting
from tenfold.training import head as heads
from tenfold.training import inference as frozen_module
from tenfold.training import transfer_budget
from tenfold.training.checkpoint import Checkpoint, TrainingResult
from tenfold.training.device import Device
from tenfold.training.feature_store import FeatureStore
from tenfold.training.fit import FittedNetwork, fit_network
from tenfold.training.head import FittedHead
from tenfold.training.inference import features_and_logits, predict_logits
from tenfold.training.loop import Trainer
from tenfold.training.optimizers import make_optimizer
from tenfold.training.settings import TrainingSettings
from tenfold.training.transfer_budget import TransferOption

CPU = Device("cpu", "a processor", 1)
SHAPE = (8, 8, 3)


class TinyBackbone(nn.Module):
    """Two layers whose "published" weights answer to brightness on the left and on the right."""

    feature_count = 6
    image_size_px = 32
    mean = (100.0, 110.0, 120.0)
    standard_deviation = (50.0, 50.0, 50.0)
    computed = 0

    def __init__(self) -> None:
        super().__init__()
        self.lower = nn.Linear(6, 6)
        self.upper = nn.Linear(6, 6)

    def features(self, images: Tensor) -> Tensor:
        TinyBackbone.computed += len(images)
        halves = torch.stack((images[..., :16].mean((2, 3)), images[..., 16:].mean((2, 3))), 1)
        features: Tensor = self.upper(self.lower(halves.flatten(1)))
        return features

    def load_pretrained(self) -> None:
        with torch.no_grad():
            for layer in (self.lower, self.upper):
                nn.init.eye_(layer.weight)
                nn.init.zeros_(layer.bias)

    def keep_statistics(self) -> None:
        pass


@pytest.fixture(autouse=True)
def backbone(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[TinyBackbone]]:
    """Put the tiny backbone in the place of every other, and an empty store beside it."""
    store = FeatureStore()
    monkeypatch.setattr(pretrained, "build_backbone", lambda *_args, **_kw: TinyBackbone())
    monkeypatch.setattr(frozen_module, "feature_store", lambda: store)
    monkeypatch.setattr(frozen_module, "LEAST_REMEMBERED_IMAGES", 0)
    TinyBackbone.computed = 0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield TinyBackbone
    torch.set_num_threads(threads)


@pytest.fixture
def split() -> ImageSplit:
    """Give images that are a little brighter on the left, on the right, or on neither side."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    images = rng.integers(0, 200, (90, *SHAPE), dtype=np.uint8)
    images[labels == 0, :, :4] += 40
    images[labels == 1, :, 4:] += 40
    return ImageSplit(images, labels)


def plan(**settings: Any) -> NetworkPlan:
    return NetworkPlan.parse("pretrained", settings, image_shape=SHAPE, class_count=3)


def fit(split: ImageSplit, *, model: Any = None, **others: Any) -> FittedNetwork:
    settings = {"batch_size": 16, "precision": "float32", "optimizer": "adamw"}
    parsed = TrainingSettings.parse({**settings, **others.pop("settings", {})})
    chosen = plan(**{"uses_mirrored": False, **(model or {})})
    validation = others.pop("validation", None)
    trainer = Trainer(parsed, **{"seed": 1, "device": CPU, **others})
    return fit_network(trainer, chosen, split, validation)


def accuracy(fitted: FittedNetwork, split: ImageSplit) -> float:
    logits = predict_logits(fitted.network, split.images, device=CPU)
    return float(np.mean(logits.argmax(1) == split.labels))


def test_the_head_is_fitted_and_nothing_else(split: ImageSplit) -> None:
    fitted = fit(split, validation=split)
    assert accuracy(fitted, split) > 0.9
    weights = fitted.last_weights
    assert torch.equal(weights["body.backbone.lower.weight"], torch.eye(6))
    assert len(fitted.history) == 1
    epoch = fitted.history[0]
    assert epoch.epoch == 1
    assert epoch.train_accuracy == epoch.validation_accuracy == accuracy(fitted, split)
    assert fitted.best_epoch == 1
    assert fitted.probe is not None
    assert fitted.probe.feature_count == 6
    assert fitted.probe.judged_by == "5-fold cross-validation of the training images"
    assert fitted.probe.penalty in {tried.penalty for tried in fitted.probe.tried}


def test_pixels_are_normalised_as_the_backbone_wants(split: ImageSplit) -> None:
    assert fit(split).network.mean.flatten().tolist() == [100, 110, 120]


def test_features_are_computed_once_for_folds_and_predictions(
    split: ImageSplit, backbone: type[TinyBackbone]
) -> None:
    first = fit(split.take(np.arange(60)))
    assert backbone.computed == 60
    fit(split.take(np.arange(30, 90)), seed=5)
    assert backbone.computed == 90
    logits = predict_logits(first.network, split.images, device=CPU)
    features, again = features_and_logits(first.network, split.images, device=CPU)
    assert backbone.computed == 90
    np.testing.assert_array_equal(logits, again)
    assert features.shape == (90, 6)


def test_known_features_give_what_the_network_gives(split: ImageSplit) -> None:
    network = fit(split).network.eval()
    pixels = torch.from_numpy(split.images).permute(0, 3, 1, 2)
    with torch.no_grad():
        whole = network(pixels).numpy()
    known = predict_logits(network, split.images, device=CPU)
    np.testing.assert_allclose(known, whole, rtol=1e-4, atol=1e-5)


def test_a_view_of_images_turned_round(split: ImageSplit) -> None:
    network = fit(split).network
    turned = np.ascontiguousarray(split.images[:, :, ::-1])
    np.testing.assert_array_equal(
        predict_logits(network, split.images[:, :, ::-1], device=CPU),
        predict_logits(network, turned, device=CPU),
    )


def test_a_changed_backbone_is_another_backbone(split: ImageSplit) -> None:
    fitted = fit(split)
    before = predict_logits(fitted.network, split.images, device=CPU)
    with torch.no_grad():
        fitted.network.body.backbone.lower.weight.mul_(2)  # type: ignore[union-attr,operator]
    assert not np.allclose(before, predict_logits(fitted.network, split.images, device=CPU))


def test_mirrored_images_are_fitted_to_where_a_mirror_keeps_the_class(
    split: ImageSplit, backbone: type[TinyBackbone]
) -> None:
    told = fit(split, model={"uses_mirrored": True})
    assert told.probe is not None
    assert told.probe.is_mirrored
    assert backbone.computed == 180
    assert accuracy(told, split) < 0.8  # here a mirror changes the class
    kept = fit(split, model={"uses_mirrored": True}, mirror_keeps_class=False)
    assert kept.probe is not None
    assert not kept.probe.is_mirrored
    assert accuracy(kept, split) > 0.9


def test_many_validation_images_choose_the_penalty(
    split: ImageSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.training.head.ENOUGH_VALIDATION_IMAGES", 30)
    train, held_out = split.take(np.arange(60)), split.take(np.arange(60, 90))
    fitted = fit(train, validation=held_out)
    assert fitted.probe is not None
    assert fitted.probe.judged_by == "the 30 validation images"
    [chosen] = [t for t in fitted.probe.tried if t.penalty == fitted.probe.penalty]
    assert chosen.log_loss == pytest.approx(fitted.history[0].validation_loss, abs=1e-3)


def test_many_training_images_hold_some_out(
    split: ImageSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.training.head.ENOUGH_TRAINING_IMAGES", 60)
    fitted = fit(split, model={"uses_mirrored": True})
    assert fitted.probe is not None
    assert fitted.probe.judged_by == "9 training images held out for it"


def test_a_class_of_one_image_is_no_obstacle(split: ImageSplit) -> None:
    few = split.take(np.array([0, 1, 3, 4, 2]))
    fitted = fit(few)
    assert fitted.probe is not None
    assert fitted.probe.tried == ()
    assert fitted.history[0].train_accuracy == 1


def test_the_same_seed_gives_the_same_head(split: ImageSplit) -> None:
    first, second = fit(split).last_weights, fit(split).last_weights
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_fine_tuning_moves_all_weights_and_counts_on(split: ImageSplit) -> None:
    told: list[EpochRecord] = []
    fitted = fit(
        split,
        model={"fine_tune_epochs": 3},
        settings={"learning_rate": 0.01, "weights": "best", "epochs": 50, "least_steps": 500},
        validation=split,
        on_epoch=told.append,
    )
    assert [epoch.epoch for epoch in fitted.history] == [1, 2, 3, 4]
    assert [epoch.epoch for epoch in told] == [1, 2, 3, 4]
    assert not torch.equal(fitted.last_weights["body.backbone.lower.weight"], torch.eye(6))
    accuracies = [epoch.validation_accuracy or 0 for epoch in fitted.history]
    assert fitted.best_epoch == accuracies.index(max(accuracies)) + 1
    assert accuracy(fitted, split) == max(accuracies)


def epoch(number: int, validation_accuracy: float | None) -> EpochRecord:
    return EpochRecord(
        epoch=number,
        learning_rate=0.1,
        train_loss=1.0,
        train_accuracy=0.5,
        validation_loss=None,
        validation_accuracy=validation_accuracy,
        seconds=1.0,
    )


@pytest.mark.parametrize(
    ("head", "later", "best"),
    [(0.9, (0.7, 0.8), 1), (0.9, (0.7, 0.95), 3), (0.8, (0.8, 0.7), 1), (None, (None,), None)],
)
def test_the_best_of_head_and_fine_tuning_is_the_best(
    split: ImageSplit, head: float | None, later: tuple[float | None, ...], best: int | None
) -> None:
    probe = fit(split).probe
    assert probe is not None
    fitted = FittedHead(epoch(1, head), probe, {"which": torch.tensor(1)})
    known = [accuracy or 0 for accuracy in later]
    joined = fitted.joined(
        TrainingResult(
            tuple(epoch(place + 1, accuracy) for place, accuracy in enumerate(later)),
            None if head is None else known.index(max(known)) + 1,
            {} if head is None else {"which": torch.tensor(2)},
        )
    )
    assert [record.epoch for record in joined.history] == list(range(1, len(later) + 2))
    assert joined.best_epoch == best
    if best is not None:
        assert joined.best_weights["which"].item() == (1 if best == 1 else 2)


def test_fine_tuning_goes_on_after_a_kill(
    split: ImageSplit, tmp_path: Path, backbone: type[TinyBackbone]
) -> None:
    class Killed(Exception):
        pass

    def kill(epoch: EpochRecord) -> None:
        if epoch.epoch == 3:
            raise Killed

    others: Any = {
        "model": {"fine_tune_epochs": 3},
        "settings": {"checkpoint_seconds": 0},
    }
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    with pytest.raises(Killed):
        fit(split, **others, checkpoint=checkpoint, on_epoch=kill)
    told: list[EpochRecord] = []
    resumed = fit(split, **others, checkpoint=checkpoint, on_epoch=told.append)
    whole = fit(split, **others)
    assert [epoch.epoch for epoch in told] == [1, 2, 3, 4]
    for name, tensor in whole.last_weights.items():
        assert torch.equal(resumed.last_weights[name], tensor), name


def test_rates_are_discriminative_and_every_parameter_has_one(split: ImageSplit) -> None:
    network = fit(split, model={"layer_decay": 0.5}).network
    for name in ("adamw", "sgd", "muon"):
        settings = TrainingSettings.parse({"optimizer": name, "learning_rate": 0.1})
        factors = network.body.learning_rate_factors()
        groups = make_optimizer(network.body, settings, factors=factors).param_groups
        rates = {id(p): group["peak_lr"] for group in groups for p in group["params"]}
        assert len(rates) == len(list(network.parameters()))
        named = {n: rates[id(p)] for n, p in network.named_parameters()}
        head = named["body.head.weight"]
        assert named["body.backbone.upper.weight"] == pytest.approx(0.5 * head)
        assert named["body.backbone.lower.weight"] == pytest.approx(0.25 * head)


def test_a_trained_network_is_restored_without_the_published_weights(
    split: ImageSplit, backbone: type[TinyBackbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = fit(split)

    def missing(_self: TinyBackbone) -> None:
        raise WeightsError("not installed")

    monkeypatch.setattr(backbone, "load_pretrained", missing)
    restored = plan(uses_mirrored=False).restore(fitted.last_weights)
    np.testing.assert_array_equal(
        predict_logits(restored, split.images, device=CPU),
        predict_logits(fitted.network, split.images, device=CPU),
    )
    with pytest.raises(WeightsError, match="not installed"):
        fit(split)


@pytest.fixture
def one_option(monkeypatch: pytest.MonkeyPatch) -> TransferOption:
    """Give the one option that there is: three epochs or so of all weights."""
    option = TransferOption(
        "only",
        {"backbone": "efficientnet-lite0", "input_size_px": 64},
        {"batch_size": 8},
        forward_cost=1.0,
        view_cost=0.0,
        step_cost=3.0,
        points=((1.0, 0.5), (4.0, 0.4)),
    )
    monkeypatch.setattr(transfer_budget, "transfer_options", lambda: (option,))
    monkeypatch.setattr(transfer_budget, "is_possible", lambda *_: True)
    return option


def test_a_time_budget_chooses_and_goes_on_with_its_choice(
    split: ImageSplit,
    one_option: TransferOption,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(Exception):
        pass

    def kill(epoch: EpochRecord) -> None:
        raise Killed

    monkeypatch.setattr(fitting, "seconds_of_an_image", lambda *_args, **_kw: 0.2 / 1000)
    others: Any = {
        "settings": {"budget_seconds": 1.0, "checkpoint_seconds": 0},
        "checkpoint": Checkpoint(tmp_path / "state.safetensors"),
    }
    with pytest.raises(Killed):
        fit(split, **others, on_epoch=kill)
    monkeypatch.setattr(fitting, "seconds_of_an_image", lambda *_args, **_kw: 1000.0)
    fitted = fit(split, **others)
    assert fitted.budget is not None
    assert fitted.budget.size == one_option.name
    assert fitted.plan.settings.plain()["input_size_px"] == 64
    assert fitted.settings.batch_size == 8
    assert "the whole network trained for about" in fitted.budget.sentence


def test_the_schedule_of_fine_tuning_begins_with_what_is_left(split: ImageSplit) -> None:
    probe = fit(split).probe
    assert probe is not None
    settings = TrainingSettings.parse({"budget_seconds": 1000.0})
    trainer = Trainer(settings, 0, CPU, started_at=time.monotonic() - 600)
    later = FittedHead(epoch(1, None), probe, {}).trainer_after(trainer)
    assert later.started_at is None
    assert later.settings.budget_seconds is not None
    assert 100 < later.settings.budget_seconds <= 400


def test_a_budget_that_the_head_has_spent_trains_no_further(
    split: ImageSplit, one_option: TransferOption, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "seconds_of_an_image", lambda *_args, **_kw: 1.0)
    fitted = fit(split, settings={"budget_seconds": 0.001})
    assert fitted.budget is not None
    assert "is too short for 90 images" in fitted.budget.sentence
    assert len(fitted.history) == 1
    assert fitted.probe is not None
    assert fitted.probe.fine_tune_epochs == 0
    assert one_option.name == fitted.budget.size


@pytest.mark.parametrize("validates", [False, True])
def test_features_in_a_file_give_the_same_head(
    split: ImageSplit, monkeypatch: pytest.MonkeyPatch, validates: bool
) -> None:
    monkeypatch.setattr(heads, "ENOUGH_VALIDATION_IMAGES", 90)
    options: Any = {
        "model": {"uses_mirrored": True},
        "mirror_keeps_class": True,
        "validation": split if validates else None,
    }
    in_memory = fit(split, **options)
    stored: list[bool] = []
    original = heads.joined_features

    def watched(parts: Any) -> Any:
        joined = original(parts)
        stored.append(not isinstance(joined, Tensor))
        return joined

    monkeypatch.setattr(heads, "joined_features", watched)
    monkeypatch.setattr(heads, "MOST_KEPT_BYTES", 0)
    in_file = fit(split, **options)
    assert all(stored)
    assert in_file.history[0].train_loss == in_memory.history[0].train_loss
    assert in_memory.probe is not None
    assert in_file.probe == in_memory.probe.model_copy(
        update={name: getattr(in_file.probe, name) for name in ("feature_seconds", "fit_seconds")}
    )
    for name, tensor in in_memory.last_weights.items():
        assert torch.equal(tensor, in_file.last_weights[name])


@pytest.mark.parametrize("validates", [False, True])
def test_a_sample_of_very_many_images_chooses_the_penalty(
    split: ImageSplit, monkeypatch: pytest.MonkeyPatch, validates: bool
) -> None:
    monkeypatch.setattr(heads, "ENOUGH_VALIDATION_IMAGES", 90)
    monkeypatch.setattr(heads, "ENOUGH_TRAINING_IMAGES", 90)
    monkeypatch.setattr(heads, "MOST_CHOOSING_ROWS", 90)
    monkeypatch.setattr(heads, "CHOOSING_IMAGES", 60)
    seen: list[tuple[int, ...]] = []
    original = heads.choose_penalty

    def watched(known: Any, folds: Any, **options: Any) -> Any:
        [(fitted, judged)] = folds
        seen.append((len(known.labels), len(fitted), len(judged)))
        return original(known, folds, **options)

    monkeypatch.setattr(heads, "choose_penalty", watched)
    fitted = fit(
        split,
        model={"uses_mirrored": True},
        mirror_keeps_class=True,
        validation=split if validates else None,
    )
    judging = 90 if validates else 9
    assert seen == [(120 + judging, 120, judging)]
    assert fitted.probe is not None
    assert "of a fit to 60" in fitted.probe.judged_by
    assert accuracy(fitted, split) > 0.5  # mirror images contradict half of the labels
