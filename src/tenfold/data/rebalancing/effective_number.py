"""Class weights, the inverse of the class's effective number of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.data.rebalancing.plan import RebalancingPlan, mean_one


@dataclass(frozen=True)
class EffectiveNumberRebalancing:
    """Weighs a class by the inverse of (1 - beta^n) / (1 - beta), n being its images.

    Cui et al., "Class-balanced loss based on effective number of samples", arXiv 1901.05555: the
    more images a class has, the less a further one adds, so large classes are damped less than by
    the inverse of their size.

    Parameters
    ----------
    beta
        Near 1; a class's effective number is at most 1 / (1 - beta). 0.9999 as the paper takes
        for CIFAR-10.
    """

    name: str = "effective-number"
    beta: float = 0.9999

    def describe(self) -> str:
        """Say how losses are weighed."""
        return (
            "the loss of an image is weighed by the inverse of its class's effective number of "
            f"images (beta {self.beta:g})"
        )

    def plan(self, counts: Sequence[int]) -> RebalancingPlan:
        """Give the weights; see `Rebalancing`."""
        # 1 - beta^n without cancellation; 1 - beta is the same factor for all.
        inverse = [-1 / math.expm1(count * math.log(self.beta)) for count in counts]
        return RebalancingPlan(class_weights=mean_one(inverse, counts))


REBALANCING = EffectiveNumberRebalancing()
