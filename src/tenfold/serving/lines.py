"""Answers that come line by line while the images are computed, in the order sent."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import ExitStack, aclosing
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from tenfold.serving.guard import refusal_of
from tenfold.serving.predictor import Predictor
from tenfold.serving.requests import Upload
from tenfold.serving.settings import ServingSettings

LINES = "application/jsonl"
_BATCHES_BEGUN = 2
"""One that is computed and one that waits: a large request keeps the others back no longer."""


class LinesResponse(StreamingResponse):
    """An answer that holds what it needs until it is sent, or the client has left."""

    def __init__(self, lines: AsyncGenerator[bytes, None], held: ExitStack) -> None:
        super().__init__(lines, media_type=LINES, headers={"cache-control": "no-store"})
        self._lines = lines
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines."""
        with self._held:
            async with aclosing(self._lines):
                await super().__call__(scope, receive, send)


async def predicted_lines(
    predictor: Predictor, uploads: Sequence[Upload], top: int, settings: ServingSettings
) -> AsyncGenerator[bytes, None]:
    """Give a line of JSON an image, as `tenfold.serving.schema.ImageResult` describes it.

    One that takes longer than `answer_seconds` ends the answer with a line that has only an error.
    """
    waiting: deque[tuple[Upload, asyncio.Task[Any]]] = deque()
    rest = iter(uploads)
    try:
        _begin(predictor, rest, waiting, _BATCHES_BEGUN * settings.batch_images)
        while waiting:
            upload, task = waiting[0]
            try:
                async with asyncio.timeout(settings.answer_seconds):
                    outcome = await asyncio.shield(task)
            except TimeoutError as error:
                yield _line({"error": refusal_of(error).plain()})
                return
            except Exception as error:
                outcome = refusal_of(error)
            waiting.popleft()
            _begin(predictor, rest, waiting, 1)
            yield _line(predictor.result(upload, outcome, top))
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


def _begin(
    predictor: Predictor,
    rest: Iterator[Upload],
    waiting: deque[tuple[Upload, asyncio.Task[Any]]],
    count: int,
) -> None:
    for _, upload in zip(range(count), rest):  # noqa: B905 -- as many as are left
        waiting.append((upload, asyncio.create_task(predictor.probabilities(upload))))


def _line(told: dict[str, Any]) -> bytes:
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode(errors="backslashreplace") + b"\n"
