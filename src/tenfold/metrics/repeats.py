"""Mean and spread of scores over trainings that differ in nothing but their seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.core.record import Interval
from tenfold.metrics.shares import LEVEL

_TAIL = (1 - LEVEL) / 2


@dataclass(frozen=True)
class Spread:
    """What several runs say about one score.

    The formulas are those of independent, normally distributed values: Student (1908,
    doi:10.2307/2331554) for the mean, chi-square for the standard deviation. Runs that share a test
    split are independent given it, so all of this is about other seeds, not other test images.

    Parameters
    ----------
    mean, interval
        The mean, and where it would lie over endless seeds, 95%.
    deviation, deviation_interval
        Sample standard deviation (divisor: runs - 1), and its own 95% interval.
    least_difference
        What two more single runs differ by at most in 95% of pairs.
    """

    mean: float
    interval: Interval
    deviation: float
    deviation_interval: Interval
    least_difference: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Measure it from one score of each run, 0 to 1; at least two runs."""
        from scipy.stats import chi2  # slow to import
        from scipy.stats import t as student_t  # slow to import

        count = len(values)
        assert count >= 2, "one run has no spread"
        mean, deviation = statistics.fmean(values), statistics.stdev(values)
        freedom = count - 1
        quantile = float(student_t.ppf(1 - _TAIL, freedom))
        half = quantile * deviation / math.sqrt(count)
        return cls(
            mean=mean,
            interval=Interval(low=max(mean - half, 0.0), high=min(mean + half, 1.0)),
            deviation=deviation,
            deviation_interval=Interval(
                low=deviation * math.sqrt(freedom / float(chi2.ppf(1 - _TAIL, freedom))),
                high=deviation * math.sqrt(freedom / float(chi2.ppf(_TAIL, freedom))),
            ),
            # The difference of two runs has twice the variance of one.
            least_difference=quantile * math.sqrt(2) * deviation,
        )
