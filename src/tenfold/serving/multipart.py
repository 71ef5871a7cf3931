"""The files in a form's body."""

from __future__ import annotations

from dataclasses import dataclass, field

from tenfold.exporting.extra import need
from tenfold.serving.refusal import Refusal


@dataclass(frozen=True)
class Upload:
    """One image as it was sent."""

    name: str
    """As the client called it; for the answer only, it is never opened."""
    content: bytes


@dataclass
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)


class _Reader:
    """Callbacks for python-multipart's parser, which splits a body and checks its form."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self.is_complete = False
        self._name = self._value = b""

    def on_part_begin(self) -> None:
        self.parts.append(_Part())

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self.parts[-1].headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].pieces.append(data[start:end])

    def on_end(self) -> None:
        self.is_complete = True


def read_form(content_type: str, body: bytes) -> list[Upload]:
    """Give the files of a ``multipart/form-data`` body; fields that are no files are left out.

    Parameters
    ----------
    content_type
        The request's header, with the boundary.
    body
        Whole.

    Raises
    ------
    Refusal
        400 if it is no such body or ends too early.
    """
    parsing = need("python_multipart.multipart", extra="serve")
    errors = need("python_multipart.exceptions", extra="serve")
    _, parameters = parsing.parse_options_header(content_type)
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise Refusal(400, "bad_form", "The form's Content-Type has no boundary.")
    reader = _Reader()
    names = [name for name in dir(_Reader) if name.startswith("on_")]
    try:
        parser = parsing.MultipartParser(boundary, {name: getattr(reader, name) for name in names})
        parser.write(body)
        parser.finalize()
    except (errors.FormParserError, ValueError) as error:
        raise Refusal(400, "bad_form", f"The form cannot be read: {str(error)[:200]}.") from error
    if not reader.is_complete:
        raise Refusal(400, "bad_form", "The form ends before its last boundary.")
    uploads = []
    for part in reader.parts:
        _, options = parsing.parse_options_header(part.headers.get(b"content-disposition", b""))
        name = options.get(b"filename")
        if name is not None:
            uploads.append(Upload(name.decode("utf-8", "replace"), b"".join(part.pieces)))
    return uploads
