"""Tensors as clients send them: numbers or base64 in JSON, or bytes behind the JSON text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from tenfold.core.text import printable
from tenfold.serving.bodies import decoded_text
from tenfold.serving.bounded_json import read_json
from tenfold.serving.guard import Refusal
from tenfold.serving.onnx_model import INPUT
from tenfold.serving.open_inference.schema import InferenceRequest, RequestTensor
from tenfold.serving.requests import HoldBytes, too_many_images

IMAGE_FILES = "BYTES"
PIXELS = "UINT8"
BINARY_SIZE = "binary_data_size"
_LENGTH_BYTES = 4
_SHOWN = 60

Encoded = list[bytes]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TakenInput:
    """What a model takes."""

    image_shape: tuple[int, int, int]
    most_images: int


def read_request(body: bytes, header_length: str | None, hold: HoldBytes) -> tuple[Any, memoryview]:
    """Part a body into the request that its JSON text is, and the bytes behind it.

    Parameters
    ----------
    header_length
        What ``Inference-Header-Content-Length`` says; None for a body that is all JSON.
    hold
        Holds what the text takes when it is read.
    """
    length = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdecimal()) or len(header_length) > 15:
            bad("Inference-Header-Content-Length is no whole number of bytes")
        length = int(header_length)
        if length > len(body):
            bad(
                f"Inference-Header-Content-Length says {length:,} bytes of JSON; the whole body "
                f"has {len(body):,}"
            )
    values = read_json(body[:length], hold)
    try:
        request = InferenceRequest.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        bad(f"{printable(where)[:_SHOWN]}: {first['msg']}")
    return request, memoryview(body)[length:]


def read_images(
    request: InferenceRequest, behind: memoryview, taken: TakenInput, hold: HoldBytes
) -> Encoded | Pixels:
    """Give the images of a request: files, or pixels, uint8, shape (N, H, W, C)."""
    if len(request.inputs) != 1 or request.inputs[0].name != INPUT:
        names = [printable(one.name)[:_SHOWN] for one in request.inputs]
        bad(f"the inputs are {names}; the model takes one that is called {INPUT!r}")
    tensor = request.inputs[0]
    of_tensor = _behind(tensor, behind)
    height, width, channels = taken.image_shape
    if tensor.datatype not in (PIXELS, IMAGE_FILES):
        bad(
            f"{INPUT!r} is of datatype {printable(tensor.datatype)[:_SHOWN]!r}; taken are {PIXELS} "
            f"of shape [N, {height}, {width}, {channels}], pixels of 0 to 255, and {IMAGE_FILES} "
            "of shape [N], image files"
        )
    is_pixels = tensor.datatype == PIXELS
    # Some clients send each file as a row of its own.
    allowed = [[*taken.image_shape]] if is_pixels else [[], [1]]
    if not tensor.shape or tensor.shape[1:] not in allowed:
        bad(
            f"{INPUT!r} has the shape {str(tensor.shape)[:_SHOWN]}; of {tensor.datatype} the model "
            f"takes [{', '.join(['N', *map(str, allowed[0])])}]"
        )
    count = tensor.shape[0]
    if count < 1:
        bad(f"{INPUT!r} holds {count} images; at least 1 is needed")
    if count > taken.most_images:
        raise too_many_images(taken.most_images)
    if is_pixels:
        return _pixels(tensor, of_tensor, taken.image_shape)
    return _files(tensor, of_tensor, hold)


def _behind(tensor: RequestTensor, behind: memoryview) -> memoryview | None:
    """Give the tensor's bytes, which must be all there are; None if its data is in the JSON."""
    size = tensor.parameters.get(BINARY_SIZE)
    if size is None:
        if len(behind):
            bad(f"{len(behind):,} bytes follow the JSON text, and no input has a {BINARY_SIZE}")
        if tensor.data is None:
            bad(f"the input has neither data nor a {BINARY_SIZE}")
        return None
    if type(size) is not int or size < 0:
        bad(f"{BINARY_SIZE} is no whole number of bytes")
    if tensor.data is not None:
        bad(f"the input has both data and a {BINARY_SIZE}")
    if size != len(behind):
        bad(f"{BINARY_SIZE} says {str(size)[:20]} bytes, {len(behind):,} follow the JSON text")
    return behind


