"""Fit a network's head to the features of its frozen backbone."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tenfold.core.randomness import derive_seed
from tenfold.core.records.training import EpochRecord, PenaltyRecord, ProbeRecord
from tenfold.data.dataset import ImageSplit, Indices
from tenfold.data.feature_rows import MOST_KEPT_BYTES, Features, joined_features
from tenfold.data.folds import stratified_folds
from tenfold.data.splits import exact_groups, holdout_split, stratified_sample
from tenfold.data.store import AnyImages
from tenfold.models.model import FrozenFeatures, ImageNetwork, copied_weights
from tenfold.training.checkpoint import TrainingResult
from tenfold.training.inference import frozen_features, logits_of_features, mirrored
from tenfold.training.linear_probe import (
    PENALTIES,
    ChosenPenalty,
    FeatureSet,
    choose_penalty,
    fit_layer,
)
from tenfold.training.loop import Trainer

ENOUGH_VALIDATION_IMAGES = 1000
"""From so many validation images on they choose the penalty; the log loss of fewer is too noisy."""
ENOUGH_TRAINING_IMAGES = 10_000
"""From so many training images on a tenth of them judges as well as folds do, at a fifth of the
cost."""
MOST_CHOOSING_ROWS = 100_000
"""If more rows are fitted to, mirror images counted, a sample of the images chooses the penalty:
some hundred passes over all of them would take longer than computing their features."""
CHOOSING_IMAGES = 25_000
_JUDGING_IMAGES = 10_000
_FOLDS = 5
_FALLBACK_PENALTY = 0.1
"""Where a class has one image, so that nothing can be held out."""


@dataclass(frozen=True)
class HeadFit:
    """Fits the head of one network.

    Parameters
    ----------
    trainer
        How to train: of the settings, precision and label smoothing are used.
    network
        Its body is a `FrozenFeatures`; it gets the head, in place.
    train
        Images to fit to.
    validation
        Images to watch by, and to choose the penalty by if they are many; None for none.
    """

    trainer: Trainer
    network: ImageNetwork
    train: ImageSplit
    validation: ImageSplit | None

    def run(self) -> FittedHead:
        """Compute features, choose the penalty, fit the head."""
        started = time.perf_counter()
        parts = [self.train.images]
        if self._is_mirrored:
            parts.append(mirrored(self.train.images))
        if self.validation is not None:
            parts.append(self.validation.images)
        features = self._features(parts)
        known, validation = self._sets(features)
        computed = time.perf_counter()
        chosen, judged_by = self._choose(known)
        self._fit(known, chosen)
        fitted = time.perf_counter()
        plain = known.first(len(self.train))
        train_loss, train_accuracy = self._score(plain)
        validation_scores = (None, None) if validation is None else self._score(validation)
        epoch = EpochRecord(
            epoch=1,
            learning_rate=0.0,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=validation_scores[0],
            validation_accuracy=validation_scores[1],
            seconds=time.perf_counter() - started,
        )
        self.trainer.on_epoch(epoch)
        probe = ProbeRecord(
            feature_count=known.features.shape[1],
            is_mirrored=self._is_mirrored,
            penalty=_FALLBACK_PENALTY if chosen is None else chosen.penalty,
            tried=() if chosen is None else _records(chosen),
            judged_by=judged_by,
            fine_tune_epochs=self._body.fine_tune_epochs,
            feature_seconds=computed - started,
            fit_seconds=fitted - computed,
        )
        return FittedHead(epoch, probe, copied_weights(self.network))

    @property
    def _body(self) -> FrozenFeatures:
        assert self.network.body.frozen is not None
        return self.network.body.frozen

    @property
    def _is_mirrored(self) -> bool:
        return self.trainer.mirror_keeps_class and self._body.uses_mirrored

    def _features(self, parts: list[AnyImages]) -> list[Features]:
        """Compute the features of every part, under one progress bar."""
        trainer, count = self.trainer, sum(len(part) for part in parts)
        with trainer.progress.task(f"{trainer.title}: features", count, unit="images") as task:
            return [
                frozen_features(
                    self.network,
                    part,
                    device=trainer.device,
                    precision=trainer.precision,
                    on_images=task.advance,
                    most_bytes=MOST_KEPT_BYTES * len(part) // count,
                )
                for part in parts
            ]

    def _sets(self, features: list[Features]) -> tuple[FeatureSet, FeatureSet | None]:
        """Give what is fitted to, mirrored images behind their own, and validation images.

        Where validation images judge the penalty they lie behind both.
        """
        there = self.trainer.device.torch_device

        def feature_set(features: list[Features], labels: list[Tensor]) -> FeatureSet:
            joined = joined_features(features)
            if isinstance(joined, Tensor):
                joined = joined.to(there)
            return FeatureSet(joined, torch.cat(labels).to(there))

        labels = [torch.from_numpy(self.train.labels)] * (1 + self._is_mirrored)
        if self.validation is None:
            return feature_set(features, labels), None
        of_validation = [torch.from_numpy(self.validation.labels)]
        own = feature_set(features[-1:], of_validation)
        if self._is_judged_by_validation:
            return feature_set(features, labels + of_validation), own
        return feature_set(features[:-1], labels), own

    @property
    def _is_judged_by_validation(self) -> bool:
        return self.validation is not None and len(self.validation) >= ENOUGH_VALIDATION_IMAGES

    @property
    def _fitted_rows(self) -> int:
        return len(self.train) * (1 + self._is_mirrored)

    def _choose(self, known: FeatureSet) -> tuple[ChosenPenalty | None, str]:
        """Choose the penalty by features not fitted to, and say what those are of."""
        seed = derive_seed(self.trainer.seed, "penalty")
        if self._is_judged_by_validation:
            rows = torch.arange(len(known.labels), device=known.labels.device)
            folds = [(rows[: self._fitted_rows], rows[self._fitted_rows :])]
            judged_by = f"the {len(folds[0][1]):,} validation images"
            if self._is_sampled:
                held_out = np.arange(self._fitted_rows, len(known.labels))
                known, folds = self._sampled(known, np.arange(len(self.train)), held_out, seed)
                judged_by += f", of a fit to {CHOOSING_IMAGES:,} of the training images"
        elif len(self.train) >= ENOUGH_TRAINING_IMAGES:
            kept, held_out = holdout_split(
                self.train.labels,
                fraction=0.1,
                method="stratified",
                seed=seed,
                groups=exact_groups(self.train.images),
            )
            judged_by = f"{len(held_out):,} training images held out for it"
            if self._is_sampled:
                known, folds = self._sampled(known, kept, held_out, seed)
                judged_by = (
                    f"{len(folds[0][1]):,} training images held out for it, of a fit to "
                    f"{CHOOSING_IMAGES:,} others"
                )
            else:
                folds = [self._fold(known, kept, held_out)]
        else:
            counts = np.bincount(self.train.labels)
            smallest = int(counts[counts > 0].min())
            if smallest < 2:
                return None, "nothing: a class has one image"
            count = min(_FOLDS, smallest)
            pairs = stratified_folds(
                self.train.labels, count, seed, groups=exact_groups(self.train.images)
            )
            folds = [self._fold(known, kept, held_out) for kept, held_out in pairs]
            judged_by = f"{count}-fold cross-validation of the training images"
        with self.trainer.progress.task(
            f"{self.trainer.title}: penalties", len(PENALTIES), unit="penalties"
        ) as task:
            chosen = choose_penalty(
                known,
                folds,
                class_count=self._body.head.out_features,
                label_smoothing=self.trainer.settings.label_smoothing,
                on_penalty=lambda penalty: task.advance(detail=f"penalty {penalty:g}"),
            )
            task.advance(len(PENALTIES) - len(chosen.losses))
        return chosen, judged_by

    @property
    def _is_sampled(self) -> bool:
        return self._fitted_rows > MOST_CHOOSING_ROWS

    def _sampled(
        self, known: FeatureSet, kept: Indices, held_out: Indices, seed: int
    ) -> tuple[FeatureSet, list[tuple[Tensor, Tensor]]]:
        """Give a sample of the rows that are fitted to and of those that judge, in memory."""
        labels = known.labels.cpu().numpy()
        kept = kept[stratified_sample(labels[kept], CHOOSING_IMAGES, seed)]
        held_out = held_out[stratified_sample(labels[held_out], _JUDGING_IMAGES, seed)]
        fitted, judged = self._fold(known, kept, held_out)
        rows = torch.cat((fitted, judged))
        places = torch.arange(len(rows), device=rows.device)
        few = FeatureSet(known.features[rows].to(rows.device), known.labels[rows])
        return few, [(places[: len(fitted)], places[len(fitted) :])]

    def _fold(self, known: FeatureSet, kept: Indices, held_out: Indices) -> tuple[Tensor, Tensor]:
        """Give the rows that are fitted to, mirrored images beside their own, and that judge."""
        index = torch.from_numpy(kept)
        both = torch.cat((index, index + len(self.train))) if self._is_mirrored else index
        there = known.labels.device
        return both.to(there), torch.from_numpy(held_out).to(there)

    @torch.no_grad()
    def _fit(self, known: FeatureSet, chosen: ChosenPenalty | None) -> None:
        """Fit the head to all training features."""
        layer = fit_layer(
            known.first(self._fitted_rows),
            _FALLBACK_PENALTY if chosen is None else chosen.penalty,
            class_count=self._body.head.out_features,
            label_smoothing=self.trainer.settings.label_smoothing,
            start=None if chosen is None else chosen.start,
        )
        self._body.head.weight.copy_(layer.weight)
        self._body.head.bias.copy_(layer.bias)

    def _score(self, known: FeatureSet) -> tuple[float, float]:
        """Give mean log loss and accuracy of the head."""
        logits = logits_of_features(self.network, known.features, self.trainer.device)
        labels = known.labels.cpu()
        loss = torch.nn.functional.cross_entropy(logits.double(), labels).item()
        return loss, (logits.argmax(1) == labels).double().mean().item()


_LEAST_SECONDS = 1e-3
"""What is left of a time budget at least: one step is always done."""


@dataclass(frozen=True)
class FittedHead:
    """What fitting a head gave, and how a training of the whole network goes on from it.

    Parameters
    ----------
    epoch
        The one pass over the images that computing features was.
    probe
        How the head was fitted.
    weights
        The network's tensors afterwards.
    """

    epoch: EpochRecord
    probe: ProbeRecord
    weights: dict[str, Tensor]

    @property
    def result(self) -> TrainingResult:
        """Give the training that ends here."""
        if self.epoch.validation_accuracy is None:
            return TrainingResult((self.epoch,), None, {})
        return TrainingResult((self.epoch,), 1, self.weights)

    def joined(self, later: TrainingResult) -> TrainingResult:
        """Give the training that went on with `later`, whose epochs count from 2 then."""
        history = (self.epoch, *(_moved_on(epoch) for epoch in later.history))
        first, best = self.epoch.validation_accuracy, later.best_epoch
        if first is None or best is None:
            return replace(later, history=history, best_epoch=None, best_weights={})
        accuracy = later.history[best - 1].validation_accuracy
        if accuracy is not None and accuracy > first:
            return replace(later, history=history, best_epoch=best + 1)
        return replace(later, history=history, best_epoch=1, best_weights=self.weights)

    def trainer_after(self, trainer: Trainer) -> Trainer:
        """Give who goes on: the length is the model's setting, and epochs count from 2.

        Of a time budget it has what is left: its schedule begins with it, not with the budget.
        """
        length: dict[str, object] = {"epochs": self.probe.fine_tune_epochs, "least_steps": 0}
        budget, started_at = trainer.settings.budget_seconds, trainer.started_at
        if budget is not None and started_at is not None:
            length["budget_seconds"] = max(budget - (time.monotonic() - started_at), _LEAST_SECONDS)
            trainer = replace(trainer, started_at=None)
        return replace(
            trainer,
            settings=trainer.settings.model_copy(update=length),
            on_epoch=lambda epoch: trainer.on_epoch(_moved_on(epoch)),
        )


def _records(chosen: ChosenPenalty) -> tuple[PenaltyRecord, ...]:
    return tuple(
        PenaltyRecord(penalty=penalty, log_loss=loss) for penalty, loss in chosen.losses.items()
    )


def _moved_on(epoch: EpochRecord) -> EpochRecord:
    return epoch.model_copy(update={"epoch": epoch.epoch + 1})
