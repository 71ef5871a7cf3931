"""Why the model said so: where it looked (Grad-CAM), and the training images most like it.

Selvaraju and others, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization" (arXiv 1610.02391): a map's channels, each weighted by the mean of the class score's
gradient over all places, are added up, and what is negative is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor, nn
from torch.nn import functional

from tenfold.core.errors import ModelFolderError
from tenfold.core.progress import Progress
from tenfold.core.records.evaluation import ExplainedMistakes
from tenfold.data.dataset import Images, ImageSplit, Labels
from tenfold.data.images.pillow import resize_images
from tenfold.data.splits import stratified_sample
from tenfold.data.store import AnyImages, image_blocks, in_memory, some_images
from tenfold.models.model import ImageNetwork, as_pixels
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
    compared = some_images(train.images, chosen)
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


_LEAST_SIDE_PX = 4
"""Of the map that is taken, if there is one: on a map of 2 × 2 everything lies everywhere."""
_BATCH = 64  # gradients keep every activation, so fewer than in inference

HeatMaps = npt.NDArray[np.float32]
"""Shape (N, H, W), from 0 to 1, the largest of each 1; all 0 where nothing speaks for the class."""


def find_spatial_layer(
    network: ImageNetwork, image_shape: tuple[int, int, int]
) -> SpatialLayer | None:
    """Find the last map that is at least 4 × 4, or else the last that is larger than 1 × 1.

    The network is run once and watched, so its architecture does not matter.

    Parameters
    ----------
    network
        Any network.
    image_shape
        Height, width and channels.

    Returns
    -------
    SpatialLayer or None
        None if the network has no such map.
    """
    height, width, channels = image_shape
    seen: list[SpatialLayer] = []
    calls: dict[str, int] = {}

    def watch(name: str, output: object) -> None:
        call = calls.get(name, 0)
        calls[name] = call + 1
        if isinstance(output, Tensor) and output.dim() == 4 and output.is_floating_point():
            size = tuple(output.shape[1:])
            if min(size[1:]) > 1:
                seen.append(SpatialLayer(name, call, (size[0], size[1], size[2])))

    handles = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: watch(name, output)
        )
        for name, module in network.body.named_modules()
        if name
    ]
    was_training = network.training
    network.eval()
    try:
        device = next(network.buffers()).device
        with torch.no_grad():
            network(torch.zeros(1, channels, height, width, dtype=torch.uint8, device=device))
    finally:
        for handle in handles:
            handle.remove()
        network.train(was_training)
    large = [layer for layer in seen if min(layer.shape[1:]) >= _LEAST_SIDE_PX]
    found = large or seen
    return found[-1] if found else None


@dataclass(frozen=True)
class SpatialLayer:
    """A place in a network where the features are a map.

    Parameters
    ----------
    name
        The module's, as `named_modules` gives it.
    call
        Which of its calls in one pass, from 0: a module may be used more than once.
    shape
        Channels, height and width of the map, for images of the size it was found with.
    """

    name: str
    call: int
    shape: tuple[int, int, int]


def heat_maps(
    network: ImageNetwork,
    images: Images,
    classes: npt.NDArray[np.int64],
    *,
    device: Device,
    layer: SpatialLayer,
) -> HeatMaps:
    """Give for each image how much each place speaks for a class.

    Computed in float32, in evaluation mode.

    Parameters
    ----------
    network
        On `device`.
    images
        uint8, shape (N, H, W, C).
    classes
        int64, shape (N,): the class to explain of each image.
    device
        Where to compute.
    layer
        From `find_spatial_layer`.

    Returns
    -------
    float32, shape (N, H, W).
    """
    was_training = network.training
    network.eval()
    parts = [np.zeros((0, *images.shape[1:3]), np.float32)]
    try:
        for start in range(0, len(images), _BATCH):
            block = images[start : start + _BATCH]
            chosen = torch.from_numpy(classes[start : start + _BATCH]).to(device.torch_device)
            parts.append(_block(network, as_pixels(block, device.torch_device), chosen, layer))
    finally:
        network.train(was_training)
    return np.concatenate(parts)


def _block(
    network: ImageNetwork, pixels: Tensor, classes: Tensor, layer: SpatialLayer
) -> npt.NDArray[np.float32]:
    module: nn.Module = network.body.get_submodule(layer.name)
    kept: list[Tensor] = []
    calls = 0

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
        nonlocal calls
        calls += 1
        if calls - 1 != layer.call:
            return None
        # Images need no gradient; where all weights are frozen, this is where gradients begin.
        kept.append(output if output.requires_grad else output.detach().requires_grad_())
        return kept[0].clone()  # what follows may change it in place

    handle = module.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = network(pixels)
            scores = logits.gather(1, classes[:, None]).sum()
            (gradients,) = torch.autograd.grad(scores, kept[0])  # (B, C, h, w)
    finally:
        handle.remove()
    weights = gradients.mean((2, 3), keepdim=True)
    raw = (weights * kept[0].detach()).sum(1, keepdim=True).relu().float()  # (B, 1, h, w)
    full = functional.interpolate(raw, pixels.shape[2:], mode="bilinear", align_corners=False)
    largest = full.amax((2, 3), keepdim=True)
    scaled = torch.where(largest > 0, full / largest.clamp_min(torch.finfo().tiny), full)
    result: npt.NDArray[np.float32] = scaled[:, 0].cpu().numpy()
    return result


MOST_BYTES = 24 * 2**20
"""Of an index: 5,000 images of 32 × 32 px with 512 features fit."""
_THUMBNAIL_PX = 64

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NeighbourIndex:
    """Training images in the feature space of a network.

    Parameters
    ----------
    mean
        float32, shape (dimensions,): of the features of the images in the index.
    features
        float16, shape (N, dimensions), less the mean, each row of length 1.
    labels
        int64, shape (N,).
    places
        int64, shape (N,): places in the training split.
    thumbnails
        uint8, shape (N, h, w, C); the images themselves where they are small.
    """

    mean: npt.NDArray[np.float32]
    features: npt.NDArray[np.float16]
    labels: Labels
    places: npt.NDArray[np.int64]
    thumbnails: Images

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def build(
        cls, features: Features, images: AnyImages, labels: Labels, places: npt.NDArray[np.int64]
    ) -> NeighbourIndex:
        """Make an index.

        Parameters
        ----------
        features
            Of the images, see `tenfold.training.inference`.
        images, labels, places
            Of the training split.
        """
        mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(
            mean, _unit(features - mean).astype(np.float16), labels, places, thumbnails_of(images)
        )

    def nearest(
        self, features: Features, count: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Find the most similar images of the index.

        Parameters
        ----------
        features
            Of the queries, float32, shape (M, dimensions).
        count
            Of each; fewer where the index is smaller.

        Returns
        -------
        rows
            int64, shape (M, count): rows of the index, the most similar first.
        similarities
            float32, of the same shape: cosines, 1 for the same direction.
        """
        similarities = _unit(features - self.mean) @ self.features.astype(np.float32).T
        rows = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
        return rows, np.take_along_axis(similarities, rows, axis=1)

    def to_bytes(self) -> bytes:
        """Give the index as a safetensors file."""
        arrays = {
            "mean": self.mean,
            "features": self.features,
            "labels": self.labels,
            "places": self.places,
            "thumbnails": self.thumbnails,
        }
        return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})

    @classmethod
    def from_bytes(cls, content: bytes, class_count: int) -> NeighbourIndex:
        """Read an index.

        Raises
        ------
        ModelFolderError
            If it is none, or its arrays do not fit each other or the classes.
        """
        try:
            arrays: dict[str, Any] = load(content)
            index = cls(**arrays)
            index._check(class_count)
        except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelFolderError(
                f"The model's index of training images cannot be used ({error}). Make the model "
                "folder again with: tenfold model --out RUN_FOLDER"
            ) from error
        return index

    def _check(self, class_count: int) -> None:
        count, dimensions = self.features.shape
        expected: dict[str, tuple[npt.NDArray[Any], type, tuple[int, ...]]] = {
            "mean": (self.mean, np.float32, (dimensions,)),
            "features": (self.features, np.float16, (count, dimensions)),
            "labels": (self.labels, np.int64, (count,)),
            "places": (self.places, np.int64, (count,)),
            "thumbnails": (self.thumbnails, np.uint8, (count, *self.thumbnails.shape[1:])),
        }
        for name, (array, kind, shape) in expected.items():
            if array.dtype != kind or array.shape != shape:
                raise ValueError(f"{name} is {array.dtype} {array.shape}")
        if self.thumbnails.ndim != 4 or self.thumbnails.shape[3] not in (1, 3):
            raise ValueError(f"thumbnails are {self.thumbnails.shape}")
        if count and not (self.labels.min() >= 0 and self.labels.max() < class_count):
            raise ValueError("a label is no class")


def _unit(vectors: Features) -> Features:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 1e-12, length, np.inf)).astype(np.float32)


def thumbnails_of(images: AnyImages) -> Images:
    """Give images scaled to 64 × 64 px where they are larger, else themselves."""
    if max(images.shape[1:3]) <= _THUMBNAIL_PX:
        return in_memory(images)
    return np.concatenate([resize_images(block, _THUMBNAIL_PX) for block in image_blocks(images)])


def images_that_fit(image_shape: tuple[int, int, int], dimensions: int, wanted: int) -> int:
    """Give how many of the wanted images an index may hold so that it stays small."""
    height, width, channels = image_shape
    side = min(max(height, width), _THUMBNAIL_PX)
    return min(wanted, MOST_BYTES // (side * side * channels + 2 * dimensions + 16))
