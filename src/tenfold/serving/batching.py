"""Requests that arrive together are computed together.

No clock is waited for: while the network computes, what arrives gathers and is the next batch (the
adaptive batching of Crankshaw et al., "Clipper", NSDI 2017, without its tuned delays). Only images
that are being decoded already are waited for, shortly.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from tenfold.serving.refusal import Refusal

Pixels = npt.NDArray[np.uint8]
Row = npt.NDArray[np.float32]
_Waiting = tuple[Pixels, "asyncio.Future[Row]"]


class Batcher:
    """Gathers images into batches; belongs to one event loop.

    Parameters
    ----------
    predict
        Gives probabilities (N, classes) of images (N, H, W, C); called in threads of its own.
    most_images
        In a batch.
    most_waiting
        Images; `submit` refuses beyond.
    wait_seconds
        Longest wait for images that were announced.
    runs_at_once
        Batches computed at the same time.
    on_batch
        Told the size of each batch.
    """

    def __init__(
        self,
        predict: Callable[[Pixels], npt.NDArray[np.float32]],
        *,
        most_images: int,
        most_waiting: int,
        wait_seconds: float,
        runs_at_once: int = 1,
        on_batch: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._predict = predict
        self._most_images = most_images
        self._most_waiting = most_waiting
        self._wait_seconds = wait_seconds
        self._runs_at_once = runs_at_once
        self._on_batch = on_batch
        self._pool = ThreadPoolExecutor(runs_at_once, thread_name_prefix="network")
        self._waiting: deque[_Waiting] = deque()
        self._coming = 0
        self._running = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Give how many images wait."""
        return len(self._waiting)

    def announce(self, count: int) -> None:
        """Say that images will be submitted soon, or, with a negative count, that they will not."""
        self._coming += count
        if count < 0 and self._coming == 0:
            self._start()

    async def submit(self, image: Pixels) -> Row:
        """Give the probabilities, shape (classes,), of one image that was announced.

        Raises
        ------
        Refusal
            If too many images wait.
        """
        if len(self._waiting) >= self._most_waiting:
            self.announce(-1)
            raise Refusal(503, "busy", "Too many requests at the moment. Try again in a second.")
        future: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        self._waiting.append((image, future))
        self._coming -= 1
        self._start()
        return await future

    def close(self) -> None:
        """Let running batches end and start no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, *, is_time_up: bool = False) -> None:
        """Compute what waits, unless the network is busy or more is about to come."""
        if self._timer is not None and (is_time_up or self._coming == 0):
            self._timer.cancel()
            self._timer = None
        while self._waiting and self._running < self._runs_at_once:
            is_full = len(self._waiting) >= self._most_images
            if self._coming > 0 and not is_full and not is_time_up and self._wait_seconds > 0:
                if self._timer is None:
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(self._wait_seconds, self._time_up)
                return
            self._run([self._waiting.popleft() for _ in range(self._next_size())])

    def _next_size(self) -> int:
        return min(len(self._waiting), self._most_images)

    def _time_up(self) -> None:
        self._timer = None
        self._start(is_time_up=True)

    def _run(self, batch: list[_Waiting]) -> None:
        wanted = [one for one in batch if not one[1].done()]  # some clients gave up meanwhile
        if not wanted:
            return
        self._running += 1
        self._on_batch(len(wanted))
        images = np.stack([image for image, _ in wanted])
        task = asyncio.get_running_loop().run_in_executor(self._pool, self._predict, images)
        task.add_done_callback(lambda done: self._finish(wanted, done))

    def _finish(self, batch: list[_Waiting], done: asyncio.Future[npt.NDArray[np.float32]]) -> None:
        self._running -= 1
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        for place, (_, future) in enumerate(batch):
            if future.done():
                continue
            if error is None:
                future.set_result(done.result()[place])
            else:
                future.set_exception(
                    error if isinstance(error, Exception) else RuntimeError("the server stops")
                )
        self._start()