def _pixels(
    tensor: RequestTensor, of_tensor: memoryview | None, image_shape: tuple[int, int, int]
) -> Pixels:
    shape = (tensor.shape[0], *image_shape)
    if of_tensor is None:
        return pixels_of_numbers(tensor.data, shape)
    if len(of_tensor) != prod(shape):
        bad(f"shape {list(shape)} has {prod(shape):,} values, {len(of_tensor):,} bytes were sent")
    return np.frombuffer(of_tensor, np.uint8).reshape(shape)


def pixels_of_numbers(data: Any, shape: tuple[int, ...]) -> Pixels:
    """Give an array of numbers that were read from JSON, in rows or one after the other."""
    try:
        values = np.array(data)
    except (ValueError, OverflowError, RecursionError):  # of unequal length, too deep, too large
        bad(f"data is no array of whole numbers of shape {list(shape)}, nor of as many in a row")
    if values.dtype.kind not in "iu":
        bad("data holds something else than whole numbers of 0 to 255")
    if values.shape != shape and values.shape != (prod(shape),):
        bad(f"data has the shape {list(values.shape)[:8]} instead of {list(shape)}")
    if values.min() < 0 or values.max() > np.iinfo(np.uint8).max:
        bad(
            f"data holds numbers from {values.min()} to {values.max()}; pixels are whole numbers "
            "of 0 to 255"
        )
    return values.astype(np.uint8).reshape(shape)


def _files(tensor: RequestTensor, of_tensor: memoryview | None, hold: HoldBytes) -> Encoded:
    count = tensor.shape[0]
    if of_tensor is None:
        data = tensor.data
        if isinstance(data, list) and data and all(isinstance(one, list) for one in data):
            data = [one for row in data for one in row]
        if not isinstance(data, list) or len(data) != count:
            bad(f"data of {INPUT!r} is no list of {count} image files in base64")
        if not all(isinstance(one, str) for one in data):
            bad(f"data of {INPUT!r} is not all text in base64")
        return [decoded_text(place, one, hold) for place, one in enumerate(data)]
    hold(len(of_tensor))
    files = []
    at = 0
    for place in range(count):
        end = at + _LENGTH_BYTES
        size = int.from_bytes(of_tensor[at:end], "little")
        if end + size > len(of_tensor) or end > len(of_tensor):
            bad(f"the bytes end before image {place} of {count}, each behind its length in 4 bytes")
        at = end + size
        files.append(bytes(of_tensor[end:at]))
    if at != len(of_tensor):
        bad(f"{len(of_tensor) - at:,} bytes follow the last of {count} images")
    return files


@dataclass(frozen=True)
class Output:
    """A tensor of an answer."""

    name: str
    datatype: str
    values: npt.NDArray[Any] | Sequence[Sequence[str]] | Sequence[str]
    shape: tuple[int, ...]


def written(output: Output, *, is_binary: bool) -> tuple[dict[str, Any], bytes]:
    """Give an output as the JSON text has it, and the bytes that follow the text."""
    told: dict[str, Any] = {
        "name": output.name,
        "datatype": output.datatype,
        "shape": list(output.shape),
    }
    flat = (
        output.values.ravel().tolist()
        if isinstance(output.values, np.ndarray)
        else list(output.values)
    )
    if not is_binary:
        return {**told, "data": flat}, b""
    if isinstance(output.values, np.ndarray):
        content = np.ascontiguousarray(output.values).tobytes()
    else:
        texts = [str(one).encode(errors="replace") for one in flat]
        content = b"".join(len(one).to_bytes(_LENGTH_BYTES, "little") + one for one in texts)
    return {**told, "parameters": {BINARY_SIZE: len(content)}}, content


def is_true(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    """Give a parameter that is true or false."""
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        bad(f"the parameter {name} is neither true nor false")
    return value


def bad(reason: str) -> NoReturn:
    """Refuse a request that is not as the protocol says."""
    raise Refusal(400, "bad_request", f"The request cannot be read: {reason}.")
