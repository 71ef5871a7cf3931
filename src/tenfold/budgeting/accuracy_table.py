"""What was measured: the accuracy of each size of a network against the images it was shown."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import dataclass
from importlib import resources
from typing import Any

from tenfold.core.settings import parse_assignment, with_values


@dataclass(frozen=True)
class NetworkSize:
    """One size of a model, as it was measured.

    Parameters
    ----------
    name
        ``S``, ``M``, ...
    model_settings, training_settings
        Plain settings that make this size, by name.
    relative_cost
        Seconds an image, on the machine that measured, relative to the smallest size.
    points
        (images shown, share of held-out images that were wrong), ascending; two at least.
    """

    name: str
    model_settings: dict[str, Any]
    training_settings: dict[str, Any]
    relative_cost: float
    points: tuple[tuple[float, float], ...]

    def expected_error(self, images_shown: float) -> float:
        """Give the error to expect on a data set such as CIFAR-10.

        Between measurements, and for half an octave beyond them, it follows the straight line of
        log error against log images (errors fall as a power of the data: Hestness et al.,
        arXiv 1712.00409). Farther out it stays level, as a small network is full at some time.
        With fewer images than were measured, it grows as they shrink: the flat line of a long
        training would promise too much of a short one.
        """
        fewest, error = self.points[0]
        if images_shown < fewest:
            return min(1.0, error * fewest / max(images_shown, 1.0))
        places = [math.log(max(images, 1.0)) for images, _ in self.points]
        errors = [math.log(error) for _, error in self.points]
        beyond = places[-1] + 0.5 * math.log(2)
        place = min(math.log(max(images_shown, 1.0)), beyond)
        segment = sum(place > known for known in places[1:-1])
        slope = (errors[segment + 1] - errors[segment]) / (places[segment + 1] - places[segment])
        return min(1.0, math.exp(errors[segment] + slope * (place - places[segment])))


def network_sizes(model: str) -> tuple[NetworkSize, ...]:
    """Give the measured sizes of a model, cheapest first; empty for a model without a table.

    The table is ``tenfold/budgeting/MODEL.csv``; `benchmarks/accuracy_table.py` makes it.
    """
    table = resources.files("tenfold") / "budgeting" / f"{model}.csv"
    if not table.is_file():
        return ()
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    lines = (line for line in table.read_text("utf-8").splitlines() if not line.startswith("#"))
    for row in csv.DictReader(lines):
        rows[row["size"]].append(row)
    sizes = [_size(name, measured) for name, measured in rows.items()]
    return tuple(sorted(sizes, key=lambda size: size.relative_cost))


def _size(name: str, rows: list[dict[str, str]]) -> NetworkSize:
    changes = dict(parse_assignment(text) for text in rows[0]["settings"].split(";"))
    settings = with_values({"model": {}, "training": {}}, changes)
    points = sorted((float(row["images_shown"]), 1 - float(row["accuracy"])) for row in rows)
    return NetworkSize(
        name=name,
        model_settings=settings["model"],
        training_settings=settings["training"],
        relative_cost=float(rows[0]["relative_cost"]),
        points=tuple(points),
    )
