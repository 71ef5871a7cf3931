"""A small standard set of disturbances of images, five strengths each.

After Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations" (arXiv 1903.12261), with the strengths of their CIFAR-10-C; small shifts are added
to it. Everything is computed on uint8 arrays, and what is random depends on (seed, sample index)
alone, the same at every strength, so that curves over the strength are smooth.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtri

from tenfold.core.randomness import sample_uniforms
from tenfold.data.dataset import Images, Indices

Pixels = npt.NDArray[np.float32]

_REFERENCE_SIDE_PX = 32
"""The side of the images for which CIFAR-10-C chose its strengths; lengths grow with the side."""


@dataclass(frozen=True)
class Corruption:
    """One disturbance.

    Parameters
    ----------
    name
        In one word.
    description
        What is done, as part of a sentence.
    unit
        What the strengths measure.
    strengths
        From weak to strong.
    apply
        Takes uint8 images (N, H, W, C), their indices (N,), the seed and a strength; gives uint8
        images of the same shape.
    """

    name: str
    description: str
    unit: str
    strengths: tuple[float, ...]
    apply: Callable[[Images, Indices, int, float], Images]


def _brightness(images: Images, indices: Indices, seed: int, strength: float) -> Images:
    draws = sample_uniforms(seed, 0, indices, 1, stream="brightness")
    signs = np.where(draws < 0.5, -1.0, 1.0).reshape(-1, 1, 1, 1)
    return _rounded(images + np.float32(255 * strength) * signs.astype(np.float32))


def _contrast(images: Images, indices: Indices, seed: int, strength: float) -> Images:
    del indices, seed
    # Around the image's own mean colour, as CIFAR-10-C does.
    means = images.mean(axis=(1, 2), keepdims=True, dtype=np.float32)  # (N, 1, 1, C)
    return _rounded((images - means) * np.float32(strength) + means)


def _blur(images: Images, indices: Indices, seed: int, strength: float) -> Images:
    del indices, seed
    deviation_px = strength * _scale(images)
    blurred = images.astype(np.float32)
    for axis in (1, 2):
        blurred = gaussian_filter1d(blurred, deviation_px, axis=axis, mode="nearest")
    return _rounded(blurred)


def _noise(images: Images, indices: Indices, seed: int, strength: float) -> Images:
    height, width, channels = images.shape[1:]
    noisy = np.empty_like(images)
    for start in range(0, len(images), 256):  # float64 draws of all images would be large
        part = slice(start, start + 256)
        uniforms = sample_uniforms(
            seed, 0, indices[part], height * width * channels, stream="noise"
        )
        normal = ndtri(uniforms.clip(2**-54, None)).astype(np.float32)
        noise = normal.reshape(-1, height, width, channels)
        noisy[part] = _rounded(images[part] + np.float32(255 * strength) * noise)
    return noisy


def _jpeg(images: Images, indices: Indices, seed: int, strength: float) -> Images:
    del indices, seed
    decoded = np.empty_like(images)
    for place, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(
            file, "JPEG", quality=int(strength)
        )
        with Image.open(file) as opened:
            decoded[place] = np.asarray(opened).reshape(image.shape)
    return decoded


def _shift(images: Images, indices: Indices, seed: int, strength: float) -> Images:
    """Move each image in a direction of its own, up, down, left or right; the edge is repeated."""
    draws = sample_uniforms(seed, 0, indices, 1, stream="shift")[:, 0]
    direction = (draws * 4).astype(np.int64)
    shifted = np.empty_like(images)
    for value, (axis, sign) in enumerate(((1, -1), (1, 1), (2, -1), (2, 1))):
        members = direction == value
        side = images.shape[axis]
        places = np.arange(side) + sign * strength * side / _REFERENCE_SIDE_PX
        places = places.clip(0, side - 1)
        lower = np.floor(places).astype(np.int64)
        upper = np.minimum(lower + 1, side - 1)
        # Between two pixels where the shift is no whole number of them.
        share = (places - lower).astype(np.float32).reshape((-1, 1, 1) if axis == 1 else (-1, 1))
        part = images[members].astype(np.float32)
        moved = part.take(lower, axis=axis) * (1 - share) + part.take(upper, axis=axis) * share
        shifted[members] = _rounded(moved)
    return shifted


def _rounded(values: Pixels) -> Images:
    return values.round().clip(0, 255).astype(np.uint8)


def _scale(images: Images) -> float:
    return max(float(min(images.shape[1:3])) / _REFERENCE_SIDE_PX, 1.0)


CORRUPTIONS: tuple[Corruption, ...] = (
    Corruption(
        "brightness",
        "every pixel made brighter or, in half of the images, darker",
        "share of the full range",
        (0.05, 0.1, 0.15, 0.2, 0.3),
        _brightness,
    ),
    Corruption(
        "contrast",
        "pixels drawn towards the image's mean colour",
        "share of the contrast kept",
        (0.75, 0.5, 0.4, 0.3, 0.15),
        _contrast,
    ),
    Corruption(
        "blur",
        "Gaussian blur",
        "standard deviation in pixels of 1/32 of the side",
        (0.4, 0.6, 0.7, 0.8, 1.0),
        _blur,
    ),
    Corruption(
        "noise",
        "Gaussian noise of its own on every value",
        "standard deviation, share of the full range",
        (0.04, 0.06, 0.08, 0.09, 0.1),
        _noise,
    ),
    Corruption("JPEG", "JPEG compression", "quality", (80.0, 65.0, 58.0, 50.0, 40.0), _jpeg),
    Corruption(
        "shift",
        "moved up, down, left or right, the edge repeated",
        "in 1/32 of the side",
        (1.0, 2.0, 3.0, 4.0, 5.0),
        _shift,
    ),
)
"""The strengths of all but shift are those of CIFAR-10-C; those of shift are ours."""
