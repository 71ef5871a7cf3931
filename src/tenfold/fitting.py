"""Fit a network to images: what the estimator and every stage that trains have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.core.errors import SettingsError
from tenfold.core.progress import Progress
from tenfold.core.records.train import EpochRecord, ProbeRecord
from tenfold.data.augmentation.augmentation import augmentation_named
from tenfold.data.dataset import Images, ImageSplit
from tenfold.data.rebalancing.choice import ChosenRebalancing, choose_rebalancing
from tenfold.engine.averaging import copied_weights
from tenfold.engine.batches import TrainingBatches
from tenfold.engine.checkpoint import Checkpoint
from tenfold.engine.device import Device
from tenfold.engine.memory_need import check_memory, enough_memory
from tenfold.engine.rate_sweep import RateSweep
from tenfold.engine.training import Training, TrainingResult
from tenfold.engine.training_settings import TrainingSettings
from tenfold.frozen_fitting import HeadFit
from tenfold.models.model import (
    MODELS,
    ImageNetwork,
    NetworkPlan,
    as_pixels,
    fit_normalization,
)

FITTING_IMAGES = 5000
"""Training images that a network's first layer is fitted to, about (arXiv 2404.00498: 5,000)."""
_FITTING_VALUES = 250_000_000
"""Values in them at most: of images over 128 × 128 px there are fewer."""


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network, with the weights that were chosen, and how it came about.

    A time budget may have chosen another size than was asked for, and a network may not suit images
    that mirroring changes, so `plan` and `settings` are those that it was trained with.
    """

    plan: NetworkPlan
    settings: TrainingSettings
    network: ImageNetwork
    result: TrainingResult
    last_weights: dict[str, Tensor]
    rebalancing: ChosenRebalancing
    probe: ProbeRecord | None = None


def fit_network(
    plan: NetworkPlan,
    train: ImageSplit,
    settings: TrainingSettings,
    *,
    validation: ImageSplit | None = None,
    mirror_keeps_class: bool = True,
    seed: int,
    device: Device,
    initial_weights: Mapping[str, Tensor] | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    title: str = "Training",
    on_epoch: Callable[[EpochRecord], None] | None = None,
    started_at: float | None = None,
    classes: Sequence[str] | None = None,
    sweep: RateSweep | None = None,
) -> FittedNetwork:
    """Build a network, fit it to the training images, and choose its weights.

    Parameters
    ----------
    plan
        What to build.
    train
        The images to fit to; normalisation is fitted to them alone.
    settings
        How to train.
    validation
        Images to watch by, and to choose the best epoch by if the settings say so.
    mirror_keeps_class
        Whether augmentation may flip, and the network treat mirror images as one.
    seed
        The one seed of weights, order, augmentation and dropout.
    device
        Where to compute.
    initial_weights
        Start from these (normalisation included) instead of fresh ones.
    checkpoint, progress, title, on_epoch, started_at, sweep
        See `Training`.
    classes
        Names of the classes, for messages.

    Raises
    ------
    DataError
        If a class has no training image and the rebalancing needs one of each.
    TrainingError
        If a step does not fit into the memory.
    SettingsError
        If the settings ask for low resolution of a model that is built for one size, for a time
        budget of one whose head is fitted to features, or for what needs validation images where
        there are none.
    """
    if validation is None:
        _check_unwatched(settings)
    _check_size(plan, settings)
    plan = plan.suited_to(mirror_keeps_class=mirror_keeps_class)
    augmentation = augmentation_named(settings.augmentation)
    rebalancing = choose_rebalancing(settings.rebalance, train.counts(plan.class_count), classes)
    if initial_weights is None:
        mean, deviation = fit_normalization(train.images, settings.normalization)
        with enough_memory(plan.image_shape, settings.batch_size):
            network = plan.build(seed=seed, mean=mean, standard_deviation=deviation)
    else:
        network = plan.restore(initial_weights)
    if network.body.frozen is None:  # which computes in small blocks
        check_memory(network.body, plan.image_shape, settings.batch_size, device.torch_device)
    if initial_weights is None:
        network.body.prepare(lambda: _some_images(network, train.images))
    head = None
    if network.body.frozen is not None:
        _check_head(plan, settings)
        head = HeadFit(
            network,
            train,
            validation,
            settings,
            mirror_keeps_class=mirror_keeps_class,
            seed=seed,
            device=device,
            folder=None if checkpoint is None else checkpoint.path.parent / "features",
            progress=progress,
            title=title,
        ).run(on_epoch)
        on_epoch = head.counting_on(on_epoch)
    if head is not None and head.probe.fine_tune_epochs == 0:
        result = head.result
    else:
        training = Training(
            network,
            TrainingBatches(
                train,
                settings.batch_size,
                augmentation.policy,
                mirror_keeps_class,
                seed,
                device.torch_device,
                augmentation.mixing,
                rebalancing.plan.images_per_epoch,
            ),
            validation=validation,
            settings=settings if head is None else head.settings_after(settings),
            seed=seed,
            device=device,
            checkpoint=checkpoint,
            progress=progress,
            title=title,
            on_epoch=on_epoch,
            started_at=started_at,
            rebalancing=rebalancing.plan,
            sweep=sweep,
        )
        with enough_memory(plan.image_shape, settings.batch_size):
            result = training.run()
        result = result if head is None else head.joined(result)
    last_weights = copied_weights(network)
    if settings.weights == "best" and result.best_weights:
        network.load_state_dict(result.best_weights)
    return FittedNetwork(
        plan,
        settings,
        network,
        result,
        last_weights,
        rebalancing,
        None if head is None else head.probe,
    )


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
    if not has_validation:
        _check_unwatched(settings)
    _check_size(plan, settings)
    network = plan.suited_to(mirror_keeps_class=mirror_keeps_class).build_any()
    if network.body.frozen is not None:
        _check_head(plan, settings)


def _check_unwatched(settings: TrainingSettings) -> None:
    for name in settings.watched_settings:
        if name != "weights":  # the best of unwatched epochs is the last
            raise SettingsError(
                f"training.{name} is {getattr(settings, name)!r}, which follows the validation "
                "images, but there are none. Set training.validation_fraction above 0 (0.1 holds "
                f"out a tenth of the training images), or leave training.{name} at its default."
            )


def _check_size(plan: NetworkPlan, settings: TrainingSettings) -> None:
    if settings.low_resolution_share and not MODELS[plan.model].takes_any_size:
        raise SettingsError(
            f"training.low_resolution_share is {settings.low_resolution_share}, but model "
            f"{plan.model!r} takes images of one size only. Set it to 0, or choose another model."
        )


def _check_head(plan: NetworkPlan, settings: TrainingSettings) -> None:
    if settings.budget_seconds is not None:
        raise SettingsError(
            f"Model {plan.model!r} takes no time budget: the features of all images are "
            "computed first, however long that takes. Leave out --budget; a smaller "
            "model.input_size_px, or model.uses_mirrored=false, takes less time."
        )
    if settings.rebalance != "none":
        raise SettingsError(
            f"Model {plan.model!r} takes no rebalancing (training.rebalance is "
            f"{settings.rebalance!r}): its head is fitted to all features at once. Leave out "
            "--rebalance, or choose another model."
        )


def _some_images(network: ImageNetwork, images: Images) -> Tensor:
    """Give normalised images spread over the whole training split."""
    most = min(FITTING_IMAGES, _FITTING_VALUES // images[0].size)
    chosen = images[:: max(1, len(images) // max(1, most))]
    return network.normalized(as_pixels(chosen, torch.device("cpu")))
