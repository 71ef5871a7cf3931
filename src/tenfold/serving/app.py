"""The HTTP application: page, predictions, explanations, health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.routing import Route

from tenfold.core.text import printable
from tenfold.serving.answers import add_page, json_answer
from tenfold.serving.guard import AllowedHosts, Guard, Refusal
from tenfold.serving.metrics import CONTENT_TYPE, Metrics
from tenfold.serving.onnx_model import OnnxModel
from tenfold.serving.pages import page_files
from tenfold.serving.predictor import Predictor
from tenfold.serving.requests import (
    SLOWEST_BYTES_PER_SECOND,
    ArrivingBodies,
    MemoryBudget,
    receive_images,
)
from tenfold.serving.schema import (
    IMAGE_BODY,
    NOT_READY,
    PROBLEMS,
    ExplainAnswer,
    HealthAnswer,
    ModelAnswer,
    PredictAnswer,
)
from tenfold.serving.settings import ServingSettings

if TYPE_CHECKING:
    from tenfold.serving.model import ImageExplainer

_MOST_EXPLANATIONS = 16  # waiting; each takes a gradient, some tens of milliseconds
HANGING_SHARE = 2
"""A batch that takes so many times `answer_seconds` is taken for one that never ends."""
_TEMPLATES = Path(__file__).parent / "templates"
_Top = Annotated[int, Query(ge=1, description="Give so many of the most probable classes.")]


def create_app(
    model: OnnxModel,
    settings: ServingSettings,
    *,
    token: str | None = None,
    hosts: AllowedHosts | None = None,
    explainer: ImageExplainer | None = None,
) -> FastAPI:
    """Give the ASGI application that serves a model.

    `token` is what clients must show, None for none. `hosts` are the names by which the server
    answers, None for those of a server on loopback.
    """
    metrics = Metrics(printable(model.description.title), lambda: predictor.batcher.waiting)
    budget = MemoryBudget(settings.memory_bytes)
    arriving = ArrivingBodies(settings.memory_bytes, settings.receive_seconds)
    predictor = Predictor(model, settings, metrics, budget)
    explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")
    waiting_explanations = asyncio.Semaphore(_MOST_EXPLANATIONS)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        predictor.close()
        explaining.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title=f"tenfold: {printable(model.description.title)}",
        summary="Images in, calibrated probabilities out.",
        version=metadata.version("tenfold"),
        docs_url=None,  # both load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        responses={status: PROBLEMS[status] for status in (401, 403, 421, 503)},
    )
    app.add_exception_handler(RequestValidationError, _parameter_error)
    files = page_files(
        _TEMPLATES,
        "page",
        model=model.description,
        settings=settings,
        needs_token=token is not None,
        explains=explainer is not None,
        version=metadata.version("tenfold"),
    )
    add_page(app, files)

    @app.post(
        "/api/predict",
        response_model=PredictAnswer,
        responses={status: PROBLEMS[status] for status in (400, 408, 413, 415, 422)},
        openapi_extra=IMAGE_BODY,
    )
    async def predict(request: Request, top: _Top = 10) -> Response:
        """Say what images show: the body is one image, or a form with a file an image.

        With several images, one that cannot be read has an `error` and the others are answered.
        """
        with budget.request() as hold:
            uploads = await receive_images(request, settings, arriving, hold)
            async with asyncio.timeout(settings.answer_seconds):
                return json_answer({"results": await predictor.predict(uploads, top)})

    @app.post(
        "/api/explain",
        response_model=ExplainAnswer,
        responses={status: PROBLEMS[status] for status in (400, 408, 413, 415, 422, 501)},
        openapi_extra=IMAGE_BODY,
    )
    async def explain(request: Request) -> Response:
        """Show what speaks for the most probable class of one image, and what it resembles."""
        if explainer is None:
            raise Refusal(501, "no_explanations", "This server's model has no explanations.")
        if waiting_explanations.locked():
            raise Refusal(503, "busy", "Too many explanations are asked for. Try again later.")
        with budget.request() as hold:
            uploads = await receive_images(request, settings, arriving, hold)
            if len(uploads) > 1:
                raise Refusal(413, "too_many_images", "One image at a time is explained.")
            async with waiting_explanations, asyncio.timeout(settings.answer_seconds):
                pixels, row = await predictor.examine(uploads[0])
                predicted = int(row.argmax())
                parts = await asyncio.get_running_loop().run_in_executor(
                    explaining, explainer, pixels, predicted
                )
        return json_answer(
            {
                "class": model.classes[predicted],
                "probability": float(str(row[predicted])),
                **parts,
            }
        )

    @app.get("/api/model", response_model=ModelAnswer)
    async def describe() -> Response:
        """Describe the model."""
        told = set(ModelAnswer.model_fields) - {"explains", "set_coverage"}
        description = model.description.model_dump(include=told)
        sets = model.description.prediction_sets
        return json_answer(
            {
                **description,
                "set_coverage": None if sets is None else sets.wanted_coverage,
                "explains": explainer is not None,
            }
        )

    @app.get("/health", response_model=HealthAnswer)
    @app.get("/health/ready", response_model=HealthAnswer, responses=NOT_READY)
    async def ready() -> Response:
        """Say that requests are answered: the network does not take too long for its batch."""
        return _health(predictor.batcher.running_seconds <= settings.answer_seconds)

    @app.get("/health/live", response_model=HealthAnswer, responses=NOT_READY)
    async def live() -> Response:
        """Say that the server need not be started again: the network does not hang."""
        return _health(predictor.batcher.running_seconds <= HANGING_SHARE * settings.answer_seconds)

    @app.get("/metrics", response_class=Response)
    async def show_metrics() -> Response:
        """Give counters for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    app.add_middleware(
        Guard,
        metrics=metrics,
        paths=frozenset(route.path for route in app.routes if isinstance(route, Route)),
        token=token,
        hosts=hosts or AllowedHosts(),
        most_seconds=settings.receive_seconds
        + settings.body_bytes / SLOWEST_BYTES_PER_SECOND
        + 2 * settings.answer_seconds,
    )
    return app


def _health(is_well: bool) -> Response:
    if not is_well:
        raise Refusal(503, "not_ready", "The network does not answer.")
    return json_answer({"status": "ok"})


async def _parameter_error(_: Request, error: Exception) -> Response:
    """Answer a parameter that FastAPI cannot read as all other problems."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    raise Refusal(
        422,
        "parameter",
        f"The parameter {first['loc'][-1]} is no whole number of at least 1: "
        f"{str(first['input'])[:40]!r}.",
    )
