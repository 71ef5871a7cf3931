"""The addresses of models by their names; those without a name are the default model's."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from tenfold.serving.lines import LINES
from tenfold.serving.schema import (
    IMAGE_BODY,
    PROBLEMS,
    ExplainAnswer,
    ModelAnswer,
    ModelsAnswer,
    PredictAnswer,
)
from tenfold.serving.service import PredictionService

Top = Annotated[int, Query(ge=1, description="Give so many of the most probable classes.")]
IMAGE_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: PROBLEMS[status] for status in (400, 408, 413, 415, 422)
}
LINES_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {LINES: {}}, "description": "An ImageResult a line."}
}
_MODEL = "/api/models/{name}"


def named_models(service: PredictionService) -> APIRouter:
    """Give the routes of models by name."""
    router = APIRouter(responses={404: PROBLEMS[404]})

    @router.get("/api/models", response_model=ModelsAnswer)
    async def models() -> Response:
        """Describe all models, the default one first."""
        return service.describe_all()

    @router.get(_MODEL, response_model=ModelAnswer)
    async def describe(name: str) -> Response:
        """Describe a model."""
        return service.describe(name)

    @router.post(
        f"{_MODEL}/predict",
        response_model=PredictAnswer,
        responses=IMAGE_PROBLEMS,
        openapi_extra=IMAGE_BODY,
    )
    async def predict(request: Request, name: str, top: Top = 10) -> Response:
        """Say what images show, as `/api/predict` does."""
        return await service.predict(request, top, name)

    @router.post(
        f"{_MODEL}/predict/lines",
        response_class=Response,
        responses=LINES_ANSWER | IMAGE_PROBLEMS,
        openapi_extra=IMAGE_BODY,
    )
    async def predict_lines(request: Request, name: str, top: Top = 10) -> Response:
        """Say what many images show, as `/api/predict/lines` does."""
        return await service.predict_lines(request, top, name)

    @router.post(
        f"{_MODEL}/explain",
        response_model=ExplainAnswer,
        responses=IMAGE_PROBLEMS | {501: PROBLEMS[501]},
        openapi_extra=IMAGE_BODY,
    )
    async def explain(request: Request, name: str) -> Response:
        """Show what speaks for a class, as `/api/explain` does."""
        return await service.explain(request, name)

    return router
