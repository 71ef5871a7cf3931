"""Tensors in files: safetensors, written whole, and refused with words where they are damaged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tenfold.core.errors import RunFolderError
from tenfold.core.files import MOST_MODEL_BYTES, read_regular_file, write_bytes


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, atomically."""
    # Not `save_file`: on a full disk it raises an error that does not say so.
    write_bytes(path, packed_tensors(tensors, metadata))


def packed_tensors(tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Give what a safetensors file holds."""
    whole = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    return save(whole, metadata)


def read_tensors(path: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors and the metadata of a safetensors file.

    Raises
    ------
    RunFolderError
        If the file is missing or damaged.
    """
    try:
        # Not `safe_open`: it opens no path that is no UTF-8.
        return unpacked_tensors(read_regular_file(path, MOST_MODEL_BYTES), device)
    except (OSError, SafetensorError) as error:
        raise RunFolderError(
            f"{path} cannot be read as weights ({error}). It is missing or damaged; run the "
            "command that made it again."
        ) from error


def unpacked_tensors(
    content: bytes, device: torch.device
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Give all tensors and the metadata of a safetensors file's content; SafetensorError if bad."""
    tensors = {name: tensor.to(device) for name, tensor in load(content).items()}
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return tensors, header.get("__metadata__") or {}
