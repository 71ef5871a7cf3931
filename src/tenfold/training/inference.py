"""A trained network in use: logits, features, and views of one image.

Test-time augmentation: the mean of what a network says of an image and of views of it.
It costs a prediction for every view, and an accuracy that it raised does not compare with a plain
one, so it is an option and reported apart. Views as in Keller Jordan's arXiv 2404.00498 (section
3.5): the mirror image, and both moved by a pixel along the diagonals.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tenfold.data.dataset import Images
from tenfold.data.feature_rows import MOST_KEPT_BYTES, Features, NewFeatures
from tenfold.data.store import AnyImages, StoredImages, image_blocks
from tenfold.models.model import ImageNetwork, as_pixels
from tenfold.training.device import Device
from tenfold.training.feature_store import feature_store

INFERENCE_BATCH_SIZE = 500  # activations of 500 images of 32×32 stay within a few hundred MB
_BLOCK_ROWS = 8192  # of features that lie in a file
_MOST_VALUES = 8_000_000
"""Of a batch; 500 images of 64 × 64 px are one batch still."""


@torch.inference_mode()
def predict_logits(
    network: ImageNetwork,
    images: AnyImages,
    *,
    device: Device,
    precision: torch.dtype = torch.float32,
    batch_size: int = INFERENCE_BATCH_SIZE,
    is_remembered: bool = True,
) -> npt.NDArray[np.float32]:
    """Give logits of shape (N, classes) for uint8 images (N, H, W, C), in evaluation mode.

    `is_remembered` says whether images will come again, for whose features see `frozen_features`.
    """
    if network.body.frozen is not None:
        features = frozen_features(
            network, images, device=device, precision=precision, is_remembered=is_remembered
        )
        known: npt.NDArray[np.float32] = logits_of_features(network, features, device).numpy()
        return known
    blocks = logit_blocks(
        network, images, device=device, precision=precision, batch_size=batch_size
    )
    joined: npt.NDArray[np.float32] = np.concatenate([block.cpu().numpy() for block in blocks])
    return joined


def logit_blocks(
    network: ImageNetwork,
    images: AnyImages,
    *,
    device: Device,
    precision: torch.dtype,
    batch_size: int,
) -> Iterator[Tensor]:
    """Give the logits block by block, in evaluation mode; see `predict_logits`."""
    batch_size = fitting_batch_size(batch_size, images.shape[1:])
    was_training = network.training
    network.eval()
    try:
        for block in image_blocks(images, batch_size):
            pixels = as_pixels(block, device.torch_device)
            with device.autocast(precision):
                logits: Tensor = network(pixels)
            yield logits
    finally:
        network.train(was_training)


def fitting_batch_size(batch_size: int, image_shape: tuple[int, ...]) -> int:
    """Give a whole fraction of a batch's size at which large images need no more memory."""
    values = math.prod(image_shape)
    parts = (part for part in range(1, batch_size + 1) if batch_size % part == 0)
    return next(
        (batch_size // part for part in parts if batch_size // part * values <= _MOST_VALUES), 1
    )


def probabilities_from_logits(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Give the softmax over the last axis, computed in float64 and rounded once."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities: npt.NDArray[np.float64] = exponentials / exponentials.sum(-1, keepdims=True)
    return probabilities.astype(np.float32)


def features_and_logits(
    network: ImageNetwork,
    images: AnyImages,
    *,
    device: Device,
    precision: torch.dtype = torch.float32,
    batch_size: int = INFERENCE_BATCH_SIZE,
    on_block: Callable[[int], None] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Give the features of not too many images in memory, and their logits.

    See `stored_features_and_logits`.

    Returns
    -------
    features
        float32, shape (N, any).
    logits
        float32, shape (N, classes).
    """
    features, logits = stored_features_and_logits(
        network,
        images,
        device=device,
        precision=precision,
        batch_size=batch_size,
        on_block=on_block,
    )
    return features[:].float().numpy(), logits


@torch.inference_mode()
def stored_features_and_logits(
    network: ImageNetwork,
    images: AnyImages,
    *,
    device: Device,
    precision: torch.dtype = torch.float32,
    batch_size: int = INFERENCE_BATCH_SIZE,
    on_block: Callable[[int], None] | None = None,
    most_bytes: int = MOST_KEPT_BYTES,
) -> tuple[Features, npt.NDArray[np.float32]]:
    """Give the input of the linear layer that the network runs last, and its logits.

    In evaluation mode.

    Any architecture will do: the layer is found by watching which one runs last, not by its name.
    A network without a linear layer gives its logits instead.

    Parameters
    ----------
    network
        The trained network.
    images
        uint8, shape (N, H, W, C).
    device, precision, batch_size
        As in `predict_logits`.
    on_block
        Told the number of images of each block that is done.
    most_bytes
        Of features that are given as a tensor; more are given as rows of a file.

    Returns
    -------
    features
        Shape (N, any), on the CPU.
    logits
        float32, shape (N, classes).
    """
    if network.body.frozen is not None:
        known = frozen_features(
            network,
            images,
            device=device,
            precision=precision,
            on_images=on_block,
            most_bytes=most_bytes,
        )
        return known, logits_of_features(network, known, device).numpy()
    features = NewFeatures(len(images), most_bytes, feature_store().folder)
    logits: list[npt.NDArray[np.float32]] = []
    seen: list[Tensor] = []

    def watch(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[:] = inputs[:1]

    handles = [
        layer.register_forward_pre_hook(watch)
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    done = 0
    try:
        for output in logit_blocks(
            network, images, device=device, precision=precision, batch_size=batch_size
        ):
            last = seen[0] if seen else output
            features.put(np.arange(done, done + len(output)), last.flatten(1).float().cpu())
            logits.append(output.cpu().numpy())
            done += len(output)
            if on_block is not None:
                on_block(len(output))
    finally:
        for handle in handles:
            handle.remove()
    return features.finished(), np.concatenate(logits)


LEAST_REMEMBERED_IMAGES = 100
"""Fewer images are computed each time, where no folder keeps them: they rarely come again."""
LEAST_KEPT_IMAGES = 10
"""The same where a folder does: finding out whether the backbone is known takes as long."""


@torch.no_grad()
def frozen_features(
    network: ImageNetwork,
    images: AnyImages,
    *,
    device: Device,
    precision: torch.dtype,
    is_remembered: bool = True,
    on_images: Callable[[int], None] | None = None,
    most_bytes: int = MOST_KEPT_BYTES,
) -> Features:
    """Give what the head reads of every image, on the CPU, in evaluation mode.

    Parameters
    ----------
    network
        Its body has a frozen part.
    images
        uint8, shape (N, H, W, C).
    device, precision
        Where, and in what type the convolutions compute.
    is_remembered, on_images, most_bytes
        See `tenfold.training.feature_store.FeatureStore.features`.

    Returns
    -------
    Features
        Shape (N, D).
    """
    with _computing(network, device, precision) as compute:
        is_kept = feature_store().is_kept
        if len(images) < (LEAST_KEPT_IMAGES if is_kept else LEAST_REMEMBERED_IMAGES):
            features = compute(images[:]).cpu()
            if on_images is not None:
                on_images(len(images))
            return features
        return feature_store().features(
            frozen_key(network, device, precision),
            images,
            compute,
            is_remembered=is_remembered,
            on_images=on_images,
            most_bytes=most_bytes,
        )


@torch.no_grad()
def block_features(
    network: ImageNetwork, block: Images, device: Device, precision: torch.dtype
) -> Tensor:
    """Compute what the head reads of a few images, which `frozen_features` may know already."""
    with _computing(network, device, precision) as compute:
        return compute(block).cpu()


@contextmanager
def _computing(
    network: ImageNetwork, device: Device, precision: torch.dtype
) -> Iterator[Callable[[Images], Tensor]]:
    """Give what computes the features of a few images, in evaluation mode."""
    body = network.body.frozen
    assert body is not None
    was_training = network.training
    network.eval()
    with torch.inference_mode(False):  # else the weights are good for inference alone, for ever
        network.to(device.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def compute(block: Images) -> Tensor:
        pixels = as_pixels(block, device.torch_device)
        with device.autocast(precision):
            return body.features(network.normalized(pixels))

    try:
        yield compute
    finally:
        network.train(was_training)


def frozen_key(network: ImageNetwork, device: Device, precision: torch.dtype) -> str:
    """Give what the features of a frozen backbone depend on but the pixels."""
    body = network.body.frozen
    assert body is not None
    return f"{_weights_digest(network)} {body.features_key()} {device.kind} {precision}"


def _weights_digest(network: ImageNetwork) -> str:
    """Give a digest of all weights but the head's."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        if not name.startswith("body.head."):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().data)
    return digest.hexdigest()


@torch.no_grad()
def logits_of_features(network: ImageNetwork, features: Features, device: Device) -> Tensor:
    """Give the head's logits of features, shape (N, classes), float32, on the CPU."""
    body = network.body.frozen
    assert body is not None
    if isinstance(features, Tensor):
        return body.logits(features.to(device.torch_device)).float().cpu()
    starts = range(0, len(features), _BLOCK_ROWS)
    return torch.cat(
        [
            body.logits(features[start : start + _BLOCK_ROWS].to(device.torch_device)).float().cpu()
            for start in starts
        ]
    )


ViewSet = Literal["none", "mirror", "mirror-shift", "mirror-crop"]

_SHIFT_WEIGHT = 0.25
"""Of each of the two moved views; the unmoved one has the other half."""
_CROP_WEIGHT = 1 / 3
_CROPPED_SHARE = 0.8
"""Of height and width that the middle has: docs/experiments.md has what it gave."""


def predict_logits_of_views(
    network: ImageNetwork,
    images: AnyImages,
    chosen: ViewSet,
    *,
    mirror_keeps_class: bool,
    device: Device,
    precision: torch.dtype,
) -> npt.NDArray[np.float32]:
    """Give the weighted mean of the logits of all views, shape (N, classes).

    Parameters
    ----------
    network, images, device, precision
        See `tenfold.training.inference.predict_logits`.
    chosen, mirror_keeps_class
        See `views`.
    """
    total: npt.NDArray[np.float32] | None = None
    for weight, view in views(images, chosen, mirror_keeps_class=mirror_keeps_class):
        logits = weight * predict_logits(network, view, device=device, precision=precision)
        total = logits if total is None else total + logits
    assert total is not None
    return total.astype(np.float32)


def views(
    images: AnyImages, chosen: ViewSet, *, mirror_keeps_class: bool
) -> list[tuple[float, AnyImages]]:
    """Give the views of images and their weights, which sum to 1.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C).
    chosen
        ``none``: the images alone; ``mirror``: and their mirror images; ``mirror-shift``: both, and
        both moved by a pixel to the upper left and to the lower right, the edge reflected;
        ``mirror-crop``, for photographs: both, and the middle of both, enlarged to their size.
    mirror_keeps_class
        Whether a mirrored image still shows its class; if not, nothing is mirrored.
    """
    moved: list[tuple[float, AnyImages]] = [(1.0, images)]
    if chosen == "mirror-shift":
        moved = [
            (1 - 2 * _SHIFT_WEIGHT, images),
            (_SHIFT_WEIGHT, _moved(images, 0)),
            (_SHIFT_WEIGHT, _moved(images, 2)),
        ]
    if chosen == "mirror-crop":
        moved = [(1 - _CROP_WEIGHT, images), (_CROP_WEIGHT, _middle(images))]
    if chosen == "none" or not mirror_keeps_class:
        return moved
    return [(weight / 2, view) for weight, plain in moved for view in (plain, mirrored(plain))]


def _moved(images: AnyImages, start: int) -> AnyImages:
    """Cut the images out of themselves padded by a reflected pixel, from row and column `start`."""
    if isinstance(images, StoredImages):
        return images.changed(partial(_moved_pixels, start=start))
    return _moved_pixels(images, start)


def _moved_pixels(images: Images, start: int) -> Images:
    if min(images.shape[1:3]) < 2:  # nothing to reflect
        return images
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    height, width = images.shape[1:3]
    cut: Images = padded[:, start : start + height, start : start + width]
    return np.ascontiguousarray(cut)


def _middle(images: AnyImages) -> AnyImages:
    """Cut the middle out of images and enlarge it to their size."""
    if isinstance(images, StoredImages):
        return images.changed(_middle_pixels)
    return _middle_pixels(images)


def _middle_pixels(images: Images) -> Images:
    height, width = images.shape[1:3]
    rows, columns = (max(1, round(_CROPPED_SHARE * side)) for side in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = np.ascontiguousarray(images[:, top : top + rows, left : left + columns])
    pixels = torch.from_numpy(middle).permute(0, 3, 1, 2)
    enlarged = nn.functional.interpolate(
        pixels, size=(height, width), mode="bilinear", align_corners=False
    )
    return np.ascontiguousarray(enlarged.permute(0, 2, 3, 1).numpy())


def mirrored(images: AnyImages) -> AnyImages:
    """Give images (N, H, W, C) with left and right exchanged; stored ones when they are read."""
    if isinstance(images, StoredImages):
        return images.changed(_mirrored_pixels)
    return _mirrored_pixels(images)


def is_mirrored_alone(images: StoredImages) -> bool:
    """Say whether left and right are exchanged, and nothing else is done to the pixels."""
    return images.changes == (_mirrored_pixels,)


def _mirrored_pixels(images: Images) -> Images:
    return np.ascontiguousarray(images[:, :, ::-1])
