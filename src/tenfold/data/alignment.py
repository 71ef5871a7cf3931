"""Lay one image over another: the stretch and shift under which the two correlate best.

Gauss-Newton steps on the normalised images, so that contrast and brightness drop out: Lucas and
Kanade 1981; Evangelidis and Psarakis 2008, "Parametric image alignment using enhanced correlation
coefficient maximization", doi:10.1109/TPAMI.2008.113. Many pairs are laid over each other at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_LARGEST_STRETCH = 4 / 3
_LARGEST_SHIFT = 0.375  # 6 of 32 pixels, on the scale -1 to 1
_LARGEST_STEP = 0.1
_DAMPING = 1e-2  # of Levenberg and Marquardt
_SMALL = 1e-6


@dataclass(frozen=True)
class Alignment:
    """Where the second image of each pair has to be read so that it fits the first.

    Parameters
    ----------
    stretch_and_shift
        Shape (N, 4): horizontal and vertical stretch, horizontal and vertical shift. A pixel of
        the first image at (x, y), each from -1 to 1, corresponds to the second's at
        (stretch_x · x + shift_x, stretch_y · y + shift_y).
    correlation
        Shape (N,): normalised correlation where both overlap.
    """

    stretch_and_shift: Tensor
    correlation: Tensor


def identity(count: int) -> Tensor:
    """Give the stretch and shift of `count` pairs that leave them as they are."""
    return torch.tensor([1.0, 1.0, 0.0, 0.0]).repeat(count, 1)


def align(first: Tensor, second: Tensor, start: Tensor, *, steps: int) -> Alignment:
    """Find the stretch and shift under which each pair correlates best.

    Parameters
    ----------
    first, second
        Float, shape (N, S, S).
    start
        Stretch and shift to begin from, shape (N, 4).
    steps
        Gauss-Newton steps; the best of all places visited counts, the first included.
    """
    layers = with_gradients(second)
    place = start
    best_place, best = start, torch.full((len(first),), -2.0)
    for step in range(steps + 1):
        correlation, following = _step(first, layers, place, is_last=step == steps)
        is_better = correlation > best
        best = torch.where(is_better, correlation, best)
        best_place = torch.where(is_better[:, None], place, best_place)
        place = following
    return Alignment(best_place, best)


def with_gradients(images: Tensor) -> Tensor:
    """Give each image with its horizontal and vertical gradient, shape (N, 3, S, S)."""
    padded = nn.functional.pad(images[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    horizontal = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    vertical = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    return torch.stack([images, horizontal, vertical], dim=1)


def warp(layers: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Read images at the places that correspond to another image's pixels.

    Parameters
    ----------
    layers
        Shape (N, C, S, S).
    place
        Stretch and shift, shape (N, 4).

    Returns
    -------
    warped
        Shape (N, C, S, S).
    overlap
        Shape (N, S, S): 1 where a pixel lies inside the image that is read, else 0.
    """
    side = layers.shape[3]
    grid = _grid(side)
    columns = grid * place[:, 0:1] + place[:, 2:3]  # (N, S)
    rows = grid * place[:, 1:2] + place[:, 3:4]
    points = torch.stack(
        [columns[:, None, :].expand(-1, side, -1), rows[:, :, None].expand(-1, -1, side)], dim=3
    )
    edge = 1 - 1 / side + 1e-4  # the centre of the outermost pixel
    overlap = (rows.abs() <= edge)[:, :, None] & (columns.abs() <= edge)[:, None, :]
    warped = nn.functional.grid_sample(layers, points, padding_mode="border", align_corners=False)
    return warped, overlap.to(layers.dtype)


def _grid(side: int) -> Tensor:
    """Give the centres of the pixels of a row on the scale -1 to 1."""
    return (torch.arange(side) + 0.5) * (2 / side) - 1


def _step(first: Tensor, layers: Tensor, place: Tensor, *, is_last: bool) -> tuple[Tensor, Tensor]:
    """Give the correlation at a place and the place that one step leads to."""
    count, side = len(first), first.shape[2]
    warped, overlap = warp(layers, place)
    area = overlap.sum((1, 2)).clamp(min=1)
    target, _ = _normalized(first, overlap, area)
    image, length = _normalized(warped[:, 0], overlap, area)
    correlation = (target * image).sum((1, 2))
    if is_last:
        return correlation, place
    grid = _grid(side)
    # How a pixel changes with stretch and shift: its gradient (per pixel, so times S / 2).
    slope = warped[:, 1:] * (side / 2 / length)[:, None, None, None]
    jacobian = torch.stack(
        [slope[:, 0] * grid, slope[:, 1] * grid[:, None], slope[:, 0], slope[:, 1]], dim=1
    )
    jacobian *= overlap[:, None]
    jacobian -= (jacobian.sum((2, 3)) / area[:, None])[:, :, None, None] * overlap[:, None]
    flat = jacobian.flatten(2)  # (N, 4, S²)
    image = image.flatten(1)
    # Brightness (the mean) and contrast (the direction of the image) are free: project them out.
    flat = flat - (flat @ image[:, :, None]) * image[:, None]
    residual = target.flatten(1) - correlation[:, None] * image
    normal = flat @ flat.transpose(1, 2)
    damping = _DAMPING * normal.diagonal(dim1=1, dim2=2) + 1e-3
    right = (flat @ residual[:, :, None]) / correlation.clamp(min=0.2)[:, None, None]
    change = torch.linalg.solve(normal + torch.diag_embed(damping), right)[:, :, 0]
    following = place + change.clamp(-_LARGEST_STEP, _LARGEST_STEP)
    assert following.shape == (count, 4)
    return correlation, torch.cat(
        [
            following[:, :2].clamp(1 / _LARGEST_STRETCH, _LARGEST_STRETCH),
            following[:, 2:].clamp(-_LARGEST_SHIFT, _LARGEST_SHIFT),
        ],
        dim=1,
    )


def _normalized(images: Tensor, overlap: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """Give images of mean 0 and length 1 within the overlap, and the lengths they had."""
    mean = (images * overlap).sum((1, 2)) / area
    centred = (images - mean[:, None, None]) * overlap
    length = centred.square().sum((1, 2)).sqrt().clamp(min=_SMALL)
    return centred / length[:, None, None], length
