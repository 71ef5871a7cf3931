"""Fit a network to images: what the estimator and every stage that trains have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tenfold.core.errors import SettingsError
from tenfold.core.records.training import BudgetRecord, ProbeRecord, RebalancingRecord
from tenfold.data.augmentation import augmentation_named
from tenfold.data.dataset import ImageSplit
from tenfold.data.rebalancing import choose_rebalancing
from tenfold.data.store import AnyImages
from tenfold.models.model import (
    MODELS,
    ImageNetwork,
    NetworkPlan,
    as_pixels,
    copied_weights,
    fit_normalization,
)
from tenfold.training.budget import PROBE_STEPS, choose_for_budget, network_sizes, with_budget
from tenfold.training.checkpoint import TrainingResult
from tenfold.training.device import Device, check_memory, enough_memory
from tenfold.training.head import HeadFit
from tenfold.training.loop import Trainer, Training
from tenfold.training.settings import ChosenWeights, TrainingSettings
from tenfold.training.transfer_budget import (
    TransferWork,
    choose_for_transfer,
    seconds_of_an_image,
)

FITTING_IMAGES = 5000
"""Training images that a network's first layer is fitted to, about (arXiv 2404.00498: 5,000)."""
_FITTING_VALUES = 250_000_000
"""Values in them at most: of images over 128 × 128 px there are fewer."""


@dataclass(frozen=True, kw_only=True)
class FittedNetwork(TrainingResult):
    """A trained network, with the weights that were chosen, and how it came about.

    A time budget may have chosen another size than was asked for, and a network may not suit images
    that mirroring changes, so `plan` and `settings` are those that it was trained with.
    """

    plan: NetworkPlan
    settings: TrainingSettings
    network: ImageNetwork
    last_weights: dict[str, Tensor]
    rebalancing: RebalancingRecord
    probe: ProbeRecord | None
    """How the head was fitted, if it was fitted on its own."""
    budget: BudgetRecord | None
    """What the time budget chose, if there was one."""

    @property
    def chosen_weights(self) -> ChosenWeights:
        """Give which weights the network holds."""
        return "best" if self.settings.weights == "best" and self.best_weights else "last"


def fit_network(
    trainer: Trainer,
    plan: NetworkPlan,
    train: ImageSplit,
    validation: ImageSplit | None = None,
    *,
    initial_weights: Mapping[str, Tensor] | None = None,
    shared_by: Callable[[Training], None] | None = None,
) -> FittedNetwork:
    """Choose the size for the time budget, if there is one, build, train, and choose the weights.

    Parameters
    ----------
    trainer
        How to train.
    plan
        What to build.
    train
        The images to fit to; normalisation is fitted to them alone.
    validation
        Images to watch by, and to choose the best epoch by if the settings say so.
    initial_weights
        Start from these (normalisation included) instead of fresh ones; the size is theirs.
    shared_by
        Trains to the end by several workers, before this process takes it over; None for this
        process alone.

    Raises
    ------
    DataError
        If a class has no training image and the rebalancing needs one of each.
    TrainingError
        If a step does not fit into the memory.
    SettingsError
        If the settings ask for low resolution of a model that is built for one size, or for what
        needs validation images where there are none.
    """
    _check_settings(plan, trainer.settings, has_validation=validation is not None)
    budget = None
    if trainer.settings.budget_seconds is not None:
        if trainer.started_at is None:
            trainer = replace(trainer, started_at=time.monotonic())
        budget = _budget(trainer, plan, train, validation, can_choose=initial_weights is None)
        plan, settings = with_budget(budget, plan, trainer.settings)
        trainer = replace(trainer, settings=settings)
    settings = trainer.settings
    plan = plan.suited_to(mirror_keeps_class=trainer.mirror_keeps_class)
    counts = train.counts(plan.class_count)
    rebalancing = choose_rebalancing(settings.rebalance, counts, trainer.classes)
    network = _built(trainer, plan, train.images, initial_weights)

    def trained(trainer: Trainer) -> TrainingResult:
        with enough_memory(plan.image_shape, settings.batch_size):
            training = Training(trainer, network, train, validation, rebalancing)
            if shared_by is not None and not training.is_over:
                shared_by(training)
            return training.run()

    if network.body.frozen is None:
        probe, result = None, trained(trainer)
    else:
        head = HeadFit(trainer, network, train, validation).run()
        probe, result = head.probe, head.result
        if probe.fine_tune_epochs and trainer.is_late:
            probe = probe.model_copy(update={"fine_tune_epochs": 0})
        if probe.fine_tune_epochs:
            result = head.joined(trained(head.trainer_after(trainer)))
    fitted = FittedNetwork(
        **vars(result),
        plan=plan,
        settings=settings,
        network=network,
        last_weights=copied_weights(network),
        rebalancing=rebalancing,
        probe=probe,
        budget=budget,
    )
    if fitted.chosen_weights == "best":
        network.load_state_dict(fitted.best_weights)
    return fitted


