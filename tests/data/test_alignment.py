from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from tenfold.data.alignment import align, identity, likeness_at, warp


def test_alignment_finds_the_shift(scenes: Callable[..., npt.NDArray[np.uint8]]) -> None:
    images = torch.from_numpy(scenes(10)).float().mean(3) / 255
    blurred = torch.nn.functional.avg_pool2d(images[:, None], 5, 1)[:, 0]  # (10, 36, 36)
    first, second = blurred[:, 2:34, 2:34], blurred[:, 1:33, 4:36]
    found = align(first, second, identity(10), steps=12)
    # A pixel of the first lies one lower and two to the left in the second: 1/16 of half a side.
    expected = torch.tensor([1, 0, 0, 1, -2 / 16, 1 / 16]).expand(10, -1)
    is_found = (found.place - expected).abs().amax(1) < 0.01
    assert is_found.float().mean() >= 0.8
    assert (found.correlation[is_found] > 0.99).all()


def test_alignment_finds_a_turn(scenes: Callable[..., npt.NDArray[np.uint8]]) -> None:
    images = torch.from_numpy(scenes(10, side=64)).float().mean(3) / 255
    first = torch.nn.functional.avg_pool2d(images[:, None], 9, 1, 4)[:, 0]
    turn = torch.tensor([0.9976, -0.0698, 0.0698, 0.9976, 0.0, 0.0])  # 4 degrees
    second, _ = warp(first, (turn * torch.tensor([1, -1, -1, 1, 1, 1])).expand(10, -1))
    found = align(first, second, identity(10), steps=12)
    assert ((found.place - turn).abs().amax(1) < 0.02).float().mean() >= 0.8


def test_what_only_one_image_shows_has_no_weight(
    scenes: Callable[..., npt.NDArray[np.uint8]],
) -> None:
    first = torch.from_numpy(scenes(10, side=64)).float().mean(3) / 255
    second = first.clone()
    second[:, -8:] = 1
    weights = likeness_at(first, second, identity(10))
    assert weights[:, -1].mean() < 0.5 * weights[:, :-1].mean()
