"""One model answering many clients: images that arrive together are computed together.

No clock is waited for: while the network computes, what arrives gathers and is the next batch (the
adaptive batching of Crankshaw et al., "Clipper", NSDI 2017, without its tuned delays). So a request
alone never waits, and load makes batches grow by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tenfold.core.machine import available_cores
from tenfold.data.images.formats import DecodingLimits
from tenfold.serving.decoding import NOT_QUICK, UploadDecoder
from tenfold.serving.drift import LiveAnswers
from tenfold.serving.guard import Refusal
from tenfold.serving.metrics import ModelMetrics
from tenfold.serving.onnx_model import OnnxModel, are_probabilities
from tenfold.serving.requests import MemoryBudget, Upload
from tenfold.serving.settings import ServingSettings
from tenfold.serving.tracing import PARTS, Parts

_LONGEST_NAME = 255
_SMALL_BYTES, _SMALL_PIXELS = 65_536, 512 * 512
"""Of an image that is decoded in the network's thread: a few milliseconds at most."""


Pixels = npt.NDArray[np.uint8]
Row = npt.NDArray[np.float32]
MakeImage = Callable[[], Pixels]
_Outcome = npt.NDArray[Any] | Exception


class _Waiting(NamedTuple):
    make_image: MakeImage
    future: asyncio.Future[Row]
    since: float
    parts: Parts | None


_Job = tuple[Sequence[_Waiting], asyncio.AbstractEventLoop]


