"""An answer that says no, and why."""

from __future__ import annotations

import json


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

    def body(self) -> bytes:
        """Give the body of the answer."""
        return json.dumps({"error": self.plain()}, ensure_ascii=False).encode()
