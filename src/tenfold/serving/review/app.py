"""The HTTP application of the review page."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from tenfold.core.errors import StorageError, TenfoldError
from tenfold.core.text import printable
from tenfold.serving.answers import add_page, json_answer
from tenfold.serving.guard import AllowedHosts, Guard, Refusal
from tenfold.serving.metrics import Metrics
from tenfold.serving.pages import page_files
from tenfold.serving.review.nearest import NearestImages
from tenfold.serving.review.pictures import SIZES, Pictures
from tenfold.serving.review.session import MOST_ROWS, ReviewSession

TOKEN_HEADER = "x-tenfold-review"
"""With it comes every request that writes: only the page, and who may read it, knows its value."""
_MOST_BODY_BYTES = 4096
_MOST_SECONDS = 120.0
"""For PyTorch to load, before the first nearest images are there."""
_FOR_EVER = "private, max-age=31536000, immutable"
"""An address of a picture names the data set's content."""
_TEMPLATES = Path(__file__).parent / "templates"
_Name = Annotated[str, Query(max_length=100)]
_Place = Annotated[int, Query(ge=0)]


def create_review_app(session: ReviewSession) -> FastAPI:
    """Give the ASGI application in which one reviewer looks at one study, on loopback."""
    token = secrets.token_urlsafe(24)
    study = session.study
    pictures = Pictures(study)
    nearest = NearestImages(study)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        nearest.close()

    app = FastAPI(
        title=f"tenfold review: {printable(study.acquired.title)}",
        version=metadata.version("tenfold"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.add_exception_handler(RequestValidationError, _parameter_error)
    files = page_files(
        _TEMPLATES,
        "review",
        title=study.acquired.title,
        reviewer=session.reviewer,
        is_resolving=session.is_resolving,
        version=metadata.version("tenfold"),
    )
    add_page(app, files)

    @app.get("/api/state")
    def state() -> Response:
        return json_answer({**session.state(), "token": token})

    @app.get("/api/rows")
    def rows(
        name: _Name, start: _Place, count: Annotated[int, Query(ge=1, le=MOST_ROWS)]
    ) -> Response:
        return json_answer(session.rows(name, start, count))

    @app.get("/api/next")
    def next_open(name: _Name, after: _Place) -> Response:
        return json_answer({"place": session.next_open(name, after)})

    @app.get("/api/item")
    def item(id: _Name) -> Response:
        return json_answer(session.item(id))

    @app.get("/api/nearest")
    def nearest_images(id: _Name) -> Response:
        session.place(id)
        found = nearest(id)
        return json_answer(
            {
                "problem": nearest.problem,
                "images": [
                    {"id": one.id, "label": study.label(one.id), "similarity": one.similarity}
                    for one in found or ()
                ],
            }
        )

    @app.get("/api/progress")
    def progress(name: _Name) -> Response:
        return json_answer(session.progress(name))

    @app.get("/image/{digest}/{size}/{split}/{index}")
    def image(digest: str, size: str, split: str, index: str) -> Response:
        known = next((one for one in SIZES if one == size), None)
        if digest != study.digest or known is None:
            raise Refusal(404, "no_image", "There is no such picture.")
        session.place(f"{split}/{index}")
        content, kind = pictures(f"{split}/{index}", known)
        return Response(content, media_type=kind, headers={"cache-control": _FOR_EVER})

    @app.post("/api/decide")
    async def decide(request: Request) -> Response:
        body = await _body(request, token)
        return await _written(
            lambda: session.decide(
                str(body.get("id")),
                str(body.get("verdict")),
                _whole(body.get("label")),
                _whole(body.get("expects")),
            )
        )

    @app.post("/api/undo")
    async def undo(request: Request) -> Response:
        body = await _body(request, token)
        return await _written(lambda: session.undo(_whole(body.get("number")) or 0))

    app.add_middleware(
        Guard,
        metrics=Metrics(),
        paths=frozenset(route.path for route in app.routes if isinstance(route, Route)),
        token=None,
        hosts=AllowedHosts(),
        most_seconds=_MOST_SECONDS,
    )
    return app


async def _body(request: Request, token: str) -> dict[str, Any]:
    """Give what a request that writes says, if it comes from the page."""
    given = request.headers.get(TOKEN_HEADER, "")
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise Refusal(
            403,
            "stale_page",
            "This page was loaded before the server was started again. Load it again.",
        )
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _MOST_BODY_BYTES:
            raise Refusal(413, "too_large", "That is more than a decision takes.")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "bad_request", "A decision is sent as a JSON object.")
    return body


async def _written(write: Callable[[], dict[str, Any]]) -> Response:
    try:
        return json_answer(await run_in_threadpool(write))
    except StorageError as error:
        raise Refusal(507, "not_written", f"Not written down. {error}") from error
    except TenfoldError as error:
        raise Refusal(503, "not_written", f"Not written down. {error}") from error


def _whole(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 10**9:
        raise Refusal(422, "number", "A whole number is needed.")
    return value


async def _parameter_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    raise Refusal(422, "parameter", f"The parameter {first['loc'][-1]} is missing or not allowed.")
