"""The training loop: resumable at any step, and the same bit for bit when it was resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from tenfold.core.errors import TrainingError
from tenfold.core.progress import Progress, SilentProgress, Task
from tenfold.core.randomness import derive_seed
from tenfold.core.records.training import EpochRecord, RebalancingPlan
from tenfold.data.augmentation import augmentation_named
from tenfold.data.dataset import ImageSplit
from tenfold.models.layers import bind_generator
from tenfold.models.model import ImageNetwork, copied_weights
from tenfold.training.averaging import NormStatistics, held_progress
from tenfold.training.batches import (
    Targets,
    TrainingBatches,
    TrainingLoss,
    right_answers,
    scaled_down,
    size_px,
)
from tenfold.training.checkpoint import (
    Checkpoint,
    TrainingResult,
    TrainingState,
    pack_state,
    unpack_state,
)
from tenfold.training.device import Device, one_thread
from tenfold.training.fixed_sum import ALONE, WorkerGroup
from tenfold.training.frozen_stages import FrozenStages, LowerMaps
from tenfold.training.inference import predict_logits
from tenfold.training.micro_batches import MicroBatches, SharedBatch
from tenfold.training.optimizers import make_optimizer, peak_learning_rate
from tenfold.training.schedule import (
    ClockPace,
    Pace,
    RateSweep,
    StepPace,
    has_stalled,
    learning_rate_factor,
    plateau_factor,
)
from tenfold.training.settings import TrainingSettings

# A step computes the forward pass and twice as much again for the gradients; the allowance is for
# what validation does beside the network.
_FORWARD_SHARE = 0.4
Shown = Tensor | LowerMaps | SharedBatch
"""What a step is given: images, what frozen stages give of them, or some of the batch's parts."""


@dataclass(frozen=True)
class Trainer:
    """How networks are trained, whichever they are: settings, seed, device, and who is told.

    Parameters
    ----------
    settings
        How to train.
    seed
        The one seed of weights, order, augmentation and dropout.
    device
        Where to compute.
    mirror_keeps_class
        Whether augmentation may flip, and a network treat mirror images as one.
    classes
        Names of the classes, for messages.
    checkpoint
        Where to keep the state; what is there is continued. None keeps nothing.
    progress
        Who is told.
    title
        Name of the progress bar.
    on_epoch
        Called with each completed epoch's record, once an epoch per process. It may raise to stop.
    started_at
        When a time budget began to run, on `time.monotonic`'s clock; None for when the training
        begins.
    sweep
        Sets the learning rate in the schedule's place (see `tenfold.study.learning_rate`).
    group
        Who shares the training, where its batches are cut into micro-batches. Each of them has a
        trainer like this one.
    """

    settings: TrainingSettings
    seed: int
    device: Device
    mirror_keeps_class: bool = True
    classes: Sequence[str] | None = None
    checkpoint: Checkpoint | None = None
    progress: Progress = field(default_factory=SilentProgress)
    title: str = "Training"
    on_epoch: Callable[[EpochRecord], None] = lambda _epoch: None
    started_at: float | None = None
    sweep: RateSweep | None = None
    group: WorkerGroup = ALONE

    @property
    def precision(self) -> torch.dtype:
        """Give the type that convolutions and matrix products compute in."""
        return self.device.precision(self.settings.precision)

    @property
    def is_late(self) -> bool:
        """Say whether a time budget is spent before the training has begun."""
        budget = self.settings.budget_seconds
        if budget is None or self.started_at is None:
            return False
        return time.monotonic() - self.started_at >= budget


