"""A training that was cut off and goes on ends bit for bit where the uninterrupted one ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from tenfold.core.progress import SilentProgress, TaskContext
from tenfold.core.records.training import EpochRecord
from tenfold.data.augmentation import augmentation_names
from tenfold.data.dataset import ImageSplit
from tenfold.data.rebalancing import choose_rebalancing, rebalancing_names
from tenfold.models.model import ImageNetwork
from tenfold.training.checkpoint import Checkpoint, TrainingResult, TrainingState
from tenfold.training.device import Device
from tenfold.training.loop import Trainer, Training
from tenfold.training.settings import TrainingSettings
from tenfold.training.tensors import read_tensors

EPOCHS = 3
STEPS_PER_EPOCH = 3  # 20 images in batches of 8: the last of an epoch is smaller
STEPS = EPOCHS * STEPS_PER_EPOCH

EVERYTHING: dict[str, Any] = {
    "augmentation": "report",
    "schedule": "one-cycle",
    "label_smoothing": 0.1,
    "weight_decay": 1e-3,
    "learning_rate": 0.01,
}
CASES: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw"},
    "rmsprop": {"optimizer": "rmsprop"},
    "rmsprop with momentum": {"optimizer": "rmsprop", "momentum": 0.9},
    "sgd": {"optimizer": "sgd"},
    "sgd with momentum": {"optimizer": "sgd", "momentum": 0.9},
    "bfloat16": {"precision": "bfloat16"},
    **{name: {"augmentation": name} for name in augmentation_names()},
    "strong+mixup+cutmix": {"augmentation": "strong+mixup+cutmix"},
    **{f"rebalance {name}": {"rebalance": name} for name in rebalancing_names()},
    "all at once": {"augmentation": "strong+cutmix", "rebalance": "over-sample"},
    "ema, plateau, clipping": {
        "optimizer": "sgd",
        "momentum": 0.9,
        "averaging": "ema",
        "ema_decay": 0.9,
        "schedule": "plateau",
        "plateau_patience": 1,
        "gradient_clip_norm": 0.1,
    },
    "swa": {"averaging": "swa", "swa_share": 0.5},
    "early stopping": {"early_stopping_patience": 1, "learning_rate": 1e-9},
}


class _Stopped(Exception):
    """Stands for a kill."""


@dataclass
class _Stopping(SilentProgress):
    """Raises after so many steps of this session."""

    steps: int
    first_done: float = -1

    def task(
        self, description: str, total: float, *, done: float = 0.0, unit: str = "it"
    ) -> TaskContext:
        self.first_done = done
        return self

    def __enter__(self) -> _Stopping:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, units: float = 1.0, *, detail: str = "") -> None:
        self.steps -= 1
        if self.steps == 0:
            raise _Stopped


@dataclass(frozen=True)
class _RareCheckpoint(Checkpoint):
    """Writes every third time alone, so that a session repeats steps of the one before."""

    asked: list[int] = field(default_factory=list)

    def save(
        self, state: TrainingState, network: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        self.asked.append(state.step)
        if len(self.asked) % 3 == 0:
            super().save(state, network, optimizer)


@dataclass
class Outcome:
    """All of a training's result that has to be the same."""

    weights: dict[str, torch.Tensor]
    result: TrainingResult

    def assert_equal(self, other: Outcome) -> None:
        assert _without_seconds(self.result.history) == _without_seconds(other.result.history)
        assert self.result.best_epoch == other.result.best_epoch
        for mine, theirs in [
            (self.weights, other.weights),
            (self.result.best_weights, other.result.best_weights),
        ]:
            assert mine.keys() == theirs.keys() != set()
            assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def _without_seconds(history: tuple[EpochRecord, ...]) -> list[EpochRecord]:
    return [record.model_copy(update={"seconds": 0.0}) for record in history]


@dataclass
class Session:
    """Makes the same training anew, as a process started again would."""

    train: ImageSplit
    validation: ImageSplit
    make_network: Callable[..., ImageNetwork]
    device: Device

    def run(self, settings: dict[str, Any], **others: Any) -> Outcome:
        parsed = TrainingSettings.parse(
            {
                "epochs": EPOCHS,
                "batch_size": 8,
                "precision": "float32",
                "checkpoint_seconds": 0,
                **EVERYTHING,
                **settings,
            }
        )
        network = self.make_network(
            conv_layers=2,
            filters=[6, 5],
            padding="same",
            has_batch_norm=True,
            conv_dropout=0.25,
            dense_dropout=0.3,
        )
        torch.seed()  # the global state is another in every process: it must not matter
        plan = choose_rebalancing(parsed.rebalance, self.train.counts(3))
        trainer = Trainer(parsed, 7, self.device, **others)
        result = Training(trainer, network, self.train, self.validation, plan).run()
        return Outcome(dict(network.state_dict()), result)


