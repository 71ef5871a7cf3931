"""An exported model, run by ONNX Runtime; works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tenfold.core.cores import available_cores
from tenfold.core.errors import ModelFolderError
from tenfold.core.regular_files import MOST_MODEL_BYTES, read_regular_file
from tenfold.data.dataset import Images
from tenfold.exporting.extra import need
from tenfold.exporting.onnx_description import OnnxDescription

BATCH_SIZE = 100
"""Images in one run of the graph where there are many; more gained nothing on CIFAR-10."""


class OnnxModel:
    """A model that takes uint8 images and gives calibrated probabilities.

    Several threads may predict at once.

    Parameters
    ----------
    content
        The bytes of an ONNX file that `tenfold.exporting.onnx_graph.onnx_bytes` made.
    name
        The file's, for messages.
    threads
        Threads of one run; None for one a core.

    Raises
    ------
    ModelFolderError
        If the bytes are no such file.
    SettingsError
        If ONNX Runtime is not installed.
    """

    def __init__(self, content: bytes, *, name: str = "the model", threads: int | None = None):
        runtime = need("onnxruntime", extra="onnx")
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors; its warnings are about its own optimisations
        options.intra_op_num_threads = threads or available_cores()
        options.inter_op_num_threads = 1  # the graph is a chain
        try:
            self._session: Any = runtime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own tree of errors, none of them documented
            raise ModelFolderError(
                f"{name} cannot be read as an ONNX model ({str(error)[:200]}). It is damaged, or "
                "needs a newer onnxruntime."
            ) from error
        self.description = OnnxDescription.parse(
            self._session.get_modelmeta().custom_metadata_map, name
        )

    @classmethod
    def read(cls, path: Path, *, threads: int | None = None) -> Self:
        """Read an ONNX file.

        Raises
        ------
        ModelFolderError
            If it is missing or not a file that tenfold made.
        """
        try:
            content = read_regular_file(path, MOST_MODEL_BYTES)
        except OSError as error:
            raise ModelFolderError(
                f"{path} cannot be read: {error.strerror or error}. Make it with: tenfold export "
                f"MODEL --onnx --out {path}"
            ) from error
        return cls(content, name=str(path), threads=threads)

    @property
    def classes(self) -> tuple[str, ...]:
        """Give the class names; column i is the class with index i."""
        return self.description.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Give height, width and channels of the images it takes."""
        return self.description.image_shape

    def predict(self, images: Images) -> npt.NDArray[np.float32]:
        """Give probabilities, shape (N, classes), of one batch of images (N, H, W, C)."""
        probabilities: npt.NDArray[np.float32]
        (probabilities,) = self._session.run(["probabilities"], {"images": images})
        return probabilities

    def predict_many(self, images: Images) -> npt.NDArray[np.float32]:
        """Give probabilities, shape (N, classes), batch by batch, in steady memory."""
        result = np.empty((len(images), len(self.classes)), dtype=np.float32)
        for start in range(0, len(images), BATCH_SIZE):
            block = np.ascontiguousarray(images[start : start + BATCH_SIZE])
            result[start : start + BATCH_SIZE] = self.predict(block)
        return result
