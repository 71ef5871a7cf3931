"""Class weights, the inverse of the class's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.data.rebalancing.plan import RebalancingPlan, mean_one


@dataclass(frozen=True)
class InverseRebalancing:
    """Weighs every class's images together the same: N / (classes · images of the class).

    The "balanced" weights of scikit-learn, after King and Zeng, "Logistic regression in rare events
    data", Political Analysis 9, 2001.
    """

    name: str = "inverse"

    def describe(self) -> str:
        """Say how losses are weighed."""
        return "the loss of an image is weighed by the inverse of its class's size"

    def plan(self, counts: Sequence[int]) -> RebalancingPlan:
        """Give the weights; see `Rebalancing`."""
        return RebalancingPlan(class_weights=mean_one([1 / count for count in counts], counts))


REBALANCING = InverseRebalancing()
