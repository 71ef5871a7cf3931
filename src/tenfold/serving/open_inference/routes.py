"""The protocol's addresses."""

from __future__ import annotations

import asyncio
import json
from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request, Response

from tenfold.serving.answers import check_well, json_answer
from tenfold.serving.guard import Refusal
from tenfold.serving.open_inference.outputs import computed_outputs, described, wanted_outputs
from tenfold.serving.open_inference.schema import (
    ErrorAnswer,
    InferenceRequest,
    InferenceResponse,
    Live,
    ModelMetadata,
    ModelNames,
    Ready,
    ServerMetadata,
)
from tenfold.serving.open_inference.tensors import (
    Output,
    TakenInput,
    is_true,
    read_images,
    read_request,
    written,
)
from tenfold.serving.repository import ModelInUse
from tenfold.serving.requests import receive_body
from tenfold.serving.service import PredictionService
from tenfold.serving.settings import HANGING_SHARE

HEADER_LENGTH = "inference-header-content-length"
_EXTENSIONS = ["binary_tensor_data", "classification"]
_MODEL, _VERSION = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
_NO: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer, "description": "What was asked cannot be done."},
    503: {"model": ErrorAnswer, "description": "The server is busy, or the network hangs."},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": InferenceRequest.model_json_schema(
                    ref_template="#/components/schemas/{model}"
                )
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def open_inference(service: PredictionService) -> APIRouter:
    """Give the routes by which clients of KServe, Triton and MLServer use the models."""
    repository, settings = service.repository, service.settings
    router = APIRouter(tags=["Open Inference Protocol"], responses=_NO)

    @router.get("/v2", response_model=ServerMetadata)
    @router.get("/v2/", include_in_schema=False)
    async def server() -> Response:
        """Describe the server."""
        return json_answer(
            {
                "name": "tenfold",
                "version": metadata.version("tenfold"),
                "extensions": _EXTENSIONS,
            }
        )

    @router.get("/v2/health/live", response_model=Live)
    async def live() -> Response:
        """Say that the server need not be started again."""
        check_well(repository.running_seconds <= HANGING_SHARE * settings.answer_seconds)
        return json_answer({"live": True})

    @router.get("/v2/health/ready", response_model=Ready)
    async def ready() -> Response:
        """Say that all models answer."""
        check_well(repository.running_seconds <= settings.answer_seconds)
        return json_answer({"ready": True})

    @router.get("/v2/models", response_model=ModelNames)
    async def models() -> Response:
        """Give the models' names, the default one first."""
        return json_answer({"models": [one.name for one in repository.all()]})

    @router.get(_MODEL, response_model=ModelMetadata)
    @router.get(_VERSION, response_model=ModelMetadata)
    async def describe(name: str, version: str | None = None) -> Response:
        """Describe a model's input and outputs."""
        return json_answer(described(repository.find(name, version)))

    @router.get(f"{_MODEL}/ready", response_model=Ready)
    @router.get(f"{_VERSION}/ready", response_model=Ready)
    async def model_ready(name: str, version: str | None = None) -> Response:
        """Say that a model answers."""
        used = repository.find(name, version)
        check_well(used.predictor.batcher.running_seconds <= settings.answer_seconds)
        return json_answer({"name": used.name, "ready": True})

    @router.post(f"{_MODEL}/infer", response_model=InferenceResponse, openapi_extra=_BODY)
    @router.post(f"{_VERSION}/infer", response_model=InferenceResponse, openapi_extra=_BODY)
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        """Compute a model's outputs for pixels or image files."""
        repository.find(name, version)  # before the body is there
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(415, "unsupported", "Compressed bodies are not taken. Send it as it is.")
        with service.budget.request() as hold:
            body = await receive_body(request, settings, service.arriving, hold)
            asked, behind = read_request(body, request.headers.get(HEADER_LENGTH), hold)
            with repository.find(name, version).request() as used:
                wanted = wanted_outputs(asked, used.model)
                taken = TakenInput(used.model.image_shape, settings.images_per_request)
                images = read_images(asked, behind, taken, hold)
                async with asyncio.timeout(settings.answer_seconds):
                    rows = await used.predictor.rows(images)
                return _answer(asked, used, computed_outputs(rows, used.model, wanted))

    return router


def _answer(asked: InferenceRequest, used: ModelInUse, outputs: list[Output]) -> Response:
    """Give the outputs as JSON, and those that were asked for so as bytes behind it."""
    all_binary = is_true(asked.parameters, "binary_data_output", default=False)
    asked_binary = {
        one.name: is_true(one.parameters, "binary_data", default=all_binary)
        for one in asked.outputs or ()
    }
    parts = [written(one, is_binary=asked_binary.get(one.name, all_binary)) for one in outputs]
    told: dict[str, Any] = {"model_name": used.name, "model_version": used.version}
    if asked.id is not None:
        told["id"] = asked.id
    told["outputs"] = [one for one, _ in parts]
    if not any("parameters" in one for one, _ in parts):
        return json_answer(told)
    text = json.dumps(told, separators=(",", ":"), allow_nan=False).encode()
    return Response(
        b"".join([text, *(content for _, content in parts)]),
        media_type="application/octet-stream",
        headers={"cache-control": "no-store", HEADER_LENGTH: str(len(text))},
    )
