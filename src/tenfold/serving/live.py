"""What a server tells of its models' last answers: an address for people, gauges for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tenfold.core.text import printable
from tenfold.serving.answers import json_answer
from tenfold.serving.drift import LiveAnswer
from tenfold.serving.repository import ModelRepository
from tenfold.serving.schema import PROBLEMS

_MOST_CLASSES = 100
"""Whose shares are gauges; of models with more, none is, or they would be most of all samples."""


class LiveCollector(Collector):
    """Gauges of all models' last answers, and of what they are compared with."""

    def __init__(self, models: ModelRepository) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Give the gauges as they are now."""
        gauges = {
            name: GaugeMetricFamily(f"tenfold_{name}", text, labels=["model", *labels])
            for name, text, labels in (
                ("live_images", "Last answers that the live gauges are of.", ()),
                ("live_class_share", "Share of a class among the last answers.", ("class",)),
                (
                    "test_class_share",
                    "The same, on the test images.",
                    ("class",),
                ),
                ("live_confidence", "Mean confidence of the last answers.", ()),
                ("test_confidence", "The same, on the test images.", ()),
                ("live_unlike_share", "Share of the last images unlike the training's.", ()),
                ("test_unlike_share", "The same, on the test images.", ()),
                ("drift", "1 if the last full window differs from the test images.", ("of",)),
                ("drift_p_value", "Of the last full window's test.", ("of",)),
            )
        }
        for served in self._models.all():
            told = served.predictor.live.describe(printable(served.name))
            model = told.model
            gauges["live_images"].add_metric([model], told.live_images)
            for name, value in (
                ("live_confidence", told.confidence),
                ("test_confidence", told.test_confidence),
                ("live_unlike_share", told.unlike_share),
                ("test_unlike_share", told.test_unlike_share),
            ):
                if value is not None:
                    gauges[name].add_metric([model], value)
            for share in told.classes if len(told.classes) <= _MOST_CLASSES else ():
                labels = [model, printable(share.class_name)]
                gauges["live_class_share"].add_metric(labels, share.live)
                gauges["test_class_share"].add_metric(labels, share.test)
            for part in told.tests:
                gauges["drift"].add_metric([model, part.of], float(part.drifts))
                gauges["drift_p_value"].add_metric([model, part.of], part.p_value)
        yield from (one for one in gauges.values() if one.samples)


def live_answers(repository: ModelRepository) -> APIRouter:
    """Give the address that tells whether a model's answers drift."""
    router = APIRouter()

    @router.get("/api/live", response_model=LiveAnswer, responses={404: PROBLEMS[404]})
    async def live(model: str | None = None) -> Response:
        """Compare a model's last answers with those on test images; the first's without a name.

        A window is called drifting at a level of 0.001 for all tests together.
        """
        used = repository.find(model)
        told = used.predictor.live.describe(used.name)
        return json_answer(told.model_dump(mode="json", by_alias=True))

    return router