def check_fit(
    plan: NetworkPlan,
    settings: TrainingSettings,
    *,
    has_validation: bool,
    mirror_keeps_class: bool,
) -> None:
    """Check, by building the network once, that `fit_network` can begin.

    Raises
    ------
    ImageShapeError
        If the images are too small for the network.
    SettingsError
        See `fit_network`.
    """
    _check_settings(plan, settings, has_validation=has_validation)
    network = plan.suited_to(mirror_keeps_class=mirror_keeps_class).build_any()
    if network.body.frozen is not None:
        _check_head(plan, settings)


def seconds_per_image(
    plan: NetworkPlan, train: ImageSplit, settings: TrainingSettings, *, device: Device
) -> float:
    """Train a throw-away network for a few steps and give the seconds an image takes.

    The time budget and low resolution in the settings are left out.
    """
    count = min(len(train), settings.batch_size * PROBE_STEPS // 2)
    few = ImageSplit(train.images[:count], train.labels[:count])
    probe = settings.model_copy(
        update={
            "epochs": 2,
            "budget_seconds": None,
            "low_resolution_share": 0.0,
            "weights": "last",
            "least_steps": 0,
            "rebalance": "none",  # the few images may lack a class
            "schedule": "constant",
            "early_stopping_patience": None,
        }
    )
    fitted = fit_network(Trainer(probe, seed=0, device=device), plan, few)
    return fitted.history[-1].seconds / count


def _budget(
    trainer: Trainer,
    plan: NetworkPlan,
    train: ImageSplit,
    validation: ImageSplit | None,
    *,
    can_choose: bool,
) -> BudgetRecord:
    """Choose what is trained in the time budget; what an attempt chose that was killed stays."""
    assert trainer.started_at is not None
    checkpoint = trainer.checkpoint
    kept = None if checkpoint is None else checkpoint.path.with_suffix(".budget.json")
    if kept is not None and kept.is_file():
        return BudgetRecord.read(kept)
    spent_seconds = time.monotonic() - trainer.started_at
    if MODELS[plan.model].fits_head and can_choose:
        budget = _transfer_budget(trainer, plan, train, validation)
    else:
        budget = choose_for_budget(
            plan,
            trainer.settings,
            network_sizes(plan.model) if can_choose else (),
            train_count=len(train),
            spent_seconds=spent_seconds,
            measure=lambda plan, settings: seconds_per_image(
                plan, train, settings, device=trainer.device
            ),
        )
    if kept is not None:
        budget.write(kept)
    trainer.progress.say(budget.sentence)
    return budget


def _transfer_budget(
    trainer: Trainer, plan: NetworkPlan, train: ImageSplit, validation: ImageSplit | None
) -> BudgetRecord:
    """Choose what is done of a pretrained network's training, measuring this machine."""
    settings = trainer.settings
    assert trainer.started_at is not None
    assert settings.budget_seconds is not None
    seconds = seconds_of_an_image(
        plan, train.images, device=trainer.device, precision=trainer.precision
    )
    work = TransferWork(
        train_count=len(train),
        validation_count=0 if validation is None else len(validation),
        class_count=plan.class_count,
        is_mirrored=trainer.mirror_keeps_class,
        seconds_left=settings.budget_seconds - (time.monotonic() - trainer.started_at),
        seconds_an_image=seconds,
    )
    return choose_for_transfer(plan, settings, work)


def _built(
    trainer: Trainer,
    plan: NetworkPlan,
    images: AnyImages,
    initial_weights: Mapping[str, Tensor] | None,
) -> ImageNetwork:
    """Build the network as its training begins with it, if that fits into the memory."""
    settings = trainer.settings
    if initial_weights is None:
        mean, deviation = fit_normalization(images, settings.normalization)
        with enough_memory(plan.image_shape, settings.batch_size):
            network = plan.build(seed=trainer.seed, mean=mean, standard_deviation=deviation)
    else:
        network = plan.restore(initial_weights)
    if network.body.frozen is None:
        device = trainer.device.torch_device
        check_memory(network.body, plan.image_shape, settings.batch_size, device)
    else:  # which computes in small blocks
        _check_head(plan, settings)
    if initial_weights is None:
        network.body.prepare(lambda: _some_images(network, images))
    return network


def _some_images(network: ImageNetwork, images: AnyImages) -> Tensor:
    """Give normalised images spread over the whole training split."""
    most = min(FITTING_IMAGES, _FITTING_VALUES // images[0].size)
    chosen = images[:: max(1, len(images) // max(1, most))]
    return network.normalized(as_pixels(chosen, torch.device("cpu")))


def _check_settings(plan: NetworkPlan, settings: TrainingSettings, *, has_validation: bool) -> None:
    for name in () if has_validation else settings.watched_settings:
        if name != "weights":  # the best of unwatched epochs is the last
            raise SettingsError(
                f"training.{name} is {getattr(settings, name)!r}, which follows the validation "
                "images, but there are none. Set training.validation_fraction above 0 (0.1 holds "
                f"out a tenth of the training images), or leave training.{name} at its default."
            )
    if settings.micro_batches is not None:
        check_shareable(plan.model)
    if getattr(plan.settings, "fine_tune_stages", None) is not None:
        _check_frozen_stages(settings)
    if settings.low_resolution_share and not MODELS[plan.model].takes_any_size:
        raise SettingsError(
            f"training.low_resolution_share is {settings.low_resolution_share}, but model "
            f"{plan.model!r} takes images of one size only. Set it to 0, or choose another model."
        )


def check_shareable(model: str) -> None:
    """Check that a model's training can be cut into micro-batches, which workers may share.

    Raises
    ------
    SettingsError
        If it is a pretrained one, whose head is fitted.
    """
    if MODELS[model].fits_head:
        raise SettingsError(
            f"Model {model!r} fits its head to all features at once, which cannot be cut into "
            "micro-batches for --workers (training.micro_batches). Leave them out, or choose a "
            "recipe that trains a network from its beginning: --recipe fast, cnn or resnet."
        )


def _check_frozen_stages(settings: TrainingSettings) -> None:
    """Check that an image's view is what is shown of it, of one size and alone."""
    mixes = augmentation_named(settings.augmentation).mixing is not None
    if not (settings.low_resolution_share or mixes):
        return
    name = "augmentation" if mixes else "low_resolution_share"
    without = "one that mixes no images" if mixes else "0"
    raise SettingsError(
        f"training.{name} is {getattr(settings, name)!r}, but with model.fine_tune_stages each "
        "view of an image is computed once, alone and in its whole size. Set it to "
        f"{without}, or leave out model.fine_tune_stages to train all stages."
    )


def _check_head(plan: NetworkPlan, settings: TrainingSettings) -> None:
    if settings.rebalance != "none":
        raise SettingsError(
            f"Model {plan.model!r} takes no rebalancing (training.rebalance is "
            f"{settings.rebalance!r}): its head is fitted to all features at once. Leave out "
            "--rebalance, or choose another model."
        )
