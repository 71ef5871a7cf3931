"""The training loss expects large classes to score higher, so the network itself need not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.data.rebalancing.plan import RebalancingPlan


@dataclass(frozen=True)
class LogitAdjustRebalancing:
    """Adds tau times the log of each class's share to its logit in the training loss.

    Menon et al., "Long-tail learning via logit adjustment", arXiv 2007.07314, equation 10: what is
    learned, without the offsets, minimises the balanced error.

    Parameters
    ----------
    tau
        1 is consistent for the balanced error, and the paper's default.
    """

    name: str = "logit-adjust"
    tau: float = 1.0

    def describe(self) -> str:
        """Say what the loss adds."""
        return (
            "in the training loss the logarithm of a class's share is added to its logit, so that "
            "the network's own logits favour no class for its size"
        )

    def plan(self, counts: Sequence[int]) -> RebalancingPlan:
        """Give the offsets; see `Rebalancing`."""
        total = sum(counts)
        return RebalancingPlan(
            logit_offsets=tuple(self.tau * math.log(count / total) for count in counts)
        )


REBALANCING = LogitAdjustRebalancing()
