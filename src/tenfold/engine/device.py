"""Which device computes, with which precision, on how many threads."""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from tenfold.core.errors import DeviceError, UnknownNameError
from tenfold.core.machine import available_cores

DEVICES = ("auto", "cpu", "cuda", "mps")


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

    kind: Literal["cpu", "cuda", "mps"]
    description: str
    threads: int

    @property
    def torch_device(self) -> torch.device:
        """Give the device as torch names it."""
        return torch.device(self.kind)

    def precision_name(
        self, asked: Literal["auto", "float32", "bfloat16"]
    ) -> Literal["float32", "bfloat16"]:
        """Give the name of what `precision` gives."""
        return "bfloat16" if self.precision(asked) == torch.bfloat16 else "float32"

    def precision(self, asked: Literal["auto", "float32", "bfloat16"]) -> torch.dtype:
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
        return self.kind == "cpu" and _cpu_computes_bfloat16()


def choose_device(asked: str = "auto") -> Device:
    """Give the device asked for; ``auto`` takes the first of CUDA, MPS, CPU that is there.

    On the CPU this also sets torch's number of threads to the cores really available, and makes
    the allocator keep freed memory (see `keep_freed_memory`); both hold for the whole process.

    Raises
    ------
    UnknownNameError
        If there is no such kind of device.
    DeviceError
        If the device is not on this machine.
    """
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
    return Device("cpu", _cpu_name(), threads)


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


@functools.cache
def _cpu_flags() -> frozenset[str]:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def _cpu_computes_bfloat16() -> bool:
    return bool(_cpu_flags() & {"avx512_bf16", "amx_bf16"})


@functools.cache
def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
