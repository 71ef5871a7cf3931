"""An exported model in use: ONNX Runtime, and what the file says of itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from tenfold.core.errors import ModelFolderError, need
from tenfold.core.files import MOST_MODEL_BYTES, read_regular_file
from tenfold.core.machine import available_cores
from tenfold.core.record import Record
from tenfold.core.records.data import BEFORE_THEY_WERE_FOUND, ValueRanges
from tenfold.core.records.guarantees import AnswersOnTest, PredictionSets

if TYPE_CHECKING:
    from tenfold.data.dataset import Images
    from tenfold.data.store import AnyImages

BATCH_SIZE = 100
"""Images in one run of the graph where there are many; more gained nothing on CIFAR-10."""
_MOST_VALUES = BATCH_SIZE * 32 * 32 * 3
"""Of a run: 100 images of 160 px took 1.1 GiB and as long for each as 4 of them, with 0.2 GiB."""
INPUT, OUTPUT, UNLIKENESS = "images", "probabilities", "unlikeness"
_TRIED_IMAGES = 3
_SUM_TOLERANCE = 1e-3
"""Of probabilities; float32 gives 1e-6, in 8 bits it may be more."""
PREFIX = "tenfold."
FORMAT_VERSION = 4
"""Raised when an older tenfold could not use the file rightly any more."""
_Side = Annotated[int, Field(ge=1, le=8192)]


def onnx_runtime(part: str = "onnxruntime", *, extra: str = "onnx") -> ModuleType:
    """Import ONNX Runtime, or a part of it, with its telemetry switched off.

    From 1.29 on it leaves a device's number in the user's cache folder and reports to its maker,
    unless ``ORT_DISABLE_TELEMETRY`` is set when it is first imported; ``0`` there is a user's wish.

    Raises
    ------
    SettingsError
        If it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return need(part, extra=extra)


class OnnxModel:
    """A model that takes uint8 images and gives calibrated probabilities.

    Several threads may predict at once.

    Parameters
    ----------
    content
        The bytes of an ONNX file that `tenfold.serving.onnx_graph.onnx_bytes` made.
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
        runtime = onnx_runtime()
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
        self._name = name
        self._check_signature()

    @classmethod
    def read(cls, path: Path, *, threads: int | None = None) -> Self:
        """Read an ONNX file.

        Raises
        ------
        ModelFolderError
            If it is missing or not a file that tenfold made, or does not give probabilities.
        """
        try:
            content = read_regular_file(path, MOST_MODEL_BYTES)
        except OSError as error:
            raise ModelFolderError(
                f"{path} cannot be read: {error.strerror or error}. Make it with: tenfold export "
                f"MODEL --onnx --out {path}"
            ) from error
        model = cls(content, name=str(path), threads=threads)
        model.try_out()
        return model

    def try_out(self) -> None:
        """Compute a few images, one and several at a time.

        Raises
        ------
        ModelFolderError
            If what comes out is no probabilities of the classes.
        """
        generator = np.random.default_rng(0)
        gray = np.full((1, *self.image_shape), 128, np.uint8)
        noise = generator.integers(0, 256, (_TRIED_IMAGES, *self.image_shape), np.uint8)
        for images in (gray, noise):
            try:
                rows = self.predict(images)
            except Exception as error:  # its own tree of errors, none of them documented
                raise self._foreign(
                    f"computing a batch of {len(images)} fails ({str(error)[:200]})"
                ) from error
            if not isinstance(rows, np.ndarray) or rows.shape != (len(images), len(self.classes)):
                raise self._foreign(
                    f"for a batch of {len(images)} it gives an array of shape "
                    f"{np.shape(rows)} instead of ({len(images)}, {len(self.classes)})"
                )
            if not are_probabilities(rows).all():
                raise self._foreign(
                    "for an image of plain gray or of noise it gives numbers that are no "
                    "probabilities: not finite, or they do not sum to 1"
                )

    def _check_signature(self) -> None:
        """Check names, types and shapes of what the graph takes and gives."""
        inputs = self._session.get_inputs()
        names = [one.name for one in inputs]
        if names != [INPUT]:
            raise self._foreign(f"its inputs are {names} instead of one called {INPUT!r}")
        shape, (height, width, channels) = inputs[0].shape, self.image_shape
        wanted = f"uint8, N × {height} × {width} × {channels}"
        if (
            inputs[0].type != "tensor(uint8)"
            or len(shape) != 4
            or isinstance(shape[0], int)
            or any(
                isinstance(given, int) and given != own
                for given, own in zip(shape[1:], self.image_shape, strict=True)
            )
        ):
            raise self._foreign(f"it takes {inputs[0].type}, {shape} instead of {wanted} for any N")
        outputs = {one.name: one for one in self._session.get_outputs()}
        if OUTPUT not in outputs:
            raise self._foreign(f"its outputs are {list(outputs)} without {OUTPUT!r}")
        if self.description.unlike_threshold is not None and UNLIKENESS not in outputs:
            raise self._foreign(f"its outputs are {list(outputs)} without {UNLIKENESS!r}")
        output = outputs[OUTPUT]
        count = len(self.classes)
        is_count = len(output.shape) == 2 and output.shape[1] in (count, None)
        is_free = len(output.shape) == 2 and isinstance(output.shape[1], str)
        if output.type != "tensor(float)" or not (is_count or is_free):
            raise self._foreign(
                f"its output {OUTPUT!r} is {output.type}, {output.shape} instead of float32, "
                f"N × {count}, one column a class"
            )

    def _foreign(self, what: str) -> ModelFolderError:
        return ModelFolderError(
            f"{self._name} is no model that can be used here: {what}. Make it with: tenfold export "
            "MODEL --onnx"
        )

    def predict_with_score(self, images: Images) -> npt.NDArray[np.float32]:
        """Give the rows of `predict` with a last column: how unlike the training images it is."""
        rows, scores = self._session.run([OUTPUT, UNLIKENESS], {INPUT: images})
        joined: npt.NDArray[np.float32] = np.concatenate([rows, scores[:, None]], axis=1)
        return joined

    def predict_scored(
        self, images: AnyImages
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Give `predict_many`, and how unlike the training images each is; None without a score."""
        if self.description.unlike_threshold is None:
            return self.predict_many(images), None
        rows = [
            self.predict_with_score(np.ascontiguousarray(images[start : start + self.batch_size]))
            for start in range(0, len(images), self.batch_size)
        ]
        joined = np.concatenate(rows)
        return np.ascontiguousarray(joined[:, :-1]), joined[:, -1]

    @property
    def classes(self) -> tuple[str, ...]:
        """Give the class names; column i is the class with index i."""
        return self.description.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Give height, width and channels of the images it takes."""
        return self.description.image_shape

    @property
    def batch_size(self) -> int:
        """Give how many images `predict_many` computes in one run."""
        return max(1, min(BATCH_SIZE, _MOST_VALUES // prod(self.image_shape)))

    def predict(self, images: Images) -> npt.NDArray[np.float32]:
        """Give probabilities, shape (N, classes), of one batch of images (N, H, W, C)."""
        probabilities: npt.NDArray[np.float32]
        (probabilities,) = self._session.run([OUTPUT], {INPUT: images})
        return probabilities

    def predict_many(self, images: AnyImages) -> npt.NDArray[np.float32]:
        """Give probabilities, shape (N, classes), batch by batch, in steady memory."""
        result = np.empty((len(images), len(self.classes)), dtype=np.float32)
        size = self.batch_size
        for start in range(0, len(images), size):
            block = np.ascontiguousarray(images[start : start + size])
            result[start : start + size] = self.predict(block)
        return result


def are_probabilities(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Say for each of N rows, shape (N, classes), whether it is finite and sums to 1."""
    with np.errstate(invalid="ignore", over="ignore"):
        # NaN and infinity go into the sum.
        is_sound: npt.NDArray[np.bool_] = np.abs(rows.sum(axis=1) - 1) < _SUM_TOLERANCE
    is_sound &= rows.min(axis=1) >= -_SUM_TOLERANCE
    return is_sound


