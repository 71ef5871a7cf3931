"""A request's body to the images in it, within the limits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenfold.serving.held_memory import HeldMemory
from tenfold.serving.multipart import Upload, read_form
from tenfold.serving.refusal import Refusal
from tenfold.serving.serving_settings import ServingSettings

if TYPE_CHECKING:
    from fastapi import Request

_FORM = "multipart/form-data"
_NO_IMAGES = ("application/json",)


async def receive_images(
    request: Request, settings: ServingSettings, memory: HeldMemory
) -> list[Upload]:
    """Give the images of a request: the files of a form, or the body itself.

    Parameters
    ----------
    request
        Its body was not read yet.
    settings
        The limits.
    memory
        Where this request's bytes are counted.

    Raises
    ------
    Refusal
        If the body is too large, too slow or damaged, holds no image, or too many.
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
    body = await _receive(request, settings, memory)
    if kind != _FORM:
        return [Upload("", body)]
    uploads = read_form(content_type, body)
    if not uploads:
        raise Refusal(422, "empty", "The form holds no file. Send each image as a file.")
    if len(uploads) > settings.images_per_request:
        raise Refusal(
            413,
            "too_many_images",
            f"{len(uploads):,} images were received in one request; up to "
            f"{settings.images_per_request:,} are taken. Send several requests.",
        )
    return uploads


async def _receive(request: Request, settings: ServingSettings, memory: HeldMemory) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and (len(declared) > 15 or int(declared) > settings.body_bytes):
        raise _too_large(settings)
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.receive_seconds):
            async for piece in request.stream():
                size += len(piece)
                if size > settings.body_bytes:
                    raise _too_large(settings)
                memory.hold(len(piece))
                pieces.append(piece)
    except TimeoutError:
        raise Refusal(
            408, "too_slow", f"The body did not arrive within {settings.receive_seconds:g} s."
        ) from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(settings: ServingSettings) -> Refusal:
    return Refusal(
        413, "too_large", f"The body is too large; up to {settings.body_mib:g} MiB are taken."
    )
