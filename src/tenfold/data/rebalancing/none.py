"""No rebalancing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.data.rebalancing.plan import RebalancingPlan


@dataclass(frozen=True)
class NoRebalancing:
    """Trains on the images as they are."""

    name: str = "none"

    def describe(self) -> str:
        """Say that nothing is done."""
        return "every image counts the same"

    def plan(self, counts: Sequence[int]) -> RebalancingPlan:
        """Plan nothing; see `Rebalancing`."""
        del counts
        return RebalancingPlan()


REBALANCING = NoRebalancing()
