"""Which size of a network gives the best accuracy in the time there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tenfold.budgeting.accuracy_table import NetworkSize
from tenfold.budgeting.throughput import PROBE_STEPS

_PROBE_SHARE = 0.03
"""Share of the budget that all probes together may take."""


@dataclass(frozen=True)
class SizeChoice:
    """The size that was chosen and what is expected of it.

    Parameters
    ----------
    size
        The size.
    images_shown
        Images that it will be shown, in the time there is.
    expected_accuracy
        On a data set such as CIFAR-10, from the measured table.
    """

    size: NetworkSize
    images_shown: float
    expected_accuracy: float


def choose_size(
    sizes: Sequence[NetworkSize],
    *,
    seconds: float,
    gain: float,
    batch_size: Callable[[NetworkSize], int],
    measure: Callable[[NetworkSize], float],
) -> SizeChoice:
    """Choose by probing: the smallest size first, then whichever looks best, until it is measured.

    Parameters
    ----------
    sizes
        Candidates, cheapest first.
    seconds
        Time for the training.
    gain
        How many times as many images are shown thanks to low resolution (`images_gained`).
    batch_size
        Gives a size's batch size.
    measure
        Probes a size: gives the seconds an image takes at full resolution.
    """
    measured: dict[str, float] = {sizes[0].name: measure(sizes[0])}
    spent = measured[sizes[0].name] * PROBE_STEPS * batch_size(sizes[0])
    while True:
        best = max(
            (_choice(size, sizes, measured, seconds - spent, gain) for size in sizes),
            key=lambda choice: choice.expected_accuracy,
        )
        if best.size.name in measured:
            return best
        cost = _estimate(best.size, sizes, measured) * PROBE_STEPS * batch_size(best.size)
        if spent + cost > _PROBE_SHARE * seconds:
            return best
        measured[best.size.name] = measure(best.size)
        spent += cost


def _choice(
    size: NetworkSize,
    sizes: Sequence[NetworkSize],
    measured: dict[str, float],
    seconds: float,
    gain: float,
) -> SizeChoice:
    images = gain * max(seconds, 0.0) / _estimate(size, sizes, measured)
    return SizeChoice(size, images, 1 - size.expected_error(images))


def _estimate(size: NetworkSize, sizes: Sequence[NetworkSize], measured: dict[str, float]) -> float:
    """Give the seconds an image takes: as measured, or in proportion to the nearest measured."""
    nearest = min(
        (other for other in sizes if other.name in measured),
        key=lambda other: abs(other.relative_cost - size.relative_cost),
    )
    return measured[nearest.name] * size.relative_cost / nearest.relative_cost
