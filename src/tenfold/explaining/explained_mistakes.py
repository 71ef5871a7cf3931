"""The most confident mistakes explained: where the network looked, and what it was reminded of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from tenfold.core.progress import Progress
from tenfold.core.records.evaluation import ExplainedMistakes
from tenfold.data.dataset import Images, ImageSplit
from tenfold.data.splits import stratified_sample
from tenfold.explaining.grad_cam import find_spatial_layer, heat_maps
from tenfold.explaining.neighbour_index import NeighbourIndex
from tenfold.models.model import ImageNetwork
from tenfold.training.device import Device
from tenfold.training.inference import features_and_logits

_NEIGHBOURS = 3
_MOST_COMPARED = 10_000
"""Training images that are looked through, a stratified sample where there are more: about as much
work as predicting CIFAR-10's test split. All 50,000 took as long as a short training."""


def explain_mistakes(
    network: ImageNetwork,
    images: Images,
    predicted: npt.NDArray[np.int64],
    train: ImageSplit,
    *,
    seed: int,
    device: Device,
    precision: torch.dtype,
    progress: Progress,
) -> ExplainedMistakes:
    """Say of each mistake what the page shows.

    Parameters
    ----------
    network
        The trained network, on `device`.
    images, predicted
        The mistakes, uint8, shape (N, H, W, C), and the classes they were taken for, int64.
    train
        What it was trained on.
    seed
        Of the sample.
    device, precision
        As in `tenfold.training.inference.predict_logits`.
    progress
        Who is told.
    """
    layer = find_spatial_layer(network, (*images.shape[1:3], images.shape[3]))
    heats = np.zeros((0, *images.shape[1:3]), np.float32)
    if layer is not None:
        heats = heat_maps(network, images, predicted, device=device, layer=layer)
    chosen = stratified_sample(train.labels, _MOST_COMPARED, seed)
    compared = train.images[chosen] if len(chosen) < len(train) else train.images
    with progress.task("Comparing with training images", len(chosen), unit="images") as task:
        features, _ = features_and_logits(
            network, compared, device=device, precision=precision, on_block=task.advance
        )
    index = NeighbourIndex.build(features, compared, train.labels[chosen], chosen)
    own, _ = features_and_logits(network, images, device=device, precision=precision)
    rows, _ = index.nearest(own, _NEIGHBOURS)
    return ExplainedMistakes(
        heats=np.round(255 * heats).astype(np.uint8),
        neighbour_labels=index.labels[rows],
        neighbour_images=index.thumbnails[rows],
    )
