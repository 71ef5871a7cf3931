"""The HTTP application: page, predictions, explanations, health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.routing import Route

from tenfold.core.text import printable
from tenfold.serving.answers import add_page, json_answer
from tenfold.serving.guard import AllowedHosts, Guard, Refusal
from tenfold.serving.lines import LINES
from tenfold.serving.live import LiveCollector, live_answers
from tenfold.serving.metrics import CONTENT_TYPE, Metrics
from tenfold.serving.model import ServedModel
from tenfold.serving.onnx_model import OnnxModel
from tenfold.serving.open_inference.routes import open_inference
from tenfold.serving.operations import Operations
from tenfold.serving.pages import page_files
from tenfold.serving.predictor import Predictor
from tenfold.serving.repository import FIRST_VERSION, ModelInUse, ModelRepository, NamedModel
from tenfold.serving.requests import (
    SLOWEST_BYTES_PER_SECOND,
    ArrivingBodies,
    MemoryBudget,
    Upload,
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
from tenfold.serving.service import PredictionService
from tenfold.serving.settings import HANGING_SHARE, ServingSettings

if TYPE_CHECKING:
    from tenfold.serving.model import ImageExplainer

_MOST_EXPLANATIONS = 16  # waiting; each takes a gradient, some tens of milliseconds
_TEMPLATES = Path(__file__).parent / "templates"
_Top = Annotated[int, Query(ge=1, description="Give so many of the most probable classes.")]


def create_app(
    model: OnnxModel,
    settings: ServingSettings,
    *,
    token: str | None = None,
    hosts: AllowedHosts | None = None,
    explainer: ImageExplainer | None = None,
    name: str = "model",
    operations: Operations | None = None,
) -> FastAPI:
    """Give the ASGI application that serves a model.

    `token` is what clients must show, None for none. `hosts` are the names by which the server
    answers, None for those of a server on loopback. `name` is the model's in addresses.
    """
    operations = operations or Operations()
    metrics = Metrics()
    budget = MemoryBudget(settings.memory_bytes)
    repository = ModelRepository(partial(_predictor, settings, metrics, budget))
    service = PredictionService(
        repository,
        settings,
        ArrivingBodies(settings.memory_bytes, settings.receive_seconds),
        budget,
    )
    metrics.add(LiveCollector(repository))
    repository.put(NamedModel(name, FIRST_VERSION, ServedModel(model, explainer)))

    explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")
    waiting_explanations = asyncio.Semaphore(_MOST_EXPLANATIONS)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        operations.close()
        repository.close()
        explaining.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title=f"tenfold: {printable(model.description.title)}",
        summary="Images in, calibrated probabilities out.",
        version=metadata.version("tenfold"),
        docs_url=None,  # both load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        responses={status: PROBLEMS[status] for status in (401, 403, 421, 429, 503)},
    )
    app.add_exception_handler(RequestValidationError, _parameter_error)
    files = page_files(
        _TEMPLATES,
        "page",
        model=model.description,
        settings=settings,
        needs_token=token is not None or operations.tokens is not None,
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
        return await service.predict(request, top)

    @app.post(
        "/api/predict/lines",
        response_class=Response,
        responses={
            200: {"content": {LINES: {}}, "description": "An ImageResult a line."},
            **{status: PROBLEMS[status] for status in (400, 408, 413, 415, 422)},
        },
        openapi_extra=IMAGE_BODY,
    )
    async def predict_lines(request: Request, top: _Top = 10) -> Response:
        """Say what many images show, line by line while they are computed, in the order sent."""
        return await service.predict_lines(request, top)

    @app.post(
        "/api/explain",
        response_model=ExplainAnswer,
        responses={status: PROBLEMS[status] for status in (400, 408, 413, 415, 422, 501)},
        openapi_extra=IMAGE_BODY,
    )
    async def explain(request: Request) -> Response:
        """Show what speaks for the most probable class of one image, and what it resembles."""
        _explainer(repository.find())  # before the body is there
        if waiting_explanations.locked():
            raise Refusal(503, "busy", "Too many explanations are asked for. Try again later.")
        with budget.request() as hold:
            uploads = await service.receive(request, hold, settings.images_per_request)
            if len(uploads) > 1:
                raise Refusal(413, "too_many_images", "One image at a time is explained.")
            with repository.find().request() as used:
                async with waiting_explanations, asyncio.timeout(settings.answer_seconds):
                    return json_answer(await _explained(used, uploads[0], explaining))

    @app.get("/api/model", response_model=ModelAnswer)
    async def describe() -> Response:
        """Describe the model."""
        used = repository.find()
        told = set(ModelAnswer.model_fields) - {"explains", "set_coverage"}
        description = used.model.description.model_dump(include=told)
        sets = used.model.description.prediction_sets
        return json_answer(
            {
                **description,
                "set_coverage": None if sets is None else sets.wanted_coverage,
                "explains": used.served.explainer is not None,
            }
        )

    @app.get("/health", response_model=HealthAnswer)
    @app.get("/health/ready", response_model=HealthAnswer, responses=NOT_READY)
    async def ready() -> Response:
        """Say that requests are answered: the network does not take too long for its batch."""
        return _health(repository.running_seconds <= settings.answer_seconds)

    @app.get("/health/live", response_model=HealthAnswer, responses=NOT_READY)
    async def live() -> Response:
        """Say that the server need not be started again: the network does not hang."""
        return _health(repository.running_seconds <= HANGING_SHARE * settings.answer_seconds)

    @app.get("/metrics", response_class=Response)
    async def show_metrics() -> Response:
        """Give counters for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    routers = open_inference(service), live_answers(repository)
    for router in routers:
        app.include_router(router)
    routes = [*app.routes, *(route for router in routers for route in router.routes)]
    app.add_middleware(
        Guard,
        metrics=metrics,
        paths=frozenset(route.path for route in routes if isinstance(route, Route)),
        token=token,
        hosts=hosts or AllowedHosts(),
        most_seconds=settings.receive_seconds
        + settings.body_bytes / SLOWEST_BYTES_PER_SECOND
        + 2 * settings.answer_seconds,
        operations=operations,
    )
    return app


def _predictor(
    settings: ServingSettings, metrics: Metrics, budget: MemoryBudget, named: NamedModel
) -> Predictor:
    model = named.served.model
    counters = metrics.of_model(
        printable(named.name),
        printable(named.version),
        printable(model.description.title),
        lambda: predictor.batcher.waiting,
    )
    predictor = Predictor(model, settings, counters, budget)
    return predictor


def _explainer(used: ModelInUse) -> ImageExplainer:
    if used.served.explainer is None:
        raise Refusal(501, "no_explanations", "This server's model has no explanations.")
    return used.served.explainer


async def _explained(used: ModelInUse, upload: Upload, threads: Executor) -> dict[str, Any]:
    """Give what speaks for an image's most probable class, as `ExplainAnswer` describes it."""
    explain_image = _explainer(used)
    pixels, row = await used.predictor.examine(upload)
    predicted = int(row.argmax())
    parts = await asyncio.get_running_loop().run_in_executor(
        threads, explain_image, pixels, predicted
    )
    return {
        "class": used.model.classes[predicted],
        "probability": float(str(row[predicted])),
        **parts,
    }


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
