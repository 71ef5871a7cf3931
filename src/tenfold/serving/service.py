"""Predictions for our own addresses, whichever model and form of answer they name."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass

from fastapi import Request, Response

from tenfold.serving.answers import json_answer
from tenfold.serving.bodies import BodyLimits, receive_images
from tenfold.serving.lines import LinesResponse, predicted_lines
from tenfold.serving.repository import ModelRepository
from tenfold.serving.requests import ArrivingBodies, HoldBytes, MemoryBudget, Upload
from tenfold.serving.settings import ServingSettings


@dataclass(frozen=True)
class PredictionService:
    """The models, and what all requests for them share."""

    repository: ModelRepository
    settings: ServingSettings
    arriving: ArrivingBodies
    budget: MemoryBudget

    async def receive(
        self, request: Request, hold: HoldBytes, most_images: int, name: str | None = None
    ) -> list[Upload]:
        """Give the images of a request for a model, the default one without a name."""
        shape = self.repository.find(name).model.image_shape
        limits = BodyLimits(self.settings, most_images, shape)
        return await receive_images(request, limits, self.arriving, hold)

    async def predict(self, request: Request, top: int, name: str | None = None) -> Response:
        """Answer with all results at once."""
        with self.budget.request() as hold:
            uploads = await self.receive(request, hold, self.settings.images_per_request, name)
            with self.repository.find(name).request() as used:
                async with asyncio.timeout(self.settings.answer_seconds):
                    return json_answer({"results": await used.predictor.predict(uploads, top)})

    async def predict_lines(self, request: Request, top: int, name: str | None = None) -> Response:
        """Answer line by line."""
        with ExitStack() as held:
            hold = held.enter_context(self.budget.request())
            uploads = await self.receive(request, hold, self.settings.images_per_stream, name)
            used = held.enter_context(self.repository.find(name).request())
            lines = predicted_lines(used.predictor, uploads, top, self.settings)
            return LinesResponse(lines, held.pop_all())
