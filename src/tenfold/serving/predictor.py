"""Images that clients sent to results: decoded in threads, computed in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.cores import available_cores
from tenfold.exporting.onnx_model import OnnxModel, are_probabilities
from tenfold.serving.batching import Batcher
from tenfold.serving.decoding import decode_upload
from tenfold.serving.metrics import Metrics
from tenfold.serving.multipart import Upload
from tenfold.serving.refusal import Refusal
from tenfold.serving.serving_settings import ServingSettings

_LONGEST_NAME = 255
_SMALL_BYTES, _SMALL_PIXELS = 65_536, 512 * 512
"""Of an image that is decoded in the network's thread: a few milliseconds at most."""
_UNSOUND = Refusal(
    500,
    "no_probabilities",
    "The model gives no probabilities for this image: they are not finite, or do not sum to 1.",
)
_BUSY = "Too many requests at the moment. Try again in a second."


class Predictor:
    """One model for all requests.

    Parameters
    ----------
    model
        The exported model.
    settings
        The limits.
    metrics
        Where images and batches are counted.
    """

    def __init__(self, model: OnnxModel, settings: ServingSettings, metrics: Metrics) -> None:
        self.model = model
        self._settings = settings
        self._metrics = metrics
        self._decoders = ThreadPoolExecutor(available_cores(), thread_name_prefix="decode")
        self._batcher = Batcher(
            self._predict,
            most_images=settings.batch_images,
            most_waiting=settings.queue_images,
            stuck_seconds=settings.answer_seconds,
            on_batch=metrics.batch_images.observe,
        )
        self._decoding = 0

    @property
    def waiting(self) -> int:
        """Give how many images wait for the network."""
        return self._batcher.waiting

    @property
    def running_seconds(self) -> float:
        """Give how long the network computes its present batch; see `Batcher`."""
        return self._batcher.running_seconds

    async def predict(self, uploads: Sequence[Upload], top: int) -> list[dict[str, Any]]:
        """Give one result an image, as `tenfold.serving.api_records.ImageResult` describes it.

        Raises
        ------
        Refusal
            If none of the images can be read: the first one's reason.
        """
        if len(uploads) == 1:
            return [self._result(uploads[0], await self.probabilities(uploads[0]), top)]
        outcomes = await asyncio.gather(
            *(self.probabilities(upload) for upload in uploads), return_exceptions=True
        )
        refusals = [one for one in outcomes if isinstance(one, BaseException)]
        for refusal in refusals:
            if not isinstance(refusal, Refusal) or len(refusals) == len(outcomes):
                raise refusal
        return [
            {"image": upload.name[:_LONGEST_NAME], "error": outcome.plain()}
            if isinstance(outcome, Refusal)
            else self._result(upload, outcome, top)  # type: ignore[arg-type]
            for upload, outcome in zip(uploads, outcomes, strict=True)
        ]

    async def probabilities(self, upload: Upload) -> npt.NDArray[np.float32]:
        """Give calibrated probabilities of one image, shape (classes,).

        Raises
        ------
        Refusal
            If it cannot be read, or the server is busy.
        """
        try:
            if self._decoding + self.waiting >= self._settings.queue_images:
                raise Refusal(503, "busy", _BUSY)
            row = await self._row(upload)
        except Refusal as refusal:
            self._metrics.images[refusal.code] += 1
            raise
        self._metrics.images["predicted"] += 1
        return row

    async def _row(self, upload: Upload) -> npt.NDArray[np.float32]:
        if len(upload.content) <= _SMALL_BYTES:
            small = min(_SMALL_PIXELS, self._settings.pixels)
            try:
                return await self._batcher.submit(partial(self._decode, upload.content, small))
            except Refusal as refusal:
                if refusal.code != "too_many_pixels":
                    raise
        pixels = await self.decode(upload)
        return await self._batcher.submit(lambda: pixels)

    async def decode(self, upload: Upload) -> npt.NDArray[np.uint8]:
        """Give an image's pixels, shape (H, W, C), decoded in a thread."""
        self._decoding += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._decoders, self._decode, upload.content, self._settings.pixels
            )
        finally:
            self._decoding -= 1

    def close(self) -> None:
        """Take no more images."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._batcher.close()

    def _predict(self, images: npt.NDArray[np.uint8]) -> Sequence[npt.NDArray[Any] | Exception]:
        rows = self.model.predict(images)
        sound = are_probabilities(rows)
        if sound.all():
            return rows  # type: ignore[return-value] # an array is a sequence of its rows
        return [row if is_sound else _UNSOUND for row, is_sound in zip(rows, sound, strict=True)]

    def _decode(self, content: bytes, most_pixels: int) -> npt.NDArray[np.uint8]:
        return decode_upload(content, self.model.image_shape, most_pixels=most_pixels)

    def _result(self, upload: Upload, row: npt.NDArray[np.float32], top: int) -> dict[str, Any]:
        best = np.argsort(-row, kind="stable")[:top].tolist()
        # The shortest text of the float32 itself, not of its double.
        entries = [
            {"class": self.model.classes[index], "probability": float(str(row[index]))}
            for index in best
        ]
        return {"image": upload.name[:_LONGEST_NAME], **entries[0], "top": entries}
