"""Large classes are shown no more often than the smallest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.data.rebalancing.plan import RebalancingPlan


@dataclass(frozen=True)
class UnderSampleRebalancing:
    """An epoch shows as many images of each class as the smallest has, drawn anew each epoch.

    An epoch is shorter for it; over many, large classes are still seen whole.
    """

    name: str = "under-sample"

    def describe(self) -> str:
        """Say what an epoch shows."""
        return (
            "an epoch shows as many images of every class as the smallest has, drawn anew each time"
        )

    def plan(self, counts: Sequence[int]) -> RebalancingPlan:
        """Give the epoch's images; see `Rebalancing`."""
        return RebalancingPlan(images_per_epoch=(min(counts),) * len(counts))


REBALANCING = UnderSampleRebalancing()
