"""A network and its parts, as `tenfold models NAME` shows them."""

from __future__ import annotations

from tenfold.core.records.record import Record
from tenfold.core.records.train import LayerRecord
from tenfold.core.records.tune import SearchDimension


class ModelSummary(Record):
    """A model built for images of one shape: its settings, its layers and what they cost."""

    model: str
    summary: str
    """One line for people."""
    settings: dict[str, object]
    search_space: tuple[SearchDimension, ...]
    """The settings' ranges that are worth searching."""
    image_shape: tuple[int, int, int]
    """Height, width and channels."""
    class_count: int
    layers: tuple[LayerRecord, ...]
    parameter_count: int
    multiply_adds: int
    """Of one image's way through the network."""
