"""A request's body to the images in it, within the limits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenfold.serving.arriving import ArrivingBodies, too_large
from tenfold.serving.held_memory import HeldMemory
from tenfold.serving.multipart import Upload, read_form
from tenfold.serving.refusal import Refusal
from tenfold.serving.serving_settings import ServingSettings

if TYPE_CHECKING:
    from fastapi import Request

_FORM = "multipart/form-data"
_NO_IMAGES = ("application/json",)


async def receive_images(
    request: Request, settings: ServingSettings, arriving: ArrivingBodies, memory: HeldMemory
) -> list[Upload]:
    """Give the images of a request: the files of a form, or the body itself.

    Parameters
    ----------
    request
        Its body was not read yet.
    settings
        The limits.
    arriving
        Where its body is counted while it arrives.
    memory
        Where it is counted from then on.

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
    body = await _receive(request, settings, arriving)
    memory.hold(len(body))
    if kind != _FORM:
        return [Upload("", body)]
    uploads = await asyncio.to_thread(
        read_form, content_type, body, most_files=settings.images_per_request
    )
    if not uploads:
        raise Refusal(422, "empty", "The form holds no file. Send each image as a file.")
    return uploads


async def _receive(request: Request, settings: ServingSettings, arriving: ArrivingBodies) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and (len(declared) > 15 or int(declared) > settings.body_bytes):
        raise too_large(settings.body_bytes)
    return await arriving.receive(request.stream(), settings.body_bytes)