class Predictor:
    """One model for all requests; `memory` counts what images are decoded to."""

    def __init__(
        self,
        model: OnnxModel,
        settings: ServingSettings,
        metrics: ModelMetrics,
        memory: MemoryBudget,
    ) -> None:
        self.model = model
        self._settings = settings
        self._metrics = metrics
        threshold = model.description.unlike_threshold
        self._threshold = None if threshold is None else np.float32(threshold)
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
        self.batcher = Batcher(
            self._predict,
            most_images=settings.batch_images,
            most_waiting=settings.queue_images,
            stuck_seconds=settings.answer_seconds,
            on_batch=metrics.batch_images.observe,
            on_wait=metrics.queue_seconds.observe,
        )
        self._decoding = 0
        self._comparing = ThreadPoolExecutor(1, thread_name_prefix="drift")
        self.live = LiveAnswers(
            model.classes,
            model.description.on_test,
            settings.drift_window_images,
            self._comparing.submit,
            has_unlike=threshold is not None,
        )

    async def predict(self, uploads: Sequence[Upload], top: int) -> list[dict[str, Any]]:
        """Give one result an image, as `tenfold.serving.schema.ImageResult` describes it.

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
            self.result(upload, outcome, top)  # type: ignore[arg-type] # others were raised
            for upload, outcome in zip(uploads, outcomes, strict=True)
        ]

    async def probabilities(self, upload: Upload) -> Row:
        """Give calibrated probabilities of one image, shape (classes,), or raise a `Refusal`.

        Behind them, where the model has one, its score of unlike images; see `told`.
        """
        if upload.pixels is not None:
            return await self.of_pixels(upload.pixels)
        with self._counted():
            if len(upload.content) <= _SMALL_BYTES:
                small = min(_SMALL_PIXELS, self._settings.pixels)
                decode = partial(
                    self._timed_decode,
                    PARTS.get(),
                    upload.content,
                    most_pixels=small,
                    is_quick=True,
                )
                try:
                    return self._noted(await self.batcher.submit(decode))
                except Refusal as refusal:
                    if refusal.code not in ("too_many_pixels", NOT_QUICK):
                        raise
            pixels = await self._decode(upload.content)
            return self._noted(await self.batcher.submit(lambda: pixels))

    async def of_pixels(self, pixels: Pixels) -> Row:
        """Give what `probabilities` gives, of an image that is decoded, shape (H, W, C)."""
        with self._counted():
            return self._noted(await self.batcher.submit(lambda: pixels))

    def _noted(self, row: Row) -> Row:
        """Count an answer among the last ones."""
        probabilities, is_unlike = self.told(row)
        best = int(probabilities.argmax())
        self.live.add(best, float(probabilities[best]), is_unlike)
        return row

    async def rows(self, images: Sequence[bytes] | Pixels) -> npt.NDArray[np.float32]:
        """Give a row an image, as `probabilities` does, of files or of pixels (N, H, W, C).

        If one of them cannot be read, its `Refusal` is raised and says which.
        """
        computed = (
            self.of_pixels(one)
            if isinstance(one, np.ndarray)
            else self.probabilities(Upload("", one))
            for one in images
        )
        outcomes = await asyncio.gather(*computed, return_exceptions=True)
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, Refusal) and len(outcomes) > 1:
                message = f"Image {place} of {len(outcomes)}, from 0: {outcome.message}"
                raise Refusal(outcome.status, outcome.code, message)
            if isinstance(outcome, BaseException):
                raise outcome
        return np.stack(outcomes)  # type: ignore[arg-type] # those that are no rows were raised

    async def examine(self, upload: Upload) -> tuple[Pixels, Row]:
        """Give an image's pixels, shape (H, W, C), and its probabilities."""
        with self._counted():
            given = upload.pixels
            pixels = await self._decode(upload.content) if given is None else given
            return pixels, self.told(await self.batcher.submit(lambda: pixels))[0]

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count what becomes of an image, and refuse it if too many are here."""
        try:
            if self._decoding + self.batcher.waiting >= self._settings.queue_images:
                raise _busy()
            yield
        except Refusal as refusal:
            self._metrics.images(refusal.code).inc()
            raise
        self._metrics.images("predicted").inc()

    async def _decode(self, content: bytes) -> Pixels:
        """Give an image's pixels, decoded in a thread or a process."""
        run = asyncio.get_running_loop().run_in_executor
        decode = partial(self._timed_decode, PARTS.get())
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

    def _timed_decode(self, parts: Parts | None, content: bytes, **options: Any) -> Pixels:
        began = time.perf_counter()
        pixels = self._decoder.decode(content, **options)
        seconds = time.perf_counter() - began
        self._metrics.decode_seconds.observe(seconds)
        if parts is not None:
            parts.add("decode", seconds)
        return pixels

    def close(self) -> None:
        """Take no more images."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._waiters.shutdown(wait=False, cancel_futures=True)
        self._comparing.shutdown(wait=False, cancel_futures=True)
        self.batcher.close()

    def _predict(self, images: Pixels) -> Sequence[npt.NDArray[Any] | Exception]:
        began = time.perf_counter()
        rows = self._computed(images)
        self._metrics.network_seconds.observe(time.perf_counter() - began)
        return rows

    def _computed(self, images: Pixels) -> Sequence[npt.NDArray[Any] | Exception]:
        if self._threshold is None:
            rows = self.model.predict(images)
            sound = are_probabilities(rows)
        else:
            rows = self.model.predict_with_score(images)
            sound = are_probabilities(rows[:, :-1])
        if sound.all():
            return rows  # type: ignore[return-value] # an array is a sequence of its rows
        return [row if is_sound else _unsound() for row, is_sound in zip(rows, sound, strict=True)]

    def told(self, row: Row) -> tuple[Row, bool | None]:
        """Part a row into probabilities, and whether the image is unlike anything in training."""
        if self._threshold is None:
            return row, None
        return row[:-1], bool(row[-1] > self._threshold)

    def result(self, upload: Upload, outcome: Row | Refusal, top: int) -> dict[str, Any]:
        """Give what the answer says of an image, of its row or of why there is none."""
        if isinstance(outcome, Refusal):
            return {"image": upload.name[:_LONGEST_NAME], "error": outcome.plain()}
        row, is_unlike = self.told(outcome)
        best = np.argsort(-row, kind="stable")[:top].tolist()
        # The shortest text of the float32 itself, not of its double.
        entries = [
            {"class": self.model.classes[index], "probability": float(str(row[index]))}
            for index in best
        ]
        result: dict[str, Any] = {"image": upload.name[:_LONGEST_NAME]}
        if is_unlike is not None:
            result["unlike"] = is_unlike
        result |= entries[0]
        sets = self.model.description.prediction_sets
        if sets is not None:
            result["set"] = [self.model.classes[index] for index in sets.of_one(row)]
        return {**result, "top": entries}


def _busy() -> Refusal:
    return Refusal(503, "busy", "Too many requests at the moment. Try again in a second.")


def _unsound() -> Refusal:
    return Refusal(
        500,
        "no_probabilities",
        "The model gives no probabilities for this image: they are not finite, or do not sum to 1.",
    )


class Batcher:
    """Gathers images into batches; belongs to one event loop.

    Parameters
    ----------
    predict
        Gives probabilities (N, classes) of images (N, H, W, C), or an error in place of a row;
        called in a thread of its own, one batch at a time.
    most_images
        In a batch.
    most_waiting
        Images; `submit` refuses beyond.
    stuck_seconds
        A batch that takes longer is taken for one that never ends; `submit` refuses.
    on_batch
        Told the size of each batch.
    on_wait
        Told the seconds that each image waited.
    """

    def __init__(
        self,
        predict: Callable[[Pixels], Iterable[_Outcome]],
        *,
        most_images: int,
        most_waiting: int,
        stuck_seconds: float = 60.0,
        on_batch: Callable[[int], object] = lambda _: None,
        on_wait: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._predict = predict
        self._most_images = most_images
        self._most_waiting = most_waiting
        self._on_batch = on_batch
        self._on_wait = on_wait
        self._stuck_seconds = stuck_seconds
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # A daemon: one that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._waiting: deque[_Waiting] = deque()
        self._running_since: float | None = None

    @property
    def waiting(self) -> int:
        """Give how many images wait."""
        return len(self._waiting)

    @property
    def running_seconds(self) -> float:
        """Give how long the network computes its present batch; 0 if it rests, inf if it died."""
        if self._thread.ident is not None and not self._thread.is_alive():
            return float("inf")
        return 0.0 if self._running_since is None else time.monotonic() - self._running_since

    async def submit(self, make_image: MakeImage) -> Row:
        """Give the probabilities, shape (classes,), of one image.

        Parameters
        ----------
        make_image
            Gives the pixels, shape (H, W, C); called in the network's thread, so that a small image
            need not be handed from thread to thread, which costs more than a small network. What it
            raises comes out here and nowhere else.

        Raises
        ------
        Refusal
            If too many images wait, or the network hangs.
        """
        if self.running_seconds > self._stuck_seconds:
            raise Refusal(503, "not_ready", "The network does not answer. Try again later.")
        if len(self._waiting) >= self._most_waiting:
            raise _busy()
        future: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(make_image, future, time.monotonic(), PARTS.get()))
        self._start()
        return await future

    def close(self) -> None:
        """Let a running batch end and start no more."""
        self._jobs.put(None)
        if self._thread.ident is None:
            self._forget()

    def _start(self) -> None:
        """Compute what waits, unless the network is busy."""
        while self._waiting and self._running_since is None:
            size = min(len(self._waiting), self._most_images)
            batch = [self._waiting.popleft() for _ in range(size)]
            wanted = [
                one for one in batch if not one.future.done()
            ]  # some clients gave up meanwhile
            if wanted:
                self._running_since = now = time.monotonic()
                for one in wanted:
                    self._on_wait(now - one.since)
                    if one.parts is not None:
                        one.parts.add("queue", now - one.since)
                self._jobs.put((wanted, asyncio.get_running_loop()))
                if self._thread.ident is None:
                    self._thread.start()

    def _work(self) -> None:
        """Compute batches; runs in the network's thread until `close`."""
        while (job := self._jobs.get()) is not None:
            batch, loop = job
            outcomes: list[_Outcome]
            try:
                outcomes = self._compute(batch)
            except BaseException as error:  # a thread that ended would leave all others waiting
                failed = RuntimeError(f"the network's thread failed: {error!r}")
                outcomes = [failed] * len(batch)
            with contextlib.suppress(RuntimeError):  # the loop ended meanwhile
                loop.call_soon_threadsafe(self._finish, batch, outcomes)
            # Or they would be held until the next batch.
            del job, batch, outcomes
        self._forget()

    def _forget(self) -> None:
        """Let go of the network, which takes memory, without waiting for Python to find circles."""
        self._predict = _nothing

    def _compute(self, batch: Sequence[_Waiting]) -> list[_Outcome]:
        """Give each image's row, or why there is none; runs in the network's thread."""
        outcomes = [_attempt(one.make_image) for one in batch]
        images = {n: one for n, one in enumerate(outcomes) if not isinstance(one, Exception)}
        if images:
            rows: Iterable[_Outcome]
            began = time.monotonic()
            try:
                rows = self._predict(np.stack(list(images.values())))
            except Exception as error:
                rows = [error] * len(images)
            seconds = time.monotonic() - began
            for place, row in zip(images, rows, strict=True):
                outcomes[place] = row
                if (parts := batch[place].parts) is not None:
                    parts.add("network", seconds, len(images))
        return outcomes

    def _finish(self, batch: Sequence[_Waiting], outcomes: Sequence[_Outcome]) -> None:
        self._running_since = None
        if computed := sum(not isinstance(one, Exception) for one in outcomes):
            self._on_batch(computed)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.future.done():
                continue
            if isinstance(outcome, Exception):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)
        self._start()


def _nothing(_: Pixels) -> Iterable[_Outcome]:
    raise RuntimeError("the model has ended")


def _attempt(make_image: MakeImage) -> _Outcome:
    # On its own, for an error holds the frame it comes from: here one image, there the whole batch.
    try:
        return make_image()
    except Exception as error:
        return error