@pytest.fixture
def session(
    make_split: Callable[..., ImageSplit], make_network: Callable[..., ImageNetwork], cpu: Device
) -> Session:
    train = make_split(20)
    train.labels[[1, 4, 5, 7]] = 0  # classes of 11, 4 and 5 images, for what rebalances
    return Session(train, make_split(9, seed=5), make_network, cpu)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint(tmp_path / "training.safetensors")


@pytest.mark.parametrize("case", CASES)
def test_two_uninterrupted_trainings_are_the_same(case: str, session: Session) -> None:
    session.run(CASES[case]).assert_equal(session.run(CASES[case]))


@pytest.mark.parametrize("case", CASES)
def test_stopped_again_and_again_it_ends_the_same(
    case: str, session: Session, checkpoint: Checkpoint
) -> None:
    sessions, begun_at = 0, -1.0
    while True:
        # Two steps a session: it ends inside epochs, between them, and before the validation.
        progress = _Stopping(steps=2)
        try:
            resumed = session.run(CASES[case], checkpoint=checkpoint, progress=progress)
        except _Stopped:
            assert progress.first_done > begun_at, "a session must not lose the one before"
            sessions, begun_at = sessions + 1, progress.first_done
        else:
            break
    # Under-sampled epochs are short.
    assert sessions >= 2
    session.run(CASES[case]).assert_equal(resumed)


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_stopped_after_any_step_it_ends_the_same(
    step: int, session: Session, checkpoint: Checkpoint
) -> None:
    with pytest.raises(_Stopped):
        session.run({}, checkpoint=checkpoint, progress=_Stopping(steps=step))
    progress = _Stopping(steps=STEPS + 1)
    resumed = session.run({}, checkpoint=checkpoint, progress=progress)
    # The last step of an epoch is stored with the validation that follows it.
    assert progress.first_done == (step if step % STEPS_PER_EPOCH else step - 1)
    session.run({}).assert_equal(resumed)


@pytest.mark.parametrize("step", range(1, STEPS + 1))
@pytest.mark.parametrize("case", ["ema, plateau, clipping", "swa"])
def test_averages_stopped_after_any_step_end_the_same(
    case: str, step: int, session: Session, checkpoint: Checkpoint
) -> None:
    with pytest.raises(_Stopped):
        session.run(CASES[case], checkpoint=checkpoint, progress=_Stopping(steps=step))
    resumed = session.run(CASES[case], checkpoint=checkpoint)
    session.run(CASES[case]).assert_equal(resumed)


@pytest.mark.parametrize("case", ["ema, plateau, clipping", "swa", "early stopping"])
def test_a_complete_training_gives_its_result_again(
    case: str, session: Session, checkpoint: Checkpoint
) -> None:
    first = session.run(CASES[case], checkpoint=checkpoint)
    again = session.run(CASES[case], checkpoint=checkpoint, progress=_Stopping(steps=1))
    again.assert_equal(first)


@pytest.mark.parametrize("step", [3, 4, 7, 8])
def test_steps_since_the_last_checkpoint_are_repeated_alike(
    step: int, session: Session, tmp_path: Path
) -> None:
    checkpoint = _RareCheckpoint(tmp_path / "training.safetensors")
    with pytest.raises(_Stopped):
        session.run({}, checkpoint=checkpoint, progress=_Stopping(steps=step))
    progress = _Stopping(steps=STEPS + 1)
    resumed = session.run({}, checkpoint=checkpoint, progress=progress)
    assert progress.first_done < step
    session.run({}).assert_equal(resumed)


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_stopped_by_the_listener_it_tells_all_epochs_again(
    epoch: int, session: Session, checkpoint: Checkpoint
) -> None:
    def stop(record: EpochRecord) -> None:
        if record.epoch == epoch:
            raise _Stopped

    with pytest.raises(_Stopped):
        session.run({}, checkpoint=checkpoint, on_epoch=stop)
    told: list[EpochRecord] = []
    resumed = session.run({}, checkpoint=checkpoint, on_epoch=told.append)
    assert tuple(told) == resumed.result.history
    session.run({}).assert_equal(resumed)


def test_a_complete_training_is_not_trained_again(session: Session, checkpoint: Checkpoint) -> None:
    first = session.run({}, checkpoint=checkpoint)
    progress = _Stopping(steps=1)  # would stop at the first step
    again = session.run({}, checkpoint=checkpoint, progress=progress)
    assert progress.first_done == STEPS
    assert again.result.history == first.result.history
    again.assert_equal(first)


def test_seconds_of_all_sessions_are_added_up(session: Session, checkpoint: Checkpoint) -> None:
    with pytest.raises(_Stopped):
        session.run({}, checkpoint=checkpoint, progress=_Stopping(steps=2))
    _, texts = read_tensors(checkpoint.path, torch.device("cpu"))
    spent = json.loads(texts["tenfold"])["epoch_seconds"]
    assert spent > 0
    resumed = session.run({}, checkpoint=checkpoint)
    assert resumed.result.history[0].seconds > spent
