"""Images that clients sent to results: decoded in threads, computed in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.machine import available_cores
from tenfold.data.images.formats import DecodingLimits
from tenfold.exporting.onnx_model import OnnxModel, are_probabilities
from tenfold.serving.batching import Batcher, Pixels, Row
from tenfold.serving.decoding import NOT_QUICK, UploadDecoder
from tenfold.serving.held_memory import MemoryBudget
from tenfold.serving.metrics import Metrics
from tenfold.serving.receiving import Upload
from tenfold.serving.refusal import Refusal
from tenfold.serving.serving_settings import ServingSettings

_LONGEST_NAME = 255
_SMALL_BYTES, _SMALL_PIXELS = 65_536, 512 * 512
"""Of an image that is decoded in the network's thread: a few milliseconds at most."""
_BUSY = "Too many requests at the moment. Try again in a second."


class Predictor:
    """One model for all requests; `memory` counts what images are decoded to."""

    def __init__(
        self, model: OnnxModel, settings: ServingSettings, metrics: Metrics, memory: MemoryBudget
    ) -> None:
        self.model = model
        self._settings = settings
        self._metrics = metrics
        cores = available_cores()
        self._decoders = ThreadPoolExecutor(cores, thread_name_prefix="decode")
        # These wait for processes, which may take seconds: one core is left to everybody else.
        self._waiters = ThreadPoolExecutor(max(1, cores - 1), thread_name_prefix="decode-slowly")
        self._decoder = UploadDecoder(
            model.image_shape,
            model.description.value_ranges,
            DecodingLimits(settings.pixels, memory.most_bytes, settings.decoding_seconds),
            settings.formats,
            memory.decoding,
        )
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

        If none of them can be read, the first one's `Refusal` is raised.
        """
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

    async def probabilities(self, upload: Upload) -> Row:
        """Give calibrated probabilities of one image, shape (classes,), or raise a `Refusal`."""
        with self._counted():
            if len(upload.content) <= _SMALL_BYTES:
                small = min(_SMALL_PIXELS, self._settings.pixels)
                decode = partial(
                    self._decoder.decode, upload.content, most_pixels=small, is_quick=True
                )
                try:
                    return await self._batcher.submit(decode)
                except Refusal as refusal:
                    if refusal.code not in ("too_many_pixels", NOT_QUICK):
                        raise
            pixels = await self._decode(upload.content)
            return await self._batcher.submit(lambda: pixels)

    async def examine(self, upload: Upload) -> tuple[Pixels, Row]:
        """Give an image's pixels, shape (H, W, C), and its probabilities."""
        with self._counted():
            pixels = await self._decode(upload.content)
            return pixels, await self._batcher.submit(lambda: pixels)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count what becomes of an image, and refuse it if too many are here."""
        try:
            if self._decoding + self.waiting >= self._settings.queue_images:
                raise Refusal(503, "busy", _BUSY)
            yield
        except Refusal as refusal:
            self._metrics.images.labels(refusal.code).inc()
            raise
        self._metrics.images.labels("predicted").inc()

    async def _decode(self, content: bytes) -> Pixels:
        """Give an image's pixels, decoded in a thread or a process."""
        run, decode = asyncio.get_running_loop().run_in_executor, self._decoder.decode
        self._decoding += 1
        try:
            try:
                return await run(self._decoders, partial(decode, content, is_quick=True))
            except Refusal as refusal:
                if refusal.code != NOT_QUICK:
                    raise
            return await run(self._waiters, decode, content)
        finally:
            self._decoding -= 1

    def close(self) -> None:
        """Take no more images."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._waiters.shutdown(wait=False, cancel_futures=True)
        self._batcher.close()

    def _predict(self, images: Pixels) -> Sequence[npt.NDArray[Any] | Exception]:
        rows = self.model.predict(images)
        sound = are_probabilities(rows)
        if sound.all():
            return rows  # type: ignore[return-value] # an array is a sequence of its rows
        return [row if is_sound else _unsound() for row, is_sound in zip(rows, sound, strict=True)]

    def _result(self, upload: Upload, row: Row, top: int) -> dict[str, Any]:
        best = np.argsort(-row, kind="stable")[:top].tolist()
        # The shortest text of the float32 itself, not of its double.
        entries = [
            {"class": self.model.classes[index], "probability": float(str(row[index]))}
            for index in best
        ]
        return {"image": upload.name[:_LONGEST_NAME], **entries[0], "top": entries}


def _unsound() -> Refusal:
    return Refusal(
        500,
        "no_probabilities",
        "The model gives no probabilities for this image: they are not finite, or do not sum to 1.",
    )
