"""The files in a form's body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import ModuleType

from tenfold.exporting.extra import need
from tenfold.serving.refusal import Refusal

_LONGEST_BOUNDARY = 200
"""RFC 2046 allows 70."""
_HEAD_BYTES = 8192
_MOST_FIELDS = 100
_STEP_BYTES = 2**18
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class Upload:
    """One image as it was sent."""

    name: str
    """As the client called it; for the answer only, it is never opened."""
    content: bytes


def read_form(content_type: str, body: bytes, *, most_files: int) -> list[Upload]:
    """Give the files of a ``multipart/form-data`` body; fields that are no files are left out.

    The time it takes grows with the body's length alone, whatever is in it: it is split by searches
    for the boundary, and after so many parts no more (RFC 7578 and RFC 2046, 5.1). A damaged form
    may take some tens of milliseconds, so call it in a thread.

    Parameters
    ----------
    content_type
        The request's header, with the boundary.
    body
        Whole.
    most_files
        That are taken.

    Raises
    ------
    Refusal
        400 if it is no such body or ends too early, 413 if it has too many parts.
    """
    parsing = need("python_multipart.multipart", extra="serve")
    boundary = parsing.parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise Refusal(400, "bad_form", "The form's Content-Type has no boundary.")
    if len(boundary) > _LONGEST_BOUNDARY or not boundary.isascii() or b"\n" in boundary:
        raise _bad("its boundary is none")
    delimiter = b"\r\n--" + boundary
    # The first boundary may stand at the very beginning.
    start = len(delimiter) - 2 if body.startswith(delimiter[2:]) else None
    if start is None and body.startswith(delimiter):
        start = len(delimiter)
    if start is None:
        raise _early() if not body.strip() else _bad("it does not begin with its boundary")
    uploads: list[Upload] = []
    fields = 0
    while not body.startswith(b"--", start):
        if not body.startswith(b"\r\n", start):
            raise _early() if len(body) <= start + 1 else _bad("a boundary goes on")
        end = _find(body, delimiter, start)  # not start + 2: a part without head or content
        if end < 0:
            raise _early()
        name, content = _file(body, start + 2, end, parsing)
        if name is None:
            fields += 1
        else:
            uploads.append(Upload(name, content))
        if len(uploads) > most_files:
            raise Refusal(
                413,
                "too_many_images",
                f"More than {most_files:,} images were received in one request. Send several "
                "requests.",
            )
        if fields > _MOST_FIELDS:
            raise Refusal(
                413, "too_many_fields", f"Up to {_MOST_FIELDS} fields without a file are taken."
            )
        start = end + len(delimiter)
    return uploads


def _find(body: bytes, wanted: bytes, start: int) -> int:
    """Give where something is, -1 if nowhere; in steps, between which other threads may run."""
    for begin in range(start, len(body), _STEP_BYTES):
        place = body.find(wanted, begin, begin + _STEP_BYTES + len(wanted) - 1)
        if place >= 0:
            return place
    return -1


def _file(body: bytes, start: int, end: int, parsing: ModuleType) -> tuple[str | None, bytes]:
    """Give name and content of a part; the name is None if it is no file."""
    head_end = body.find(b"\r\n\r\n", start, min(end, start + _HEAD_BYTES))
    if head_end < 0:
        if body.startswith(b"\r\n", start):  # a part without headers
            return None, b""
        is_long = end - start >= _HEAD_BYTES
        raise _bad("Maximum header size exceeded" if is_long else "a part's headers have no end")
    for line in body[start:head_end].split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or not _HEADER_NAME.fullmatch(name):
            raise _bad("a part has a header that is none")
        if name.lower() == b"content-disposition":
            options = parsing.parse_options_header(value.strip())[1]
            file = options.get(b"filename")
            content = b"" if file is None else body[head_end + 4 : end]
            return None if file is None else file.decode("utf-8", "replace"), content
    return None, b""


def _bad(reason: str) -> Refusal:
    return Refusal(400, "bad_form", f"The form cannot be read: {reason}.")


def _early() -> Refusal:
    return Refusal(400, "bad_form", "The form ends before its last boundary.")
