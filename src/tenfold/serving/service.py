"""What our own addresses answer, whichever model and form of answer they name."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from fastapi import Request, Response

from tenfold.serving.answers import json_answer
from tenfold.serving.bodies import BodyLimits, receive_images
from tenfold.serving.guard import Refusal
from tenfold.serving.lines import LinesResponse, predicted_lines
from tenfold.serving.repository import ModelInUse, ModelRepository
from tenfold.serving.requests import ArrivingBodies, HoldBytes, MemoryBudget, Upload
from tenfold.serving.schema import ModelAnswer
from tenfold.serving.settings import ServingSettings

_MOST_EXPLANATIONS = 16  # waiting; each takes a gradient, some tens of milliseconds


class PredictionService:
    """The models, and what all requests for them share.

    Without a name, the default model answers. A request keeps the version that it began with.
    """

    def __init__(
        self, repository: ModelRepository, settings: ServingSettings, budget: MemoryBudget
    ) -> None:
        self.repository = repository
        self.settings = settings
        self.budget = budget
        self.arriving = ArrivingBodies(settings.memory_bytes, settings.receive_seconds)
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._waiting_explanations = asyncio.Semaphore(_MOST_EXPLANATIONS)

    async def predict(self, request: Request, top: int, name: str | None = None) -> Response:
        """Answer with all results at once."""
        with self.repository.find(name).request() as used, self.budget.request() as hold:
            most_images = self.settings.images_per_request
            uploads = await self._receive(request, used, hold, most_images)
            async with asyncio.timeout(self.settings.answer_seconds):
                return json_answer({"results": await used.predictor.predict(uploads, top)})

    async def predict_lines(self, request: Request, top: int, name: str | None = None) -> Response:
        """Answer line by line."""
        with ExitStack() as held:
            used = held.enter_context(self.repository.find(name).request())
            hold = held.enter_context(self.budget.request())
            most_images = self.settings.images_per_stream
            uploads = await self._receive(request, used, hold, most_images)
            lines = predicted_lines(used.predictor, uploads, top, self.settings)
            return LinesResponse(lines, held.pop_all())

    async def explain(self, request: Request, name: str | None = None) -> Response:
        """Show what speaks for the most probable class of one image."""
        with self.repository.find(name).request() as used, self.budget.request() as hold:
            explain_image = used.served.explainer
            if explain_image is None:
                raise Refusal(501, "no_explanations", "This server's model has no explanations.")
            if self._waiting_explanations.locked():
                raise Refusal(503, "busy", "Too many explanations are asked for. Try again later.")
            uploads = await self._receive(request, used, hold, self.settings.images_per_request)
            if len(uploads) > 1:
                raise Refusal(413, "too_many_images", "One image at a time is explained.")
            async with self._waiting_explanations, asyncio.timeout(self.settings.answer_seconds):
                pixels, row = await used.predictor.examine(uploads[0])
                predicted = int(row.argmax())
                parts = await asyncio.get_running_loop().run_in_executor(
                    self._explaining, explain_image, pixels, predicted
                )
            probability = float(str(row[predicted]))
            return json_answer(
                {"class": used.model.classes[predicted], "probability": probability, **parts}
            )

    def describe(self, name: str | None = None) -> Response:
        """Describe a model."""
        return json_answer(_described(self.repository.find(name)))

    def describe_all(self) -> Response:
        """Describe all models, the default one first."""
        return json_answer(
            {
                "models": [
                    {"name": one.name, "version": one.version, **_described(one)}
                    for one in self.repository.all()
                ]
            }
        )

    def close(self) -> None:
        """Take no more images."""
        self.repository.close()
        self._explaining.shutdown(wait=False, cancel_futures=True)

    async def _receive(
        self, request: Request, used: ModelInUse, hold: HoldBytes, most_images: int
    ) -> list[Upload]:
        limits = BodyLimits(self.settings, most_images, used.model.image_shape)
        return await receive_images(request, limits, self.arriving, hold)


def _described(used: ModelInUse) -> dict[str, Any]:
    told = set(ModelAnswer.model_fields) - {"explains", "set_coverage"}
    sets = used.model.description.prediction_sets
    return {
        **used.model.description.model_dump(include=told),
        "set_coverage": None if sets is None else sets.wanted_coverage,
        "explains": used.served.explainer is not None,
    }
