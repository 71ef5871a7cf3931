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
    whole = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    # Not `save_file`: on a full disk it raises an error that does not say so.
    write_bytes(path, save(whole, metadata))


def read_tensors(path: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors and the metadata of a safetensors file.

    Raises
    ------
    RunFolderError
        If the file is missing or damaged.
    """
    try:
        # Not `safe_open`: it opens no path that is no UTF-8.
        content = read_regular_file(path, MOST_MODEL_BYTES)
        tensors = {name: tensor.to(device) for name, tensor in load(content).items()}
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return tensors, header.get("__metadata__") or {}
    except (OSError, SafetensorError) as error:
        raise RunFolderError(
            f"{path} cannot be read as weights ({error}). It is missing or damaged; run the "
            "command that made it again."
        ) from error
