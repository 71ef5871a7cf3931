"""Whether a training fits into the memory there is: said before it begins, and when it does not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tenfold.core.errors import TrainingError
from tenfold.core.machine import available_memory, in_gib

_ALWAYS_FITS_PX = 64
"""Smaller images need no look: a batch of them takes a few hundred megabytes at most."""
_KEPT_SHARE = 0.5
"""Of all layers' outputs, what a backward pass is sure to need: some are computed in place, and
half precision halves them."""
_BYTES = 4
# How torch's allocators say that there is no memory (c10/core/impl/alloc_cpu.cpp).
_SIGNS = ("can't allocate memory", "not enough memory", "out of memory", "could not allocate")


def check_memory(
    network: nn.Module, image_shape: tuple[int, int, int], batch_size: int, device: torch.device
) -> None:
    """Check that one step of a training fits into the memory.

    The estimate is low, so that nothing is refused that would have fitted.

    Parameters
    ----------
    network
        Takes normalised images (B, C, H, W).
    image_shape
        Height, width and channels.
    batch_size
        Images a step.
    device
        Where it is trained.

    Raises
    ------
    TrainingError
        If it cannot fit.
    """
    height, width, channels = image_shape
    if max(height, width) <= _ALWAYS_FITS_PX:
        return
    with enough_memory(image_shape, batch_size):
        outputs = _output_values(network, image_shape)
    needed = int(batch_size * _BYTES * (height * width * channels + _KEPT_SHARE * outputs))
    memory = _free(device)
    if memory is not None and needed > memory:
        raise TrainingError(
            f"A step with {batch_size:,} images of {width} × {height} px needs at least "
            f"{in_gib(needed)} of memory, but {in_gib(memory)} are free. "
            f"{_remedy(image_shape, memory / needed)}"
        )


@contextmanager
def enough_memory(image_shape: tuple[int, int, int], batch_size: int) -> Iterator[None]:
    """Turn what torch says when the memory is used up into a sentence.

    Raises
    ------
    TrainingError
        If the block runs out of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        if isinstance(error, RuntimeError) and not any(sign in text for sign in _SIGNS):
            raise
        height, width, _ = image_shape
        raise TrainingError(
            f"The memory is used up by batches of {batch_size:,} images of {width} × {height} px. "
            f"{_remedy(image_shape, 1.0)}"
        ) from error


def _remedy(image_shape: tuple[int, int, int], share: float) -> str:
    """Give advice; `share` of the memory that is needed is free."""
    # Half of it at most, as the estimate is low; memory grows with the square of the side.
    side = min(image_shape[:2]) * math.sqrt(share / 2)
    smaller = max(32, int(side) // 32 * 32)
    return (
        f"Make the images smaller (--set data.image_size_px={smaller}) or the batches "
        "(--set training.batch_size=N); what else runs on the machine takes memory, too."
    )


def _free(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


@torch.no_grad()
def _output_values(network: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Count the values that all layers give for one image."""
    counts: list[int] = []

    def count(_layer: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            counts.append(output.numel())

    leaves = [layer for layer in network.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(count) for layer in leaves]
    was_training = network.training
    height, width, channels = image_shape
    try:
        device = next(network.parameters()).device
        network.eval()(torch.zeros(1, channels, height, width, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return sum(counts)
