"""Lay one image over another: the affine map under which the two correlate best.

Gauss-Newton steps on the normalised images, so that contrast and brightness drop out: Lucas and
Kanade 1981; Evangelidis and Psarakis 2008, "Parametric image alignment using enhanced correlation
coefficient maximization", doi:10.1109/TPAMI.2008.113. Cells of the image that show another thing
in both (a caption, a black corner) count little, as in robust regression. Many pairs are laid over
each other at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

CELLS = 8
"""Cells along a side whose weights are found together."""
_LARGEST_STRETCH = 4 / 3
_LARGEST_SHEAR = 0.15  # the tangent of 8.5 degrees
_LARGEST_SHIFT = 0.375  # 6 of 32 pixels, on the scale -1 to 1
_LARGEST_STEP = 0.1
_DAMPING = 1e-2  # of Levenberg and Marquardt
_SMALL = 1e-6
_HIGHEST = torch.tensor(
    [_LARGEST_STRETCH, _LARGEST_SHEAR, _LARGEST_SHEAR, _LARGEST_STRETCH, *[_LARGEST_SHIFT] * 2]
)
_LOWEST = torch.tensor(
    [1 / _LARGEST_STRETCH, *-_HIGHEST[1:3], 1 / _LARGEST_STRETCH, *-_HIGHEST[4:]]
)
# Each of a place's numbers a, b, c, d, e, f is a factor of x, of y or of 1 in where a pixel is
# read, across or down.
_TIMES_X = torch.tensor([1, 0, 1, 0, 0, 0])
_TIMES_Y = torch.tensor([0, 1, 0, 1, 0, 0])
_IS_DOWN = torch.tensor([0, 0, 1, 1, 0, 1])


@dataclass(frozen=True)
class Alignment:
    """Where the second image of each pair has to be read so that it fits the first.

    Parameters
    ----------
    place
        Shape (N, 6): a, b, c, d, e and f. A pixel of the first image at (x, y), each from -1 to 1,
        corresponds to the second's at (a · x + b · y + e, c · x + d · y + f).
    weights
        Shape (N, CELLS, CELLS), 0 to 1: how far the two show the same thing in each cell.
    correlation
        Shape (N,): normalised correlation where both overlap, so weighted.
    """

    place: Tensor
    weights: Tensor
    correlation: Tensor


def identity(count: int) -> Tensor:
    """Give the places of `count` pairs that leave them as they are."""
    return torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]).repeat(count, 1)


def align(
    first: Tensor,
    second: Tensor,
    start: Tensor,
    *,
    steps: int,
    plain_steps: int = 1,
    weights: Tensor | None = None,
) -> Alignment:
    """Find the affine map under which each pair correlates best.

    Parameters
    ----------
    first, second
        Float, shape (N, S, S), S a multiple of `CELLS`.
    start
        Places to begin from, shape (N, 6).
    steps
        Gauss-Newton steps; the best of all places visited counts, the first included.
    plain_steps
        How many of the first steps keep the weights that they begin with.
    weights
        These, shape (N, CELLS, CELLS); None for ones.
    """
    count = len(first)
    weights = torch.ones(count, CELLS, CELLS) if weights is None else weights
    place = start
    best = Alignment(place, weights, torch.full((count,), -2.0))
    for step in range(steps + 1):
        look = _Look.at(first, second, place, weights)
        is_better = look.correlation > best.correlation
        best = Alignment(
            torch.where(is_better[:, None], place, best.place),
            torch.where(is_better[:, None, None], weights, best.weights),
            torch.where(is_better, look.correlation, best.correlation),
        )
        if step < steps:
            place = look.following(place)
            if step + 1 >= plain_steps:
                weights = _likeness(look.target, look.image, look.overlap)
    return best


def likeness_at(first: Tensor, second: Tensor, place: Tensor) -> Tensor:
    """Give how far two images show the same thing in each cell, shape (N, CELLS, CELLS)."""
    look = _Look.at(first, second, place, torch.ones(len(first), CELLS, CELLS))
    return _likeness(look.target, look.image, look.overlap)


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Give horizontal and vertical differences of images (N, S, S), 0 at the outermost pixels."""
    horizontal, vertical = torch.zeros_like(images), torch.zeros_like(images)
    horizontal[:, :, 1:-1] = (images[:, :, 2:] - images[:, :, :-2]) / 2
    vertical[:, 1:-1] = (images[:, 2:] - images[:, :-2]) / 2
    return horizontal, vertical


