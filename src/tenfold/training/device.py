"""Where a training computes: device, precision, and whether the memory suffices."""

from __future__ import annotations

import ctypes
import functools
import math
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from tenfold.core.errors import DeviceError, TrainingError, UnknownNameError
from tenfold.core.machine import available_cores, available_memory, in_gib
from tenfold.training.settings import AskedPrecision, Precision

DeviceKind = Literal["cpu", "cuda", "mps"]
DEVICES = ("auto", *get_args(DeviceKind))


@dataclass(frozen=True)
class Device:
    """A device that is there.

    Parameters
    ----------
    kind
        ``cpu``, ``cuda`` or ``mps``.
    description
        The processor's name, for the report.
    threads
        Threads of one operation on the CPU.
    """

    kind: DeviceKind
    description: str
    threads: int

    @property
    def torch_device(self) -> torch.device:
        """Give the device as torch names it."""
        return torch.device(self.kind)

    def precision_name(self, asked: AskedPrecision) -> Precision:
        """Give the name of what `precision` gives."""
        return "bfloat16" if self.precision(asked) == torch.bfloat16 else "float32"

    def precision(self, asked: AskedPrecision) -> torch.dtype:
        """Give the type that convolutions and matrix products compute in."""
        if asked == "bfloat16" or (asked == "auto" and self._computes_bfloat16()):
            return torch.bfloat16
        return torch.float32

    def autocast(self, precision: torch.dtype) -> torch.autocast:
        """Give the context in which convolutions and matrix products compute in `precision`."""
        return torch.autocast(self.kind, dtype=precision, enabled=precision != torch.float32)

    def _computes_bfloat16(self) -> bool:
        if self.kind == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return self.kind == "cpu" and bool(_cpu_flags() & {"avx512_bf16", "amx_bf16"})


def choose_device(asked: str | Device = "auto") -> Device:
    """Give the device asked for; ``auto`` takes the first of CUDA, MPS, CPU that is there.

    A device that was chosen before is taken as it is, with its number of threads.

    On the CPU this also sets torch's number of threads to the cores really available, and makes
    the allocator keep freed memory (see `keep_freed_memory`); both hold for the whole process.

    Raises
    ------
    UnknownNameError
        If there is no such kind of device.
    DeviceError
        If the device is not on this machine.
    """
    if isinstance(asked, Device):
        torch.set_num_threads(asked.threads)
        return asked
    if asked not in DEVICES:
        raise UnknownNameError("device", asked, DEVICES)
    is_there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    kind = next(name for name in is_there if is_there[name]) if asked == "auto" else asked
    if not is_there[kind]:
        usable = ", ".join(name for name in is_there if is_there[name])
        raise DeviceError(
            f"The device {asked!r} is not available: torch {torch.__version__} finds none on this "
            f"machine. Usable here: {usable}. Leave out --device to take the best."
        )
    threads = available_cores()
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if kind == "cuda":
        return Device("cuda", torch.cuda.get_device_name(), threads)
    if kind == "mps":
        return Device("mps", "Apple GPU", threads)
    keep_freed_memory()
    name = _cpu_info("model name") or platform.processor() or platform.machine()
    return Device("cpu", name, threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread of the CPU: sums of several are rounded otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@functools.cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks instead of giving them back to the kernel at once.

    A training step frees and allocates the same megabytes again and again. By default glibc maps
    every such block anew, and the kernel zeroes it page by page: that took a third of a small
    network's step. 32 MiB is the largest threshold that glibc accepts
    (`man mallopt`, M_MMAP_THRESHOLD).

    Returns
    -------
    bool
        Whether the allocator took it; False on other systems, where nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    m_trim_threshold, m_mmap_threshold = -1, -3
    kept = mallopt(m_mmap_threshold, 32 << 20) and mallopt(m_trim_threshold, 2**31 - 1)
    return bool(kept)


def _cpu_flags() -> frozenset[str]:
    return frozenset(_cpu_info("flags", "Features").split())


@functools.cache
def _cpu_info(*names: str) -> str:
    """Give what Linux says of the first processor under one of these names; elsewhere nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(names)), "")


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


def _free(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


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