class Training:
    """One training of one network.

    Parameters
    ----------
    trainer
        How to train.
    network
        The network to train, in place.
    train
        Training images; they are shuffled and augmented.
    validation
        Images to watch the training by; None for none.
    rebalancing
        What is done about classes of different size.

    Raises
    ------
    RunFolderError
        If the trainer's checkpoint does not fit.
    """

    def __init__(
        self,
        trainer: Trainer,
        network: ImageNetwork,
        train: ImageSplit,
        validation: ImageSplit | None = None,
        rebalancing: RebalancingPlan | None = None,
    ) -> None:
        settings, device = trainer.settings, trainer.device
        rebalancing = rebalancing or RebalancingPlan()
        augmentation = augmentation_named(settings.augmentation)
        self.trainer = trainer
        self.settings = settings
        self.device = device.torch_device
        self.precision = trainer.precision
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches = TrainingBatches(
            train,
            settings.batch_size,
            augmentation.policy,
            trainer.mirror_keeps_class,
            trainer.seed,
            self.device,
            augmentation.mixing,
            rebalancing.images_per_epoch,
            None if network.body.frozen is None else network.body.frozen.image_size_px,
        )
        self.frozen_stages = self._frozen_stages()
        self.validation = validation
        self.optimizer = make_optimizer(
            network.body,
            settings,
            precision=self.precision,
            factors=network.body.learning_rate_factors(),
        )
        self.loss = TrainingLoss.rebalanced(
            rebalancing, label_smoothing=settings.label_smoothing, device=self.device
        )
        parts = settings.micro_batches
        self.micro_batches = (
            None if parts is None else MicroBatches(network, self.batches, parts, trainer.group)
        )
        self._norm_statistics = NormStatistics(network, self.batches, device, self.precision)
        self._generator = torch.Generator(self.device)
        self._saved_at = time.monotonic()
        self.state = self._stored_state() or TrainingState()
        self.pace = self._pace()

    def run(self) -> TrainingResult:
        """Train to the end of the last epoch, until the time is up, or until it gets no better.

        Raises
        ------
        TrainingError
            If the loss is no longer a finite number.
        """
        self.train()
        state = self.state
        if self.frozen_stages is not None:
            self.frozen_stages.close()
        if state.average.weights:
            self.network.load_state_dict(state.average.weights)
        return TrainingResult(
            tuple(state.history),
            None if state.best_epoch is None else state.best_epoch + 1,
            state.best_weights,
            is_averaged=bool(state.average.weights),
            stopped_early=not self.pace.is_over(self._steps),
        )

    @property
    def is_over(self) -> bool:
        """Say whether there is nothing left to train."""
        return self.pace.is_over(self._steps) or self._has_stalled

    @property
    def done(self) -> float:
        """Give how much is done, in the pace's units."""
        return self.pace.done(self._steps)

    def train(self) -> None:
        """Do what is left of the training, and leave the network with its newest weights."""
        state, pace = self.state, self.pace
        bind_generator(self.network, self._generator)
        for epoch in state.history:
            self.trainer.on_epoch(epoch)
        with (
            nullcontext() if self.micro_batches is None else one_thread(),
            self.trainer.progress.task(
                self.trainer.title, pace.total, done=pace.done(self._steps), unit=pace.unit
            ) as task,
        ):
            while not self.is_over:
                self._train_epoch(task)
                self._finish_epoch()
                if self._is_save_due:
                    self.save()

    def _frozen_stages(self) -> FrozenStages | None:
        """Give what keeps the maps of the stages that are not trained, if there are some."""
        body, checkpoint = self.network.body.frozen, self.trainer.checkpoint
        if body is None or body.trained_stages is None:
            return None
        return FrozenStages(
            self.network,
            self.batches,
            device=self.trainer.device,
            precision=self.precision,
            folder=None if checkpoint is None else checkpoint.path.with_suffix(".views"),
            progress=self.trainer.progress,
            title=self.trainer.title,
        )

    def _stored_state(self) -> TrainingState | None:
        if self.trainer.checkpoint is None:
            return None
        return self.trainer.checkpoint.load(self.network, self.optimizer, self.device)

    def _pace(self) -> Pace:
        if self.settings.budget_seconds is None:
            return StepPace(self._epochs * self.batches.steps_per_epoch)
        validated = 0 if self.validation is None else len(self.validation)
        began = self.trainer.started_at
        startup = 0.0 if began is None else time.monotonic() - began
        return ClockPace(
            self.settings.budget_seconds,
            spent_seconds=self.state.elapsed_seconds + startup,  # earlier attempts', and its own
            steps_kept_back=_FORWARD_SHARE * validated / self.batches.batch_size,
            more_steps_kept_back=_FORWARD_SHARE * self._statistics_steps,
            device=self.device,
        )

    @property
    def _has_stalled(self) -> bool:
        return has_stalled(
            epochs=len(self.state.history),
            best_epoch=self.state.best_epoch,
            patience=self.settings.early_stopping_patience,
        )

    @property
    def _steps(self) -> int:
        """Give the number of steps done."""
        return self.state.epoch * self.batches.steps_per_epoch + self.state.step

    def _train_epoch(self, task: Task) -> None:
        """Train to the end of the epoch, or until the training is over."""
        state, pace = self.state, self.pace
        self.network.train()
        loss_sum = torch.tensor(state.loss_sum, dtype=torch.float32, device=self.device)
        correct = torch.tensor(state.correct, device=self.device)
        started = time.perf_counter() - state.epoch_seconds
        done = pace.done(self._steps)
        for shown, targets in self._shown():
            progress = pace.progress(self._steps)
            loss, hits = self._step(shown, targets, progress)
            state.average.update(self.network, self.settings, progress)
            if self.trainer.sweep is not None:
                self.trainer.sweep.note(loss.item())
            loss_sum += loss * len(shown)
            correct += hits
            state.step += 1
            is_over = pace.is_over(self._steps)
            if self._is_save_due and state.step < self.batches.steps_per_epoch and not is_over:
                state.loss_sum, state.correct = loss_sum.item(), int(correct.item())
                state.epoch_seconds = time.perf_counter() - started
                self.save()
            before, done = done, pace.done(self._steps)
            task.advance(done - before, detail=self._detail)
            if is_over:
                break
        state.loss_sum, state.correct = loss_sum.item(), int(correct.item())
        state.epoch_seconds = time.perf_counter() - started

    @property
    def _detail(self) -> str:
        epoch = f"epoch {self.state.epoch + 1}"
        return epoch if self.settings.budget_seconds is not None else f"{epoch}/{self._epochs}"

    @property
    def _epochs(self) -> int:
        return self.settings.epochs_for(self.batches.steps_per_epoch)

    def _shown(self) -> Iterator[tuple[Shown, Targets | None]]:
        """Give what is left of the epoch: images, or what the frozen stages give of them."""
        state, frozen = self.state, self.frozen_stages
        if self.micro_batches is not None:
            return self.micro_batches.epoch(state.epoch, first_step=state.step)
        if frozen is None:
            return self.batches.epoch(state.epoch, first_step=state.step)
        return frozen.epoch(
            state.epoch,
            first_step=state.step,
            is_over=lambda: self.pace.is_over(self._steps),
        )

    def _step(
        self, shown: Shown, targets: Targets | None, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Do one optimiser step; give the mean loss and the number of right answers."""
        self._set_learning_rate(progress)
        self.optimizer.zero_grad()
        if isinstance(shown, SharedBatch):
            assert self.micro_batches is not None
            loss, right = self.micro_batches.gradients(
                shown,
                lambda part: self._backward(
                    part.pixels, part.targets, progress, part.place, share=part.share
                ),
            )
        else:
            assert targets is not None
            loss, right = self._backward(shown, targets, progress)
        if self.settings.gradient_clip_norm is not None:
            clip_grad_norm_(self.network.parameters(), self.settings.gradient_clip_norm)
        self.optimizer.step()
        return loss, right

    def _backward(
        self,
        shown: Tensor | LowerMaps,
        targets: Targets,
        progress: float,
        *part: int,
        share: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Add the gradient of images, which are a share of the batch, to the parameters'.

        Give the mean loss, times the share, and the number of right answers.
        """
        place = self.state.epoch, self.state.step, *part
        self._generator.manual_seed(derive_seed(self.trainer.seed, "dropout", *place))
        with self.trainer.device.autocast(self.precision):
            logits = self._logits(shown, progress)  # (B, classes)
        loss = self.loss(logits, targets) * share
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), right_answers(logits.detach(), targets)

    def _logits(self, shown: Tensor | LowerMaps, progress: float) -> Tensor:
        if isinstance(shown, LowerMaps):
            assert self.frozen_stages is not None
            return self.frozen_stages.logits(shown)
        logits: Tensor = self.network(self._at_resolution(shown, progress))
        return logits

    def _at_resolution(self, pixels: Tensor, progress: float) -> Tensor:
        if progress >= self.settings.low_resolution_share:
            return pixels
        height, width = (
            size_px(
                side,
                progress=progress,
                share=self.settings.low_resolution_share,
                scale=self.settings.low_resolution_scale,
            )
            for side in pixels.shape[2:]
        )
        return scaled_down(pixels, (height, width))

    def _set_learning_rate(self, progress: float) -> None:
        if self.trainer.sweep is not None:
            factor = self.trainer.sweep.factor
        elif self.settings.schedule == "plateau":
            factor = plateau_factor(
                (epoch.validation_loss for epoch in self.state.history),
                factor=self.settings.plateau_factor,
                patience=self.settings.plateau_patience,
            )
        else:
            held = held_progress(self.settings, progress)
            factor = learning_rate_factor(self.settings.schedule, held)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor

    def _finish_epoch(self) -> None:
        """Validate, record the epoch, and keep its weights if they are the best so far."""
        state = self.state
        started = time.perf_counter()
        seen = min(state.step * self.batches.batch_size, self.batches.epoch_length)
        train_loss = state.loss_sum / seen
        if not math.isfinite(train_loss):
            raise TrainingError(
                f"The training diverged in epoch {state.epoch + 1}: the loss is {train_loss}. "
                f"Lower the learning rate (it is {peak_learning_rate(self.settings):g}; "
                "training.learning_rate)."
            )
        self._measure_statistics()
        validation_started = time.perf_counter()
        with state.average.applied(self.network):
            validation_loss, validation_accuracy = self._validate()
        ended = time.perf_counter()
        self.pace.note_validation(ended - validation_started)
        record = EpochRecord(
            epoch=state.epoch + 1,
            share=seen / self.batches.epoch_length,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            train_loss=train_loss,
            train_accuracy=state.correct / seen,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            seconds=state.epoch_seconds + ended - started,
        )
        if validation_accuracy is not None and self._is_best(validation_accuracy):
            state.best_epoch = state.epoch
            with state.average.applied(self.network):
                state.best_weights = copied_weights(self.network)
        state.history.append(record)
        state.epoch, state.step = state.epoch + 1, 0
        state.loss_sum, state.correct, state.epoch_seconds = 0.0, 0, 0.0
        self.trainer.on_epoch(record)

    def _measure_statistics(self) -> None:
        """Measure the average's batch norm statistics; those of its steps do not fit it."""
        state = self.state
        if state.average.weights and self._statistics_steps:
            with state.average.applied(self.network):
                self._norm_statistics.measure(state.epoch, self.micro_batches)
                state.average.weights = copied_weights(self.network)

    @property
    def _statistics_steps(self) -> int:
        return self._norm_statistics.steps if self.settings.averaging == "swa" else 0

    def _is_best(self, accuracy: float) -> bool:
        if self.state.best_epoch is None:
            return True
        best = self.state.history[self.state.best_epoch].validation_accuracy
        return best is None or accuracy > best

    def _validate(self) -> tuple[float | None, float | None]:
        if self.validation is None:
            return None, None
        predict = partial(
            predict_logits, self.network, device=self.trainer.device, precision=self.precision
        )
        images = self.validation.images
        shared = self.micro_batches
        logits = predict(images) if shared is None else shared.logits(images, predict)
        scores = torch.from_numpy(logits)
        labels = torch.from_numpy(self.validation.labels)
        loss = functional.cross_entropy(scores.double(), labels).item()
        accuracy = float(np.mean(logits.argmax(1) == self.validation.labels))
        return loss, accuracy

    @property
    def _is_save_due(self) -> bool:
        return (
            self.trainer.checkpoint is not None
            and time.monotonic() - self._saved_at >= self.settings.checkpoint_seconds
        )

    def packed_state(self) -> bytes:
        """Give the state as a checkpoint's content."""
        return pack_state(self.state, self.network, self.optimizer)

    def keep(self, content: bytes) -> None:
        """Keep a state that another process gave."""
        if self.trainer.checkpoint is not None:
            self.trainer.checkpoint.write(content)

    def adopt(self, content: bytes) -> None:
        """Go on from a state that another process gave."""
        self.state = unpack_state(content, self.network, self.optimizer, self.device)

    def save(self) -> None:
        """Keep the state, for who goes on."""
        assert self.trainer.checkpoint is not None
        self.state.elapsed_seconds = self.pace.elapsed()
        self.trainer.checkpoint.save(self.state, self.network, self.optimizer)
        self._saved_at = time.monotonic()