class OnnxDescription(Record):
    """Class names by index and what else a user of the file needs; see `metadata`."""

    format_version: int = FORMAT_VERSION
    title: str
    """For people, for example "CIFAR-10, recipe fast"."""
    model: str
    """Registered name of the architecture."""
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    """The output i is the class with index i."""
    image_shape: tuple[_Side, _Side, Annotated[int, Field(ge=1, le=4)]]
    """Height, width and channels of the images that it takes."""
    value_ranges: ValueRanges = BEFORE_THEY_WERE_FOUND
    """What image files of more than 8 bits are scaled by to the 0 to 255 that it takes."""
    temperature: float | None
    """Inside the graph already."""
    accuracy: float | None = Field(None, ge=0, le=1)
    """On the data set's test split; None where the model was not tested."""
    test_count: int | None = Field(None, ge=0)
    """Images in that split; there where an accuracy is."""
    quantization: str | None = None
    """``int8``; None for float32."""
    unlike_threshold: float | None = None
    """An image whose output ``unlikeness`` is above it is unlike anything in training; None where
    there is no such output."""
    prediction_sets: PredictionSets | None = None
    """A class is in an image's set if its probability is at least the class's of
    `least_probabilities`, and the most probable class is; None where there are no sets."""
    on_test: AnswersOnTest | None = None
    """What answers in use are compared with; None where the model was not tested."""
    versions: dict[str, str]
    """Of Python and of packages, when the file was made."""

    def metadata(self) -> dict[str, str]:
        """Give the entries of the file's metadata, each one line of JSON.

        ``tenfold.classes`` is the list of class names.
        """
        return {
            f"{PREFIX}{name}": json.dumps(value, ensure_ascii=False)
            for name, value in self.model_dump(mode="json").items()
        }

    @classmethod
    def parse(cls, metadata: Mapping[str, str], name: str) -> Self:
        """Read the entries of a file's metadata.

        Parameters
        ----------
        metadata
            As ONNX Runtime gives it; entries of others are left alone.
        name
            The file's, for messages.

        Raises
        ------
        ModelFolderError
            If tenfold did not write the file, or a newer one did.
        """
        own = {
            key.removeprefix(PREFIX): text
            for key, text in metadata.items()
            if key.startswith(PREFIX)
        }
        try:
            values = {key: json.loads(text) for key, text in own.items()}
            version = values.get("format_version")
            if type(version) is int and version > FORMAT_VERSION:
                raise ModelFolderError(
                    f"{name} has format {version}, which a newer tenfold wrote; this one reads up "
                    f"to {FORMAT_VERSION}. Update tenfold: pip install --upgrade tenfold."
                )
            description = cls.model_validate(values)
            if description.accuracy is not None and description.test_count is None:
                raise ValueError("an accuracy without the number of images that it is of")
            sets = description.prediction_sets
            if sets is not None and len(sets.least_probabilities) != len(description.classes):
                raise ValueError("prediction sets of another number of classes")
            on_test = description.on_test
            if on_test is not None and len(on_test.class_counts) != len(description.classes):
                raise ValueError("answers on test images of another number of classes")
            return description
        except (ValidationError, ValueError, RecursionError) as error:
            raise ModelFolderError(
                f"{name} is an ONNX file without the description that tenfold writes (class names, "
                "image size), or with one that is wrong. Make it with: tenfold export MODEL --onnx"
            ) from error
