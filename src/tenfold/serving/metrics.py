"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counters of one application; those of its models have the label ``model``."""

    def __init__(self) -> None:
        # Or each counter has a second sample, the time when it began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = own = CollectorRegistry()
        self.requests = Counter(
            "tenfold_requests", "Requests by path and status.", ["path", "status"], registry=own
        )
        self.request_seconds = Histogram(
            "tenfold_request_seconds",
            "Seconds from request to answer, of predictions.",
            buckets=_SECONDS,
            registry=own,
        )
        self.requests_in_progress = Gauge(
            "tenfold_requests_in_progress", "Requests that are being answered.", registry=own
        )
        self._queue_seconds, self._decode_seconds, self._network_seconds = (
            Histogram(name, text, ["model"], buckets=_SECONDS, registry=own)
            for name, text in (
                ("tenfold_queue_seconds", "Seconds that an image waits for the network."),
                ("tenfold_decode_seconds", "Seconds that an image file is decoded."),
                ("tenfold_network_seconds", "Seconds that the network computes a batch."),
            )
        )
        self._images = Counter(
            "tenfold_images", "Images by outcome.", ["model", "outcome"], registry=own
        )
        self._batch_images = Histogram(
            "tenfold_batch_images",
            "Images computed together.",
            ["model"],
            buckets=_SIZES,
            registry=own,
        )
        self._waiting = Gauge(
            "tenfold_waiting_images", "Images that wait for the network.", ["model"], registry=own
        )
        self._info = Gauge(
            "tenfold_model_info",
            "The models that are served.",
            ["model", "version", "title"],
            registry=own,
        )
        self._told: dict[str, tuple[str, str, str]] = {}
        ProcessCollector(registry=own)

    def of_model(
        self, name: str, version: str, title: str, waiting: Callable[[], int]
    ) -> ModelMetrics:
        """Give the counters of a model; those of its other versions count on.

        `waiting` gives how many images wait for its network now.
        """
        if name in self._told:
            self._info.remove(*self._told[name])
        self._told[name] = (name, version, title)
        self._info.labels(*self._told[name]).set(1)
        self._waiting.labels(name).set_function(waiting)
        return ModelMetrics(
            partial(self._images.labels, name),
            self._batch_images.labels(name),
            self._queue_seconds.labels(name),
            self._decode_seconds.labels(name),
            self._network_seconds.labels(name),
        )

    def add(self, collector: Collector) -> None:
        """Give what a collector has with all other samples."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """Give all samples, as `CONTENT_TYPE` says."""
        return generate_latest(self._registry)


@dataclass(frozen=True)
class ModelMetrics:
    """The counters of one model."""

    images: Callable[[str], Counter]
    """By outcome: ``predicted``, or the code of the refusal."""
    batch_images: Histogram
    queue_seconds: Histogram
    decode_seconds: Histogram
    network_seconds: Histogram
