"""What the applications of this room answer alike: JSON, their own files, errors of Starlette's."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from tenfold.serving.guard import Refusal, in_text
from tenfold.serving.pages import PageFiles


def check_well(is_well: bool) -> None:
    """Refuse to say that a server is well whose network takes too long."""
    if not is_well:
        raise Refusal(503, "not_ready", "The network does not answer.")


def json_answer(content: Any) -> Response:
    """Answer with JSON that nobody keeps."""
    return Response(
        # Half a surrogate pair, of a name that is no Unicode, becomes its escape sequence in JSON.
        json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(
            errors="backslashreplace"
        ),
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


def add_page(app: FastAPI, files: PageFiles) -> None:
    """Give an application its page's files, as they are when asked for, and one form for errors."""
    app.add_exception_handler(HTTPException, _http_error)
    for path in files:
        app.add_api_route(path, _file(files, path), include_in_schema=False)


def _file(files: PageFiles, path: str) -> Any:
    async def give() -> Response:
        content, kind = files[path]
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    return give


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer Starlette's own errors (no such address, no such method) as all others."""
    assert isinstance(error, HTTPException)
    refusal = Refusal(error.status_code, "refused", f"{error.detail}.")
    body = refusal.body(is_text=in_text(request.url.path))
    return Response(body, refusal.status, headers=error.headers, media_type="application/json")
