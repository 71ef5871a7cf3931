"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counters of one application; `waiting` gives how many images wait for the network now."""

    def __init__(self, title: str, waiting: Callable[[], int]) -> None:
        # Or each counter has a second sample, the time when it began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = own = CollectorRegistry()
        self.requests = Counter(
            "tenfold_requests", "Requests by path and status.", ["path", "status"], registry=own
        )
        self.images = Counter("tenfold_images", "Images by outcome.", ["outcome"], registry=own)
        """By outcome: ``predicted``, or the code of the refusal."""
        self.request_seconds = Histogram(
            "tenfold_request_seconds",
            "Seconds from request to answer, of predictions.",
            buckets=_SECONDS,
            registry=own,
        )
        self.batch_images = Histogram(
            "tenfold_batch_images", "Images computed together.", buckets=_SIZES, registry=own
        )
        Gauge(
            "tenfold_waiting_images", "Images that wait for the network.", registry=own
        ).set_function(waiting)
        Gauge("tenfold_model_info", "The model that is served.", ["title"], registry=own).labels(
            title
        ).set(1)
        ProcessCollector(registry=own)

    def text(self) -> bytes:
        """Give all samples, as `CONTENT_TYPE` says."""
        return generate_latest(self._registry)
