"""An answer that says no, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Send


class Refusal(Exception):
    """A request that is not answered as asked; its message is for the client.

    Parameters
    ----------
    status
        HTTP's status code.
    code
        One word for programs.
    message
        For people: what was wrong and what is allowed. Nothing of the machine, no path.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def plain(self) -> dict[str, str]:
        """Give the error as plain data."""
        return {"code": self.code, "message": self.message}

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Give the headers of the answer."""
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body())),
            (b"cache-control", b"no-store"),
        ]
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if self.status == 503:
            headers.append((b"retry-after", b"1"))
        return headers

    def body(self) -> bytes:
        """Give the body of the answer."""
        return json.dumps({"error": self.plain()}, ensure_ascii=False).encode()

    async def send(self, send: Send, *, closes: bool) -> None:
        """Answer so; `closes` tells the client that nothing follows on the connection."""
        headers = [*self.headers(), *([(b"connection", b"close")] if closes else ())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body()})
