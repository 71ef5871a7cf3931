"""Learning-rate schedules: functions of the share of the training that is done."""

from __future__ import annotations

import math

from tenfold.engine.training_settings import ScheduleName

WARM_UP_SHARE = 0.2  # as in the fast CIFAR-10 recipes that use a triangular schedule


def learning_rate_factor(schedule: ScheduleName, progress: float) -> float:
    """Give the factor on the highest learning rate.

    Parameters
    ----------
    schedule
        Name of the schedule.
    progress
        Share of the training that is done, 0 to 1; it may come from steps or from a clock.
        ``plateau`` does not depend on it (see `tenfold.engine.plateau`).

    Returns
    -------
    float
        Between 0 and 1.
    """
    match schedule:
        case "constant" | "plateau":
            return 1.0
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        case "linear":
            return 1 - progress
        case "one-cycle":
            if progress < WARM_UP_SHARE:
                return progress / WARM_UP_SHARE
            return (1 - progress) / (1 - WARM_UP_SHARE)
