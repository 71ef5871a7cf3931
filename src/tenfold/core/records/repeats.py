"""One study trained and tested several times, each time with another seed."""

from __future__ import annotations

from tenfold.core.records.interval import Interval
from tenfold.core.records.record import Record


class RepeatedRun(Record):
    """One training and its scores on the test split. Runs count from 1, the study's own."""

    run: int
    seed: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    training_seconds: float


class RepeatsRecord(Record):
    """All runs, their mean and their spread. Each score by its name in `RepeatedRun`.

    Beside this record: ``run-2``, ``run-3`` and so on, each with ``train`` and ``evaluate`` as in
    the run folder itself.
    """

    test_count: int
    """Images of the one test split that all runs were scored on."""
    is_imbalanced: bool
    """Whether the classes differ in size so much that accuracy hides the small ones."""
    has_time_budget: bool
    """Whether training ended by the clock, so that runs also differ in how far they came."""
    runs: tuple[RepeatedRun, ...]
    """In order, two at least."""
    means: dict[str, float]
    intervals: dict[str, Interval]
    """95% interval of each mean over all seeds, for this test split: Student's."""
    standard_deviations: dict[str, float]
    """Sample standard deviation (divisor: runs - 1)."""
    deviation_intervals: dict[str, Interval]
    """95% interval of each standard deviation, from the chi-square distribution."""
    least_differences: dict[str, float]
    """How much two single trainings of one and the same setting differ at most in 95% of pairs."""
    evaluate_digest: str
    """Of the study's own evaluate stage: another one makes this record stale."""
