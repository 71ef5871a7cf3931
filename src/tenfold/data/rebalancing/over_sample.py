"""Small classes are shown as often as the largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.data.rebalancing.plan import RebalancingPlan


@dataclass(frozen=True)
class OverSampleRebalancing:
    """An epoch shows images of small classes again until each class is as large as the largest.

    Every image is shown equally often within one, drawn anew each epoch; a repeated image is
    augmented differently each time. An epoch is longer for it.
    """

    name: str = "over-sample"

    def describe(self) -> str:
        """Say what an epoch shows."""
        return (
            "an epoch shows images of the smaller classes again, each time augmented differently, "
            "until every class is shown as often as the largest"
        )

    def plan(self, counts: Sequence[int]) -> RebalancingPlan:
        """Give the epoch's images; see `Rebalancing`."""
        return RebalancingPlan(images_per_epoch=(max(counts),) * len(counts))


REBALANCING = OverSampleRebalancing()
