"""``python -m tenfold.data.images.worker``: decodes one image after the other, within limits.

The other side of `processes`. Memory and processor time are limited by the operating
system before a byte of a file is looked at; where it cannot (Windows, and memory on macOS and where
there is no /proc), the header's own claim and the parent's clock remain.
"""

from __future__ import annotations

import io
import json
import os
import queue
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from PIL import Image

from tenfold.core.records.data import ValueRanges
from tenfold.data.images.formats import TooManyPixelsError, TooMuchMemoryError, UnreadableImageError
from tenfold.data.images.pillow import OpenFile, header_of, pixels_of, reasons, values_of

try:
    import resource as _resource
except ImportError:  # Windows
    resource: ModuleType | None = None
else:
    resource = _resource

# For a decoder's tables, threads and the file itself, beside the pixels; and for looking at a file
# whose size is not known yet.
_BASE_BYTES = 2**28
# Decoders' own copies; what is counted is Pillow's and ours.
_SLACK = 2

_SHORT: dict[bytes, dict[str, Any]] = {b"go\n": {}, b"no\n": {"is_refused": True}}

Request = tuple[dict[str, Any], bytes]


class Worker:
    """Answers requests.

    Parameters
    ----------
    requests
        Lines that were read, each with its content.
    answers
        Where to write.
    """

    def __init__(self, requests: queue.Queue[Request], answers: BinaryIO) -> None:
        self._requests = requests
        self._answers = answers

    def serve(self) -> None:
        """Answer until the process is ended."""
        self._answer({"is_ready": True})
        while True:
            request, content = self._requests.get()
            try:
                with reasons():
                    answer, result = self._do(request, content)
            except TooManyPixelsError as error:
                answer = {"error": "pixels", "width": error.width, "height": error.height}
                result = b""
            except (TooMuchMemoryError, MemoryError):
                answer, result = {"error": "memory"}, b""
            except (UnreadableImageError, OSError) as error:
                answer, result = {"error": "file", "reason": str(error)[:500]}, b""
            _limit_memory(None)
            self._answer(answer, result)

    def _do(self, request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
        _limit_time(int(request["processor_seconds"]))
        most_bytes, most_pixels = int(request["most_bytes"]), int(request["most_pixels"])
        opening_bytes = int(request["opening_bytes"])
        if opening_bytes > most_bytes:
            raise TooMuchMemoryError
        _limit_memory(_BASE_BYTES + len(content) + opening_bytes)

        @contextmanager
        def hold(size: int) -> Iterator[None]:
            if size > most_bytes:
                raise TooMuchMemoryError
            self._answer({"needs": size})
            go_on, _ = self._requests.get()
            if go_on.get("is_refused"):
                raise TooMuchMemoryError
            _limit_memory(_BASE_BYTES + len(content) + _SLACK * size)
            yield

        path = Path(os.fsdecode(bytes.fromhex(request["path"])))
        with path.open("rb") if request["path"] else io.BytesIO(content) as file:
            # A JPEG is here because of its scans, mostly.
            source = OpenFile(file, request["kind"], is_progressive=request["kind"] == "JPEG")
            if request["task"] == "header":
                header = header_of(source)
                if header.width * header.height > most_pixels:
                    raise TooManyPixelsError(header.width, header.height, most_pixels)
                names = ("height", "width", "is_gray", "depth")
                return {name: getattr(header, name) for name in names}, b""
            if request["task"] == "values":
                quantiles = int(request["quantiles"])
                return {}, values_of(source, quantiles, hold, most_pixels=most_pixels).tobytes()
            height, width, channels = request["shape"]
            pixels = pixels_of(
                source,
                (height, width, channels),
                ValueRanges.model_validate(request["ranges"]),
                hold,
                is_resized=bool(request["is_resized"]),
                most_pixels=most_pixels,
            )
            return {}, pixels.tobytes()

    def _answer(self, answer: dict[str, Any], content: bytes = b"") -> None:
        self._answers.write(json.dumps(answer).encode() + b"\n" + content)
        self._answers.flush()


def main() -> None:
    """Read requests and answer them; end at once when the parent is gone."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Whatever a decoder prints is no answer.
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # The parent says how many.
    _add_formats()
    requests: queue.Queue[Request] = queue.Queue()

    def listen() -> None:
        lines = sys.stdin.buffer
        while line := lines.readline():
            request = _SHORT[line] if line in _SHORT else json.loads(line)
            requests.put((request, lines.read(request.get("size", 0))))
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    Worker(requests, answers).serve()


def _add_formats() -> None:
    Image.init()
    try:
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # Images are decoded side by side instead.
    except ImportError:  # Pillow before 11.3
        pass
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener(decode_threads=1)


def _limit_time(seconds: int) -> None:
    """Have the process ended after so much processor time from now."""
    if resource is None:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, most))


def _limit_memory(more: int | None) -> None:
    """Let the process take so many more bytes than it has now; None for any number."""
    if resource is None or not sys.platform.startswith("linux"):
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if more is None:
        limit = most
    else:
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
        except OSError:  # a container without /proc
            return
        limit = pages * resource.getpagesize() + more
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))


if __name__ == "__main__":
    main()