def warp(images: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Read images at the places that correspond to another image's pixels.

    Parameters
    ----------
    images
        Shape (N, S, S).
    place
        Shape (N, 6), see `Alignment`.

    Returns
    -------
    warped
        Shape (N, S, S).
    overlap
        Shape (N, S, S): 1 where a pixel lies inside the image that is read, else 0.
    """
    side = images.shape[2]
    grid = _grid(side)
    a, b, c, d, e, f = (part[:, None, None] for part in place.unbind(1))
    x, y = a * grid + (b * grid[:, None] + e), c * grid + (d * grid[:, None] + f)
    edge = 1 - 1 / side + 1e-4  # the centre of the outermost pixel
    overlap = (x.abs() <= edge) & (y.abs() <= edge)
    warped = nn.functional.grid_sample(
        images[:, None], torch.stack([x, y], dim=3), padding_mode="border", align_corners=False
    )
    return warped[:, 0], overlap.to(images.dtype)


def spread_cells(weights: Tensor, side: int) -> Tensor:
    """Give each pixel its cell's weight, shape (N, side, side)."""
    times = side // CELLS
    return weights.repeat_interleave(times, 1).repeat_interleave(times, 2)


def _grid(side: int) -> Tensor:
    """Give the centres of the pixels of a row on the scale -1 to 1."""
    return (torch.arange(side) + 0.5) * (2 / side) - 1


@dataclass(frozen=True)
class _Look:
    """Both images at one place: of mean 0 and length 1 under the weights."""

    target: Tensor
    image: Tensor
    warped: Tensor
    length: Tensor
    overlap: Tensor
    weights: Tensor
    total: Tensor
    correlation: Tensor

    @classmethod
    def at(cls, first: Tensor, second: Tensor, place: Tensor, weights: Tensor) -> _Look:
        warped, overlap = warp(second, place)
        by_pixel = overlap * spread_cells(weights, first.shape[2])
        total = by_pixel.sum((1, 2)).clamp(min=1)
        target, _ = _normalized(first, by_pixel, total)
        image, length = _normalized(warped, by_pixel, total)
        correlation = (target * image * by_pixel).sum((1, 2))
        return cls(target, image, warped, length, overlap, by_pixel, total, correlation)

    def following(self, place: Tensor) -> Tensor:
        """Give the place that one step leads to."""
        side = self.target.shape[2]
        # How a pixel changes with the place: its gradient (per pixel, so times S / 2) times 1, x
        # or y. So sums over pixels are moments of few planes: six for each number are not needed.
        scale = (side / 2 / self.length)[:, None, None]
        across, down = (part * scale for part in gradients(self.warped))
        by_across, by_down = across * self.weights, down * self.weights
        powers = _grid(side)[:, None] ** torch.arange(3)  # (S, 3)
        planes = [by_across * across, by_across * down, by_down * down, by_across, by_down]
        planes += [part * of for of in (self.image, self.target) for part in (by_across, by_down)]
        # Shape (N, 9, powers of y, powers of x).
        moments = torch.stack([powers.T @ (plane @ powers) for plane in planes], dim=1)
        product, times_y = _IS_DOWN[:, None] + _IS_DOWN, _TIMES_Y[:, None] + _TIMES_Y
        normal = moments[:, product, times_y, _TIMES_X[:, None] + _TIMES_X]
        total, along, aim = (moments[:, 3 + k + _IS_DOWN, _TIMES_Y, _TIMES_X] for k in (0, 2, 4))
        # Brightness (the mean) and contrast (the direction of the image) are free: project out.
        mean = total / self.total[:, None]
        normal -= self.total[:, None, None] * mean[:, :, None] * mean[:, None]
        normal -= along[:, :, None] * along[:, None]
        correlation = self.correlation[:, None]
        right = ((aim - correlation * along) / correlation.clamp(min=0.2))[:, :, None]
        damping = _DAMPING * normal.diagonal(dim1=1, dim2=2) + 1e-3
        change = torch.linalg.solve(normal + torch.diag_embed(damping), right)[:, :, 0]
        moved = _composed(place, change.clamp(-_LARGEST_STEP, _LARGEST_STEP))
        return torch.maximum(torch.minimum(moved, _HIGHEST), _LOWEST)


def _composed(place: Tensor, change: Tensor) -> Tensor:
    """Give the place of a pixel that was moved by a change before."""
    matrix, shift = place[:, :4].view(-1, 2, 2), place[:, 4:, None]
    first = change[:, :4].view(-1, 2, 2) + torch.eye(2)
    return torch.cat(
        [(matrix @ first).flatten(1), (matrix @ change[:, 4:, None] + shift)[:, :, 0]], dim=1
    )


def _likeness(target: Tensor, image: Tensor, overlap: Tensor) -> Tensor:
    """Give (1 - d)², d being the squared difference of each cell as a share of what is in it."""
    cell = target.shape[2] // CELLS

    def energy(product: Tensor) -> Tensor:
        return nn.functional.avg_pool2d((product * overlap)[:, None], cell)[:, 0]

    both = energy(target.square()) + energy(image.square())
    same = 2 * energy(target * image)
    return (same / both.clamp(min=1e-12)).clamp(min=0).square()


def _normalized(images: Tensor, weights: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Give images of mean 0 and length 1 under the weights, and the lengths they had."""
    mean = (images * weights).sum((1, 2)) / total
    centred = images - mean[:, None, None]
    length = (centred.square() * weights).sum((1, 2)).sqrt().clamp(min=_SMALL)
    return centred / length[:, None, None], length
