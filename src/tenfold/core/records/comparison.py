"""Studies compared on the same test images."""

from __future__ import annotations

from tenfold.core.records.interval import Interval
from tenfold.core.records.record import Record


class ComparedRun(Record):
    """One study of a comparison."""

    name: str
    """Shortest end of the run folder's path that tells it from the others."""
    accuracy: float
    interval: Interval
    """Of the accuracy: 95%, Wilson."""
    balanced_accuracy: float
    macro_f1: float
    model: str
    """Name of the architecture."""


class ComparedPair(Record):
    """Two studies, image by image."""

    first: str
    second: str
    only_first: int
    """Images that only the first gets right."""
    only_second: int
    difference: float
    """Accuracy of the first less that of the second."""
    interval: Interval
    """Of the difference: 95%, paired bootstrap over the images; for this pair alone."""
    p_value: float
    """Exact McNemar test, two-sided."""
    adjusted_p_value: float
    """After Holm's correction for the number of pairs."""


class Comparison(Record):
    """Studies on one test split, and every pair of them."""

    title: str
    """Of the data set."""
    test_count: int
    test_sha256: str
    is_imbalanced: bool
    """Whether the classes' test images differ in number so much that accuracy hides classes."""
    runs: tuple[ComparedRun, ...]
    """In the order given."""
    pairs: tuple[ComparedPair, ...]
