"""The training loop: what it records, which epoch is best, and when it gives up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tenfold.core.errors import TrainingError
from tenfold.core.progress import SilentProgress, TaskContext
from tenfold.core.records.training import EpochRecord
from tenfold.data.dataset import ImageSplit
from tenfold.models.model import ImageNetwork, as_pixels, copied_weights
from tenfold.training import loop as training_module
from tenfold.training.checkpoint import Checkpoint
from tenfold.training.device import Device
from tenfold.training.loop import Trainer, Training
from tenfold.training.schedule import learning_rate_factor
from tenfold.training.settings import TrainingSettings

MakeTraining = Callable[..., Training]
CPU = torch.device("cpu")


@pytest.fixture
def make_training(
    make_split: Callable[..., ImageSplit], make_network: Callable[..., ImageNetwork], cpu: Device
) -> MakeTraining:
    def make(
        settings: dict[str, Any],
        *,
        train: ImageSplit | None = None,
        model: dict[str, Any] | None = None,
        **others: Any,
    ) -> Training:
        parsed = TrainingSettings.parse({"batch_size": 8, "precision": "float32", **settings})
        split = make_split(20) if train is None else train
        validation = others.pop("validation", make_split(12, seed=9))
        trainer = Trainer(parsed, 4, cpu, **others)
        return Training(trainer, make_network(**(model or {})), split, validation)

    return make


def test_a_small_data_set_is_shown_until_the_least_steps_are_done(
    make_training: MakeTraining,
) -> None:
    result = make_training({"epochs": 2, "least_steps": 10}).run()  # 20 images, 3 steps an epoch
    assert len(result.history) == 4
    assert len(make_training({"epochs": 2, "least_steps": 6}).run().history) == 2


def test_it_learns(make_training: MakeTraining) -> None:
    result = make_training({"epochs": 15, "learning_rate": 0.01}).run()
    assert result.history[-1].train_loss < result.history[0].train_loss / 2
    assert result.history[-1].validation_accuracy == 1.0


def test_every_epoch_is_recorded_once_and_told_at_once(make_training: MakeTraining) -> None:
    told: list[EpochRecord] = []
    result = make_training({"epochs": 3}, on_epoch=told.append).run()
    assert [record.epoch for record in result.history] == [1, 2, 3]
    assert tuple(told) == result.history
    assert all(record.seconds > 0 for record in result.history)
    assert result.seconds == sum(record.seconds for record in result.history)
    assert all(0 <= record.train_accuracy <= 1 for record in result.history)


def test_training_loss_and_accuracy_weigh_every_image_alike(
    make_training: MakeTraining, make_split: Callable[..., ImageSplit]
) -> None:
    split = make_split(10)  # batches of 4, 4 and 2
    still = {"epochs": 1, "batch_size": 4, "optimizer": "sgd", "learning_rate": 1e-12}
    no_dropout = {"conv_dropout": 0, "dense_dropout": 0}
    training = make_training(still, train=split, model=no_dropout)
    with torch.no_grad():
        logits = training.network(as_pixels(split.images, CPU))
    labels = torch.from_numpy(split.labels)
    record = training.run().history[0]
    assert record.train_loss == pytest.approx(
        functional.cross_entropy(logits, labels).item(), rel=1e-5
    )
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    assert record.train_accuracy == pytest.approx(accuracy)


def test_validation_is_measured_with_the_epochs_last_weights(
    make_training: MakeTraining, make_split: Callable[..., ImageSplit]
) -> None:
    validation = make_split(12, seed=9)
    training = make_training({"epochs": 2}, model={"has_batch_norm": True})
    record = training.run().history[-1]
    with torch.no_grad():
        logits = training.network.eval()(as_pixels(validation.images, CPU))
    labels = torch.from_numpy(validation.labels)
    assert record.validation_loss == pytest.approx(
        functional.cross_entropy(logits, labels).item(), rel=1e-5
    )
    assert record.validation_accuracy == (logits.argmax(1) == labels).double().mean().item()


def test_without_validation_there_is_no_best_epoch(make_training: MakeTraining) -> None:
    result = make_training({"epochs": 2}, validation=None).run()
    assert result.best_epoch is None
    assert result.best_weights == {}
    assert {record.validation_accuracy for record in result.history} == {None}
    assert {record.validation_loss for record in result.history} == {None}


@pytest.mark.parametrize(
    ("hits", "best_epoch"),
    [
        ([3, 7, 7, 6], 2),  # a tie goes to the earlier epoch
        ([5, 5, 5, 5], 1),
        ([0, 0, 0, 0], 1),
        ([1, 2, 3, 4], 4),
        ([9, 2, 3, 9], 1),
    ],
)
def test_the_best_epoch_is_the_first_of_the_highest_accuracy(
    hits: list[int],
    best_epoch: int,
    make_training: MakeTraining,
    make_split: Callable[..., ImageSplit],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    validation = make_split(12)
    remaining = iter(hits)

    def scripted(network: ImageNetwork, images: Any, **_: Any) -> np.ndarray:
        """Answer the first so many images right and the others wrong."""
        right = np.arange(12) < next(remaining)
        answers = np.where(right, validation.labels, (validation.labels + 1) % 3)
        return np.eye(3, dtype=np.float32)[answers]

    monkeypatch.setattr(training_module, "predict_logits", scripted)
    weights: list[dict[str, torch.Tensor]] = []
    training = make_training(
        {"epochs": 4},
        validation=validation,
        on_epoch=lambda _: weights.append(copied_weights(training.network)),
    )
    result = training.run()
    assert [record.validation_accuracy for record in result.history] == [n / 12 for n in hits]
    assert result.best_epoch == best_epoch
    expected = weights[best_epoch - 1]
    assert result.best_weights.keys() == expected.keys()
    assert all(torch.equal(result.best_weights[name], expected[name]) for name in expected)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_the_learning_rate_follows_the_schedule(schedule: Any, make_training: MakeTraining) -> None:
    settings = {"epochs": 3, "schedule": schedule, "learning_rate": 0.01}
    history = make_training(settings).run().history
    for epoch, record in enumerate(history, start=1):
        middle_of_last_step = (3 * epoch - 0.5) / 9  # three steps an epoch
        expected = 0.01 * learning_rate_factor(schedule, middle_of_last_step)
        assert record.learning_rate == pytest.approx(expected)


def test_the_seed_and_nothing_else_decides(make_training: MakeTraining) -> None:
    settings = {"epochs": 2, "augmentation": "report"}
    weights = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        np.random.seed(global_seed)  # noqa: NPY002
        training = make_training(settings)
        training.run()
        weights.append(training.network.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_network_in_evaluation_mode_is_trained_all_the_same(
    make_training: MakeTraining,
) -> None:
    model = {"has_batch_norm": True, "conv_dropout": 0.3}
    first, second = (make_training({"epochs": 1}, model=model) for _ in range(2))
    second.network.eval()
    assert first.run().history[0].train_loss == second.run().history[0].train_loss
    before, after = first.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_diverged_training_says_what_to_lower(make_training: MakeTraining) -> None:
    settings = {"epochs": 5, "optimizer": "sgd", "learning_rate": 1000}
    advice = r"Lower the learning rate \(it is 1000; training\.learning_rate\)\."
    with pytest.raises(TrainingError, match=rf"in epoch \d: the loss is (nan|inf)\. {advice}"):
        make_training(settings).run()


def test_label_smoothing_raises_the_lowest_loss(make_training: MakeTraining) -> None:
    losses = [
        make_training({"epochs": 12, "learning_rate": 0.01, "label_smoothing": share})
        .run()
        .history[-1]
        .train_loss
        for share in (0.0, 0.5)
    ]
    # Half of the target spread over three classes: an entropy of 0.87 that no network beats.
    assert losses[0] < 0.6
    assert losses[1] > 0.86


def test_progress_counts_steps(make_training: MakeTraining) -> None:
    progress = _Counter()
    make_training({"epochs": 2}, progress=progress, title="Fold 3").run()
    assert (progress.description, progress.total, progress.done) == ("Fold 3", 6, 0)
    assert progress.units == 6


class _Counter(SilentProgress):
    def __init__(self) -> None:
        self.units = 0.0

    def task(
        self, description: str, total: float, *, done: float = 0.0, unit: str = "it"
    ) -> TaskContext:
        self.description, self.total, self.done = description, total, done
        return self

    def __enter__(self) -> _Counter:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, units: float = 1.0, *, detail: str = "") -> None:
        self.units += units


def test_a_checkpoint_is_not_written_before_it_is_due(
    make_training: MakeTraining, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    settings = {"epochs": 2, "checkpoint_seconds": 3600}
    make_training(settings, checkpoint=checkpoint).run()
    assert not checkpoint.path.exists()
    make_training({**settings, "checkpoint_seconds": 0}, checkpoint=checkpoint).run()
    assert checkpoint.path.is_file()


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_what_is_validated_and_left_in_the_network_is_the_average(
    averaging: str, make_training: MakeTraining, make_split: Callable[..., ImageSplit]
) -> None:
    settings = {"epochs": 4, "averaging": averaging, "learning_rate": 0.01}
    model = {"has_batch_norm": True}
    training, plain = make_training(settings, model=model), make_training({**settings}, model=model)
    plain.settings = plain.settings.model_copy(update={"averaging": "none"})
    result, newest = training.run(), plain.run()
    if averaging == "ema":  # the average has no part in the training itself
        assert [e.train_loss for e in result.history] == [e.train_loss for e in newest.history]
    kernel = "body.blocks.0.convolution.weight"
    averaged = training.network.state_dict()[kernel]
    assert not torch.equal(averaged, plain.network.state_dict()[kernel])
    validation = make_split(12, seed=9)
    with torch.no_grad():
        logits = training.network.eval()(as_pixels(validation.images, CPU))
    expected = functional.cross_entropy(logits, torch.from_numpy(validation.labels)).item()
    assert result.history[-1].validation_loss == pytest.approx(expected, rel=1e-5)


def test_swa_measures_batch_norm_again(
    make_training: MakeTraining, make_split: Callable[..., ImageSplit]
) -> None:
    settings = {"epochs": 4, "averaging": "swa", "batch_size": 20}
    training = make_training(settings, model={"has_batch_norm": True, "conv_dropout": 0})
    training.run()
    seen: list[torch.Tensor] = []
    block = training.network.body.blocks[0]  # type: ignore[index]
    block.convolution.register_forward_hook(lambda _, __, out: seen.append(out))  # type: ignore[union-attr]
    with torch.no_grad():
        training.network.eval()(as_pixels(make_split(20).images, CPU))
    assert torch.allclose(block.norm.running_mean, seen[0].mean((0, 2, 3)), atol=1e-5)  # type: ignore[union-attr]


def test_the_best_weights_are_averages_too(make_training: MakeTraining) -> None:
    training = make_training({"epochs": 1, "averaging": "ema", "learning_rate": 0.01})
    result = training.run()
    final = training.network.state_dict()
    assert all(torch.equal(result.best_weights[name], final[name]) for name in final)


def test_it_stops_when_it_gets_no_better(make_training: MakeTraining) -> None:
    still = {"epochs": 9, "learning_rate": 1e-12, "early_stopping_patience": 3}
    result = make_training(still).run()
    assert (len(result.history), result.best_epoch) == (4, 1)


def test_a_plateau_lowers_the_learning_rate(make_training: MakeTraining) -> None:
    still = {"epochs": 5, "learning_rate": 1e-12, "schedule": "plateau", "plateau_factor": 0.1}
    history = make_training({**still, "plateau_patience": 2}).run().history
    assert [record.learning_rate for record in history] == pytest.approx(
        [1e-12, 1e-12, 1e-12, 1e-13, 1e-13], rel=1e-6
    )


def test_swa_keeps_the_learning_rate_up(make_training: MakeTraining) -> None:
    settings = {"epochs": 4, "averaging": "swa", "schedule": "linear", "learning_rate": 0.01}
    history = make_training(settings).run().history
    assert history[-1].learning_rate == pytest.approx(0.0025)


def test_clipping_shortens_a_long_gradient_alone(make_training: MakeTraining) -> None:
    def moved(limit: float | None) -> float:
        settings = {"epochs": 1, "batch_size": 20, "optimizer": "sgd", "learning_rate": 1.0}
        training = make_training({**settings, "gradient_clip_norm": limit})
        before = [p.detach().clone() for p in training.network.parameters()]
        training.run()
        after = training.network.parameters()
        squares = [(a.detach() - b).square().sum() for a, b in zip(after, before, strict=True)]
        return float(torch.stack(squares).sum().sqrt())

    free = moved(None)
    assert moved(free / 2) == pytest.approx(free / 2, rel=1e-3)
    assert moved(free * 2) == free
