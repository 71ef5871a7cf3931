"""Counters in the text format that Prometheus reads (version 0.0.4)."""

from __future__ import annotations

import bisect
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Histogram:
    """Counts of values up to each bound, their number and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterable[str]:
        """Give the samples."""
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            shown = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{le="{shown}"}} {total}'
        yield f"{name}_sum {self._sum:.9g}"
        yield f"{name}_count {total}"


class Metrics:
    """What a server counts; belongs to one event loop."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.images: Counter[str] = Counter()
        """By outcome: ``predicted``, or the code of the refusal."""
        self.request_seconds = Histogram(_SECONDS)
        """Of requests for predictions."""
        self.batch_images = Histogram(_SIZES)

    def text(self, *, title: str, waiting: int) -> str:
        """Give all samples.

        Parameters
        ----------
        title
            The model's.
        waiting
            Images that wait for the network now.
        """
        lines = [
            *_head("tenfold_model_info", "gauge", "The model that is served."),
            f'tenfold_model_info{{title="{_escaped(title)}"}} 1',
            *_head("tenfold_requests_total", "counter", "Requests by path and status."),
            *(
                f'tenfold_requests_total{{path="{_escaped(path)}",status="{status}"}} {count}'
                for (path, status), count in sorted(self.requests.items())
            ),
            *_head("tenfold_images_total", "counter", "Images by outcome."),
            *(
                f'tenfold_images_total{{outcome="{_escaped(outcome)}"}} {count}'
                for outcome, count in sorted(self.images.items())
            ),
            *_head("tenfold_request_seconds", "histogram", "Seconds from request to answer."),
            *self.request_seconds.lines("tenfold_request_seconds"),
            *_head("tenfold_batch_images", "histogram", "Images computed together."),
            *self.batch_images.lines("tenfold_batch_images"),
            *_head("tenfold_waiting_images", "gauge", "Images that wait for the network."),
            f"tenfold_waiting_images {waiting}",
        ]
        resident = resident_bytes()
        if resident is not None:
            lines += [
                *_head("process_resident_memory_bytes", "gauge", "Memory of the process."),
                f"process_resident_memory_bytes {resident}",
            ]
        return "\n".join(lines) + "\n"


def resident_bytes() -> int | None:
    """Give the memory that this process holds; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
