"""The images of a request: its body itself, or a form, a zip, an array or JSON that holds them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import zipfile
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request

from tenfold.core.array_files import array_layout
from tenfold.serving.bounded_json import read_json
from tenfold.serving.guard import Refusal
from tenfold.serving.requests import (
    ArrivingBodies,
    HoldBytes,
    Upload,
    read_form,
    receive_body,
    too_many_images,
)
from tenfold.serving.settings import ServingSettings

_FORM, _JSON = "multipart/form-data", "application/json"
_NPY, _ZIP, _ZIP_ENTRY = b"\x93NUMPY", (b"PK\3\4", b"PK\5\6"), b"PK\1\2"
_OTHER_ENTRIES = 1000
"""Folders and hidden files of a zip, which are no images."""
_RESOURCES = "__MACOSX"
"""Where macOS puts what its zips hold beside the files."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""LZMA may ask for any memory."""
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class BodyLimits:
    """What a request's images may be."""

    settings: ServingSettings
    most_images: int
    image_shape: tuple[int, int, int]
    """Height, width and channels that arrays must have."""


async def receive_images(
    request: Request, limits: BodyLimits, arriving: ArrivingBodies, hold: HoldBytes
) -> list[Upload]:
    """Give the images of a request.

    `arriving` counts the body while it arrives, `hold` from then on. A body that is too large, too
    slow or damaged, holds no image or too many is a `Refusal`.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    body = await receive_body(request, limits.settings, arriving, hold)
    if kind == _FORM:
        uploads = await read_form(content_type, body, most_files=limits.most_images)
        if not uploads:
            raise Refusal(422, "empty", "The form holds no file. Send each image as a file.")
        return uploads
    if kind == _JSON:
        return images_of_json(body, limits, hold)
    if body.startswith(_NPY):
        return images_of_array(body, limits)
    if body.startswith(_ZIP):
        return await images_of_zip(body, limits, hold)
    return [Upload("", body)]


def images_of_array(body: bytes, limits: BodyLimits) -> list[Upload]:
    """Give the images of a file that `numpy.save` wrote; it is never unpickled nor copied."""
    file = io.BytesIO(body)
    try:
        shape, is_fortran, dtype = array_layout(file)
    except Exception as error:  # NumPy parses a header as Python: any of the parser's errors
        raise Refusal(400, "bad_array", "The array's header cannot be read.") from error
    wanted = limits.image_shape
    names = f"uint8 of shape (N, {', '.join(map(str, wanted))}) in C order"
    if dtype != np.uint8 or is_fortran or len(shape) not in (3, 4) or shape[-3:] != wanted:
        order = " in Fortran order" if is_fortran else ""
        raise Refusal(
            422,
            "wrong_array",
            f"The array is {str(dtype)[:40]} of shape {str(shape)[:80]}{order}; this model takes "
            f"{names}. Send image files to have them scaled.",
        )
    count = shape[0] if len(shape) == len(wanted) + 1 else 1
    _check_count(count, limits)
    content = memoryview(body)[file.tell() :]
    if len(content) != count * prod(wanted):
        raise Refusal(
            400,
            "bad_array",
            f"The array's header says {count * prod(wanted):,} bytes; {len(content):,} follow it.",
        )
    return _of_pixels(np.frombuffer(content, np.uint8).reshape(count, *wanted))


async def images_of_zip(body: bytes, limits: BodyLimits, hold: HoldBytes) -> list[Upload]:
    """Give the files of a zip but hidden ones; their names are never opened, nor are zips in it.

    Unpacked, they may be as large as a body.
    """
    # Entries are counted before they are read: each takes half a KiB.
    if body.count(_ZIP_ENTRY) > limits.most_images + _OTHER_ENTRIES:
        raise too_many_images(limits.most_images)
    try:
        archive = await asyncio.to_thread(zipfile.ZipFile, io.BytesIO(body))
        entries = [one for one in archive.infolist() if _is_file(one)]
        _check_count(len(entries), limits)
        most_bytes = limits.settings.body_bytes
        for entry in entries:
            if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
                raise Refusal(
                    415,
                    "unsupported",
                    "Of zips only plain and deflated ones without password are read.",
                )
        size = sum(entry.file_size for entry in entries)
        if size > most_bytes:
            raise _too_much_unpacked(most_bytes)
        hold(size)  # not in the thread, which would go on after the request has ended
        return await asyncio.to_thread(_unpacked, archive, entries)
    except Refusal:
        raise
    except Exception as error:  # zipfile raises its own and struct's, zlib's, codecs' and others
        raise Refusal(400, "bad_zip", "The zip cannot be read: it is damaged.") from error


def _is_file(entry: zipfile.ZipInfo) -> bool:
    first, name = entry.filename.partition("/")[0], entry.filename.rpartition("/")[2]
    return not entry.is_dir() and first != _RESOURCES and not name.startswith(".")


def _unpacked(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> list[Upload]:
    uploads = []
    for entry in entries:
        with archive.open(entry) as file:
            # Without a size, zipfile first unpacks whatever there is, and then looks what was said.
            uploads.append(Upload(entry.filename, file.read(entry.file_size)))
    return uploads


def _too_much_unpacked(most_bytes: int) -> Refusal:
    return Refusal(
        413, "too_large", f"The zip unpacks to more than {most_bytes / 2**20:g} MiB are taken."
    )


def images_of_json(body: bytes, limits: BodyLimits, hold: HoldBytes) -> list[Upload]:
    """Give the images of ``{"images": [...]}``: each base64, or an object of name and content."""
    values = read_json(body, hold)
    images = values.get("images") if isinstance(values, dict) else None
    if not isinstance(images, list):
        raise Refusal(
            422,
            "bad_request",
            'The body is not {"images": ["BASE64", {"name": "a.jpg", "content": "BASE64"}, ...]}.',
        )
    _check_count(len(images), limits)
    return [_of_text(place, one, hold) for place, one in enumerate(images)]


def _of_text(place: int, image: Any, hold: HoldBytes) -> Upload:
    name, text = "", image
    if isinstance(image, dict):
        name, text = image.get("name", ""), image.get("content")
    if not isinstance(name, str) or not isinstance(text, str):
        raise Refusal(422, "bad_request", f"Image {place}, from 0, is no text in base64.")
    return Upload(name, decoded_text(place, text, hold))


def decoded_text(place: int, text: str, hold: HoldBytes) -> bytes:
    """Give the image file that is written in base64."""
    hold(len(text) * 3 // 4)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # the second of a text that is not ASCII
        raise Refusal(
            400,
            "bad_request",
            f"Image {place}, from 0, is no base64: A-Z, a-z, 0-9, + and /, = at the end.",
        ) from None


def _check_count(count: int, limits: BodyLimits) -> None:
    if count < 1:
        raise Refusal(422, "empty", "The body holds no image.")
    if count > limits.most_images:
        raise too_many_images(limits.most_images)


def _of_pixels(images: npt.NDArray[np.uint8]) -> list[Upload]:
    return [Upload("", b"", pixels) for pixels in images]
