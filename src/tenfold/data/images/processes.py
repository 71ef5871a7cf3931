"""Processes that decode what may cost more than it says, and are ended when it does.

A process takes one image at a time, on its standard input, and answers on its standard output
(`worker` is the other side). What it sends back is lines of JSON and the bytes of arrays
of the size that was asked for: nothing of it is executed. It lives on for the next image unless it
was ended, and ends by itself when this process is gone.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.machine import available_cores
from tenfold.core.records.data import ValueRanges
from tenfold.data.images.formats import (
    DEFAULT_LIMITS,
    DecodingLimits,
    NoMemoryNowError,
    TooManyPixelsError,
    TooMuchMemoryError,
    UnreadableImageError,
)
from tenfold.data.images.pillow import Hold, ImageHeader

_MODULE = "tenfold.data.images.worker"
_MOST_PROCESSES = 8
_MOST_LINE_BYTES = 2**16
# Longer than the processor's time where the machine is busy with others.
_WALL_SECONDS_A_SECOND = 4
_START_SECONDS = 5
_ENVIRONMENT = {
    # Each thread's heap would reserve address space, which is what is limited.
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
ENDED = "decoding it took too much time or memory, as of files made to exhaust them"
"""Why an image is left out whose process was ended, or ended by itself."""
_NOT_STARTED = "it needs a process of its own, which could not be started"
_PACKAGES = Path(__file__).parents[2]
"""Where tenfold lies."""


@dataclass(frozen=True)
class Job:
    """One image to decode elsewhere.

    Parameters
    ----------
    place
        Its path, or its bytes.
    kind
        Its format, which is the only one that is tried.
    limits
        What it may cost.
    hold
        Holds the memory of this process's share while it is decoded.
    opening_bytes
        That its format takes for looking at it already.
    """

    place: Path | bytes
    kind: str
    limits: DecodingLimits
    hold: Hold
    opening_bytes: int = 0


class _Process:
    """One process; ready for the next image unless a conversation with it broke off."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.is_ready = True

    @classmethod
    def start(cls) -> _Process:
        # -P: what lies in the present folder is not imported.
        paths = [str(_PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            process = cls(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", _MODULE],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(paths)},
                    # Ctrl-C is for the parent alone, which ends it.
                    start_new_session=os.name == "posix",
                )
            )
        except OSError as error:
            raise UnreadableImageError(_NOT_STARTED) from error
        try:
            with process._limited(DEFAULT_LIMITS):
                process._line()
        except BaseException as error:
            process.end()
            if isinstance(error, UnreadableImageError):
                raise UnreadableImageError(_NOT_STARTED) from error
            raise
        return process

    def ask(self, job: Job, task: dict[str, Any], size: int) -> tuple[dict[str, Any], bytes]:
        """Have one thing done, and give the answer and so many bytes."""
        limits, place = job.limits, job.place
        content = b"" if isinstance(place, Path) else place
        path = os.fsencode(place.absolute()) if isinstance(place, Path) else b""
        request = task | {
            "kind": job.kind,
            "path": path.hex(),
            "size": len(content),
            "most_pixels": limits.pixels,
            "most_bytes": limits.most_bytes,
            "opening_bytes": job.opening_bytes,
            "processor_seconds": limits.processor_seconds,
        }
        self.is_ready = False
        with self._limited(limits):
            self._send(json.dumps(request).encode() + b"\n")
            self._send(content)
            answer = self._line()
        result = b""
        if "needs" in answer:
            answer, result = self._go_on(job, int(answer["needs"]), size)
        if "error" not in answer and len(result) != size:
            raise UnreadableImageError(ENDED)
        self.is_ready = True
        if "error" in answer:
            raise _error(answer, limits)
        return answer, result

    def _go_on(self, job: Job, needs: int, size: int) -> tuple[dict[str, Any], bytes]:
        """Let it decode as soon as there is memory; tell it if there is none."""
        try:
            with job.hold(min(needs, job.limits.most_bytes)), self._limited(job.limits):
                self._send(b"go\n")
                answer = self._line()
                return answer, b"" if "error" in answer else self._bytes(size)
        except NoMemoryNowError:
            with self._limited(job.limits):
                self._send(b"no\n")
                self._line()
            self.is_ready = True
            raise

    def end(self) -> None:
        """End the process, if it has not ended."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what it could not read any more
                pipe.close()

    @contextmanager
    def _limited(self, limits: DecodingLimits) -> Iterator[None]:
        """End the process after some time, which ends whatever waits for it."""
        seconds = _START_SECONDS + _WALL_SECONDS_A_SECOND * limits.processor_seconds
        timer = threading.Timer(seconds, self.process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        except OSError as error:
            raise UnreadableImageError(ENDED) from error
        finally:
            timer.cancel()

    def _send(self, content: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(content)
        self.process.stdin.flush()

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline(_MOST_LINE_BYTES)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise UnreadableImageError(ENDED)
        return answer

    def _bytes(self, size: int) -> bytes:
        assert self.process.stdout is not None
        content = self.process.stdout.read(size)
        if len(content) != size:
            raise UnreadableImageError(ENDED)
        return content


@dataclass
class DecodingProcesses:
    """As many processes as there are cores, started when they are needed."""

    _idle: list[_Process] = field(default_factory=list)
    _busy: set[_Process] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _places: threading.Semaphore | None = None

    def header(self, job: Job) -> ImageHeader:
        """Give an image's header."""
        answer, _ = self._ask(job, {"task": "header"}, 0)
        return ImageHeader(
            int(answer["height"]),
            int(answer["width"]),
            bool(answer["is_gray"]),
            str(answer["depth"]),
        )

    def pixels(
        self, job: Job, shape: tuple[int, int, int], ranges: ValueRanges, *, is_resized: bool
    ) -> npt.NDArray[np.uint8]:
        """Give an image's pixels, uint8 of `shape`."""
        task = {
            "task": "pixels",
            "shape": shape,
            "ranges": ranges.model_dump(mode="json"),
            "is_resized": is_resized,
        }
        _, content = self._ask(job, task, int(np.prod(shape)))
        return np.frombuffer(content, np.uint8).reshape(shape)

    def values(self, job: Job, quantiles: int) -> npt.NDArray[np.float64]:
        """Give smallest and largest value and quantiles of an image of more than 8 bits."""
        task = {"task": "values", "quantiles": quantiles}
        _, content = self._ask(job, task, 8 * (2 + quantiles))
        return np.frombuffer(content, np.float64)

    def close(self) -> None:
        """End all processes; what is decoded at the moment fails as if it had taken too long."""
        with self._lock:
            idle, self._idle = self._idle, []
            for process in self._busy:
                process.process.kill()  # whoever waits for it does the rest
        for process in idle:
            process.end()

    def forget(self) -> None:
        """Leave the processes to the one that this process was copied from."""
        self._idle, self._busy = [], set()
        self._lock, self._places = threading.Lock(), None

    def _ask(self, job: Job, task: dict[str, Any], size: int) -> tuple[dict[str, Any], bytes]:
        with self._process() as process:
            return process.ask(job, task, size)

    @contextmanager
    def _process(self) -> Iterator[_Process]:
        with self._lock:
            if self._places is None:
                self._places = threading.Semaphore(min(_MOST_PROCESSES, available_cores()))
            places = self._places
        with places:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is not None and process.process.poll() is not None:
                process.end()
                process = None
            if process is None:
                process = _Process.start()
            with self._lock:
                self._busy.add(process)
            try:
                yield process
            finally:
                with self._lock:
                    self._busy.discard(process)
                    if process.is_ready:
                        self._idle.append(process)
                if not process.is_ready:
                    process.end()


def _error(answer: dict[str, Any], limits: DecodingLimits) -> UnreadableImageError:
    kind = answer["error"]
    if kind == "pixels":
        return TooManyPixelsError(int(answer["width"]), int(answer["height"]), limits.pixels)
    if kind == "memory":
        return TooMuchMemoryError()
    return UnreadableImageError(str(answer.get("reason", "damaged"))[:500])


PROCESSES = DecodingProcesses()
"""Of this process."""

atexit.register(PROCESSES.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PROCESSES.forget)
