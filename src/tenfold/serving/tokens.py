"""Who may ask how often: tokens by name, from a file that may change while the server runs."""

from __future__ import annotations

import hmac
import logging
import math
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from tenfold.core.errors import SettingsError
from tenfold.core.files import read_regular_file
from tenfold.core.text import printable

_MOST_BYTES = 2**20
_MOST_TOKENS = 10_000
_LEAST_LETTERS = 16
_LOOKING_SECONDS = 1.0
"""Between two looks at the file: so long may a token be taken that was taken out of it."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOKEN = re.compile(r"[!-~]+")
_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_FORM = "Each line is a name, a token and, if wanted, a rate: shop s3cret-s3cret-s3cret 100/minute"
_LOG = logging.getLogger("tenfold.serving")


@dataclass(frozen=True)
class Rate:
    """So many requests in such a time, all of which may come at once."""

    requests: int
    unit: str

    def __str__(self) -> str:
        article = "an" if self.unit == "hour" else "a"
        return f"{self.requests:,} requests {article} {self.unit}"


class Caller:
    """Who showed a token, and how much may still be asked (a token bucket)."""

    def __init__(self, name: str | None, rate: Rate | None = None) -> None:
        self.name = name
        self.rate = rate
        self._left = float("inf") if rate is None else float(rate.requests)
        self._at = time.monotonic()

    def wait_seconds(self, now: float) -> float:
        """Count a request and give 0, or give how long to wait for one."""
        if self.rate is None:
            return 0.0
        refill = self.rate.requests / _SECONDS[self.rate.unit]
        self._left = min(float(self.rate.requests), self._left + (now - self._at) * refill)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / refill


class Tokens:
    """The tokens that clients may show.

    They are found by a keyed digest, so that the time that it takes tells nothing of them.
    """

    def __init__(self, tokens: dict[bytes, Caller], path: Path | None = None) -> None:
        self._key = os.urandom(32)
        self._path = path
        self._state: tuple[int, ...] | None = None
        self._looked = time.monotonic()
        self._callers: dict[bytes, Caller] = {}
        self._take(tokens)

    @classmethod
    def of_one(cls, token: str) -> Tokens:
        """Give the one token of a server, which has no name and no rate."""
        return cls({token.encode("ascii"): Caller(None)})

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """Read a file of tokens, which is looked at again while the server runs.

        Raises
        ------
        SettingsError
            If it cannot be read, or a line of it is wrong; the message has the line's number and
            no token.
        """
        state = _state(path)
        tokens = cls(_read(path), path)
        tokens._state = state
        return tokens

    def find(self, authorization: bytes, now: float) -> Caller | None:
        """Give who sends such a header; None for nobody."""
        if self._path is not None and now - self._looked >= _LOOKING_SECONDS:
            self._looked = now
            self._look_again(self._path)
        kind, _, token = authorization.strip().partition(b" ")
        if kind.lower() != b"bearer":
            return None
        return self._callers.get(self._digest(token.strip()))

    def _digest(self, token: bytes) -> bytes:
        return hmac.digest(self._key, token, "sha256")

    def _look_again(self, path: Path) -> None:
        state = _state(path)
        if state == self._state:
            return
        self._state = state
        try:
            self._take(_read(path))
        except SettingsError as error:
            _LOG.error("The tokens stay as they were. %s", error)

    def _take(self, tokens: dict[bytes, Caller]) -> None:
        """Use these; who has the name and the rate of one before goes on counting."""
        before = {(one.name, one.rate): one for one in self._callers.values()}
        self._callers = {
            self._digest(token): before.get((one.name, one.rate), one)
            for token, one in tokens.items()
        }


def whole_seconds(seconds: float) -> int:
    """Give what ``Retry-After`` says."""
    return max(1, math.ceil(seconds))


def parse_tokens(content: bytes, place: str) -> dict[bytes, Caller]:
    """Give who shows which token.

    Raises
    ------
    SettingsError
        If a line is wrong, or there is no token at all; `place` is the file's, for the message.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _wrong(place, line, "it is no UTF-8 text") from None
    found: dict[bytes, Caller] = {}
    lines: dict[str, int] = {}
    for number, written in enumerate(text.split("\n"), 1):
        words = written.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) not in (2, 3):
            raise _wrong(place, number, f"it has {len(words)} words instead of 2 or 3")
        name, token = words[:2]
        if not _NAME.fullmatch(name):
            raise _wrong(
                place,
                number,
                f"{printable(name)[:40]!r} is no name: up to 64 letters, digits, dots, hyphens and "
                "underscores",
            )
        if not _TOKEN.fullmatch(token):
            raise _wrong(place, number, "its token has letters that no header can carry")
        if len(token) < _LEAST_LETTERS:
            raise _wrong(
                place,
                number,
                f"its token has {len(token)} letters, fewer than {_LEAST_LETTERS}; make one with: "
                "python -c 'import secrets; print(secrets.token_urlsafe())'",
            )
        rate = _RATE.fullmatch(words[2]) if len(words) == 3 else None
        if len(words) == 3 and rate is None:
            raise _wrong(
                place,
                number,
                f"{printable(words[2])[:40]!r} is no rate: a number from 1, then /second, /minute, "
                "/hour or /day",
            )
        if name in lines:
            raise _wrong(place, number, f"line {lines[name]} has the name {name} already")
        if token.encode("ascii") in found:
            other = found[token.encode("ascii")].name
            raise _wrong(place, number, f"its token is the one of {other} already")
        if len(found) == _MOST_TOKENS:
            raise _wrong(place, number, f"it is one more than {_MOST_TOKENS:,} tokens")
        lines[name] = number
        found[token.encode("ascii")] = Caller(name, rate and Rate(int(rate[1]), rate[2]))
    if not found:
        raise SettingsError(f"{place} has no token, so that nobody could use the server. {_FORM}")
    return found


def _read(path: Path) -> dict[bytes, Caller]:
    try:
        content = read_regular_file(path, _MOST_BYTES)
    except OSError as error:
        raise SettingsError(
            f"The tokens in {path} cannot be read: {error.strerror or error}. {_FORM}"
        ) from None
    return parse_tokens(content, str(path))


def _wrong(place: str, line: int, what: str) -> SettingsError:
    return SettingsError(f"{place}, line {line}: {what}. {_FORM}")


def _state(path: Path) -> tuple[int, ...] | None:
    """Give what differs when a file is written anew, or a link points elsewhere."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
