"""A model as an ExecuTorch program: one file for apps on phones and other small devices.

The program has two methods: ``forward`` takes one image, uint8, shape (1, height, width, channels),
and gives what the ONNX file gives; ``description`` gives what that says of itself, as JSON.
Convolutions and matrix products are left to XNNPACK, which runs on the CPUs of all phones, in
float32.
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch

from tenfold.core.errors import need
from tenfold.core.files import write_bytes
from tenfold.data.store import AnyImages
from tenfold.evaluation.unlike import UnlikeScore
from tenfold.models.model import ImageNetwork
from tenfold.serving.export import Parity, RealImages, check_parity, describe, parity_text
from tenfold.serving.onnx_graph import CalibratedNetwork, conversion, silence, spread
from tenfold.serving.onnx_model import OnnxDescription
from tenfold.training.model_folder import PackagedModel

SUFFIX = ".pte"
PARITY_IMAGES = 50
"""Each is computed alone, by a runtime that is made for other processors."""
DESCRIPTION = "description"


def export_executorch(model: PackagedModel, out: Path, images: RealImages) -> Parity:
    """Write a model as an ExecuTorch program after checking it against PyTorch.

    Raises
    ------
    ExportError
        If the program does not give what the model gives, or cannot be made; then nothing is
        written.
    SettingsError
        If ExecuTorch is not there.
    """
    with silence():  # of torchao's about libraries for graphics cards
        need("executorch.exir", extra="executorch")
    record = model.record
    unlike = None if model.unlike is None else UnlikeScore.from_bytes(model.unlike)
    description = describe(model, executorch=metadata.version("executorch"))
    network = model.network()
    with conversion(
        f"The model {record.model!r} cannot be written as an ExecuTorch program",
        "Use the ONNX file, which ONNX Runtime takes on phones too, or try another release of "
        "executorch. --debug shows what it said.",
    ):
        content = executorch_bytes(network, record.temperature, description, unlike)
        checked = spread(images.test.images, PARITY_IMAGES)
        parity = check_parity(
            ExecutorchModel(content), network, record.temperature, checked, runtime="executorch"
        )
    write_bytes(out, content)
    return parity


def executorch_bytes(
    network: ImageNetwork,
    temperature: float | None,
    description: OnnxDescription,
    unlike: UnlikeScore | None = None,
) -> bytes:
    """Give a network, in evaluation mode, as the bytes of an ExecuTorch program."""
    lowering = need("executorch.exir", extra="executorch")
    xnnpack = need("executorch.backends.xnnpack.partition.xnnpack_partitioner", extra="executorch")
    module = CalibratedNetwork(network.cpu(), temperature, unlike).eval()
    example = torch.zeros((1, *description.image_shape), dtype=torch.uint8)
    with torch.no_grad():
        module(example)  # what layers keep of their weights is there then
        program = lowering.to_edge_transform_and_lower(
            torch.export.export(module, (example,)),
            partitioner=[xnnpack.XnnpackPartitioner()],
            constant_methods={DESCRIPTION: description.model_dump_json()},
        ).to_executorch()
    return bytes(program.buffer)


class _Method(Protocol):
    def execute(self, inputs: list[Any]) -> list[Any]: ...


class ExecutorchModel:
    """A program in use on this machine, to check it with."""

    def __init__(self, content: bytes) -> None:
        runtime = need("executorch.runtime", extra="executorch")
        # The program reads its bytes from here.
        self._program = runtime.Runtime.get().load_program(content)
        self._forward: _Method = self._program.load_method("forward")

    @property
    def description(self) -> dict[str, Any]:
        """Give what the program says of itself."""
        (text,) = self._program.load_method(DESCRIPTION).execute([])
        return cast("dict[str, Any]", json.loads(text))

    def outputs(self, image: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """Give probabilities, logits and perhaps unlikeness of an image, shape (H, W, C)."""
        given = torch.from_numpy(np.ascontiguousarray(image)[None])
        # A copy: the next run writes to the same place.
        return [output.numpy().copy() for output in self._forward.execute([given])]

    def predict_many(self, images: AnyImages) -> npt.NDArray[np.float32]:
        """Give probabilities, shape (N, classes), one image after the other."""
        return np.concatenate([self.outputs(images[place])[0] for place in range(len(images))])


def executorch_text(parity: Parity, out: Path, place: str) -> str:
    """Give the check's result and the file; `place` says where the images are from."""
    return f"{parity_text(parity, place)}\nWritten: {out}"
