"""A request's body to the images in it, within the limits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from tenfold.serving.arriving import ArrivingBodies, too_large
from tenfold.serving.held_memory import HoldBytes
from tenfold.serving.refusal import Refusal
from tenfold.serving.serving_settings import ServingSettings

_FORM = "multipart/form-data"
_NO_IMAGES = ("application/json",)
_MOST_FIELDS = 100
_STEP_BYTES = 2**15
"""Of a form that are read before others have their turn."""


@dataclass(frozen=True)
class Upload:
    """One image as it was sent."""

    name: str
    """As the client called it; for the answer only, it is never opened."""
    content: bytes = field(repr=False)


async def receive_images(
    request: Request, settings: ServingSettings, arriving: ArrivingBodies, hold: HoldBytes
) -> list[Upload]:
    """Give the images of a request: the files of a form, or the body itself.

    `arriving` counts the body while it arrives, `hold` from then on. A body that is too large, too
    slow or damaged, holds no image or too many is a `Refusal`.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _NO_IMAGES:
        raise Refusal(
            415,
            "unsupported",
            f"{kind} was received. Send the image's bytes as the body, or a form "
            f"({_FORM}) with one file an image.",
        )
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and (len(declared) > 15 or int(declared) > settings.body_bytes):
        raise too_large(settings.body_bytes)
    body = await arriving.receive(request.stream(), settings.body_bytes)
    hold(len(body))
    if kind != _FORM:
        return [Upload("", body)]
    uploads = await read_form(content_type, body, most_files=settings.images_per_request)
    if not uploads:
        raise Refusal(422, "empty", "The form holds no file. Send each image as a file.")
    return uploads


async def read_form(content_type: str, body: bytes, *, most_files: int) -> list[Upload]:
    """Give the files of a ``multipart/form-data`` body; fields that are no files are left out.

    It is refused with 400 if it is no such body or ends too early, 413 if it has too many parts.
    """
    parser = _FormParser(content_type, body, most_files)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise _form_refusal(error, most_files) from None
    except UnicodeError:  # of a charset that Content-Type names
        raise _bad_form("a name is not in the charset that the form says") from None
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    uploads = [Upload(one.filename or "", one.file.read()) for one in files]
    await form.close()
    return uploads


class _FormParser(MultiPartParser):
    """Starlette's, for a body that is there, within bounds and without files on a disk."""

    spool_max_size = 0  # a file of any size stays in memory
    _is_whole = False

    def __init__(self, content_type: str, body: bytes, most_files: int) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise Refusal(400, "bad_form", "The form's Content-Type has no boundary.")
        super().__init__(
            Headers({"content-type": content_type}),
            self._pieces(body, boundary),
            max_files=most_files,
            max_fields=_MOST_FIELDS,
            max_part_size=len(body),
        )

    def on_end(self) -> None:
        """Note the last boundary."""
        self._is_whole = True

    async def _pieces(self, body: bytes, boundary: bytes) -> AsyncGenerator[bytes, None]:
        """Give the body, unless a line begins with the boundary and goes on.

        Of such lines, which RFC 2046 (5.1.1) forbids, python-multipart reads byte by byte: a second
        for each MiB.
        """
        delimiter = b"\r\n--" + boundary
        going_on = re.compile(re.escape(delimiter) + rb"(?:[^\r-]|\r[^\n]|-[^-])")
        for start in range(0, len(body), _STEP_BYTES):
            end = start + _STEP_BYTES
            if going_on.search(body, start, end + len(delimiter) + 1):
                raise _bad_form("a boundary goes on")
            yield body[start:end]
            await asyncio.sleep(0)
        if not self._is_whole:
            raise Refusal(400, "bad_form", "The form ends before its last boundary.")


def _form_refusal(error: MultiPartException, most_files: int) -> Refusal:
    """Give our words for what Starlette says."""
    if error.message.startswith("Too many files"):
        return Refusal(
            413,
            "too_many_images",
            f"More than {most_files:,} images were received in one request. Send several requests.",
        )
    if error.message.startswith("Too many fields"):
        return Refusal(
            413, "too_many_fields", f"Up to {_MOST_FIELDS} fields without a file are taken."
        )
    return _bad_form(str(error.__cause__ or error.message).rstrip("."))


def _bad_form(reason: str) -> Refusal:
    return Refusal(400, "bad_form", f"The form cannot be read: {reason}.")
