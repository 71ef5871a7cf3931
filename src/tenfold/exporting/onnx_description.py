"""What an exported model says about itself, in the metadata of its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, ValidationError

from tenfold.core.errors import ModelFolderError
from tenfold.core.record import Record
from tenfold.core.records.data import BEFORE_THEY_WERE_FOUND, ValueRanges

PREFIX = "tenfold."
FORMAT_VERSION = 2
"""Raised when an older tenfold could not use the file rightly any more."""
_Side = Annotated[int, Field(ge=1, le=8192)]


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
            return description
        except (ValidationError, ValueError, RecursionError) as error:
            raise ModelFolderError(
                f"{name} is an ONNX file without the description that tenfold writes (class names, "
                "image size), or with one that is wrong. Make it with: tenfold export MODEL --onnx"
            ) from error
