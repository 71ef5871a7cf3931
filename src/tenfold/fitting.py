"""Fit a network to images: what the estimator and every stage that trains have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tenfold.core.progress import Progress
from tenfold.core.records.train import EpochRecord
from tenfold.core.settings import Settings
from tenfold.data.augmentation.policy import POLICIES
from tenfold.data.dataset import Images, ImageSplit
from tenfold.data.sample_randomness import derive_seed
from tenfold.engine.batches import TrainingBatches
from tenfold.engine.checkpoint import Checkpoint
from tenfold.engine.device import Device
from tenfold.engine.network import ImageNetwork, fit_normalization
from tenfold.engine.training import Training, TrainingResult
from tenfold.engine.training_settings import TrainingSettings
from tenfold.models.model import MODELS


@dataclass(frozen=True)
class NetworkPlan:
    """Which network is built for which images.

    Parameters
    ----------
    model
        Registered name of the architecture.
    settings
        Its settings.
    image_shape
        Height, width and channels.
    class_count
        Number of classes.
    """

    model: str
    settings: Settings
    image_shape: tuple[int, int, int]
    class_count: int

    @classmethod
    def parse(
        cls,
        model: str,
        settings: Mapping[str, Any],
        *,
        image_shape: tuple[int, int, int],
        class_count: int,
    ) -> NetworkPlan:
        """Check a model's name and plain settings.

        Raises
        ------
        UnknownNameError
            If there is no such model.
        SettingsError
            If a setting is unknown or not valid.
        """
        parsed = MODELS[model].settings_type.parse(settings, where="model")
        return cls(model, parsed, image_shape, class_count)

    def build(self, *, seed: int, mean: Tensor, standard_deviation: Tensor) -> ImageNetwork:
        """Build the network with fresh weights drawn from `seed`.

        Parameters
        ----------
        seed
            Of the initial weights.
        mean, standard_deviation
            To normalise by, one a channel, scale 0 to 255.
        """
        generator = torch.Generator().manual_seed(derive_seed(seed, "weights"))
        body = MODELS[self.model].build(
            self.settings,
            image_shape=self.image_shape,
            class_count=self.class_count,
            generator=generator,
        )
        return ImageNetwork(body, mean, standard_deviation)

    def restore(self, tensors: Mapping[str, Tensor]) -> ImageNetwork:
        """Build the network and put stored weights in, normalisation included."""
        channels = self.image_shape[2]
        network = self.build(
            seed=0, mean=torch.zeros(channels), standard_deviation=torch.ones(channels)
        )
        network.load_state_dict(dict(tensors))
        return network


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network, with the weights that were chosen, and how it came about."""

    network: ImageNetwork
    result: TrainingResult
    last_weights: dict[str, Tensor]


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
        Whether augmentation may flip.
    seed
        The one seed of weights, order, augmentation and dropout.
    device
        Where to compute.
    initial_weights
        Start from these (normalisation included) instead of fresh ones.
    checkpoint, progress, title, on_epoch
        See `Training`.
    """
    if initial_weights is None:
        mean, deviation = fit_normalization(train.images, settings.normalization)
        network = plan.build(seed=seed, mean=mean, standard_deviation=deviation)
    else:
        network = plan.restore(initial_weights)
    training = Training(
        network,
        TrainingBatches(
            train,
            settings.batch_size,
            POLICIES[settings.augmentation],
            mirror_keeps_class,
            seed,
            device.torch_device,
        ),
        validation=validation,
        settings=settings,
        seed=seed,
        device=device,
        checkpoint=checkpoint,
        progress=progress,
        title=title,
        on_epoch=on_epoch,
    )
    result = training.run()
    last_weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if settings.weights == "best" and result.best_weights:
        network.load_state_dict(result.best_weights)
    return FittedNetwork(network, result, last_weights)


def take(split: ImageSplit, indices: Any) -> ImageSplit:
    """Give the images at `indices` as a split of their own (a copy)."""
    return ImageSplit(_rows(split.images, indices), split.labels[indices])


def _rows(images: Images, indices: Any) -> Images:
    rows: Images = images[indices]
    return rows
