"""The HTTP application: page, predictions, explanations, health."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.routing import Route

from tenfold.core.text import printable
from tenfold.serving.answers import add_page, check_well, json_answer
from tenfold.serving.guard import AllowedHosts, Guard, Refusal
from tenfold.serving.live import LiveCollector, live_answers
from tenfold.serving.metrics import CONTENT_TYPE, Metrics
from tenfold.serving.model import ServedModel
from tenfold.serving.named_models import IMAGE_PROBLEMS, LINES_ANSWER, Top, named_models
from tenfold.serving.onnx_model import OnnxModel
from tenfold.serving.open_inference.routes import open_inference
from tenfold.serving.operations import Operations
from tenfold.serving.pages import PageFiles, page_files
from tenfold.serving.predictor import Predictor
from tenfold.serving.repository import FIRST_VERSION, ModelInUse, ModelRepository, NamedModel
from tenfold.serving.requests import (
    SLOWEST_BYTES_PER_SECOND,
    MemoryBudget,
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
from tenfold.serving.watching import WatchedFolder, following

if TYPE_CHECKING:
    from tenfold.serving.model import ImageExplainer

_TEMPLATES = Path(__file__).parent / "templates"


def create_app(
    model: OnnxModel,
    settings: ServingSettings,
    *,
    token: str | None = None,
    hosts: AllowedHosts | None = None,
    explainer: ImageExplainer | None = None,
    name: str = "model",
    version: str = FIRST_VERSION,
    others: Iterable[NamedModel] = (),
    watched: WatchedFolder | None = None,
    operations: Operations | None = None,
) -> FastAPI:
    """Give the ASGI application that serves a model.

    `token` is what clients must show, None for none. `hosts` are the names by which the server
    answers, None for those of a server on loopback. `name` and `version` are the model's in
    addresses; `others` are served beside it. What appears in the folder `watched` replaces the
    model of its name.
    """
    operations = operations or Operations()
    metrics = Metrics()
    budget = MemoryBudget(settings.memory_bytes)
    repository = ModelRepository(partial(_predictor, settings, metrics, budget))
    service = PredictionService(repository, settings, budget)
    metrics.add(LiveCollector(repository))
    for one in (NamedModel(name, version, ServedModel(model, explainer)), *others):
        repository.put(one)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with following(watched, repository, settings.watch_seconds):
            yield
        operations.close()
        service.close()

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

    def page(used: ModelInUse) -> PageFiles:
        return page_files(
            _TEMPLATES,
            "page",
            model=used.model.description,
            settings=settings,
            needs_token=token is not None or operations.tokens is not None,
            explains=used.served.explainer is not None,
            version=metadata.version("tenfold"),
        )

    files = page(repository.find())
    repository.on_default = lambda used: files.update(page(used))
    add_page(app, files)

    @app.post(
        "/api/predict",
        response_model=PredictAnswer,
        responses=IMAGE_PROBLEMS,
        openapi_extra=IMAGE_BODY,
    )
    async def predict(request: Request, top: Top = 10) -> Response:
        """Say what images show: the body is one image, or a form with a file an image.

        With several images, one that cannot be read has an `error` and the others are answered.
        """
        return await service.predict(request, top)

    @app.post(
        "/api/predict/lines",
        response_class=Response,
        responses=LINES_ANSWER | IMAGE_PROBLEMS,
        openapi_extra=IMAGE_BODY,
    )
    async def predict_lines(request: Request, top: Top = 10) -> Response:
        """Say what many images show, line by line while they are computed, in the order sent."""
        return await service.predict_lines(request, top)

    @app.post(
        "/api/explain",
        response_model=ExplainAnswer,
        responses=IMAGE_PROBLEMS | {501: PROBLEMS[501]},
        openapi_extra=IMAGE_BODY,
    )
    async def explain(request: Request) -> Response:
        """Show what speaks for the most probable class of one image, and what it resembles."""
        return await service.explain(request)

    @app.get("/api/model", response_model=ModelAnswer)
    async def describe() -> Response:
        """Describe the model."""
        return service.describe()

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

    routers = named_models(service), open_inference(service), live_answers(repository)
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


def _health(is_well: bool) -> Response:
    check_well(is_well)
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
