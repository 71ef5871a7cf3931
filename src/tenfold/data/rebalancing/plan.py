"""What a rebalancing does to a training, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tenfold.core.records.train import RebalancingRecord
from tenfold.core.registry import Registry


@dataclass(frozen=True)
class RebalancingPlan:
    """What is changed for the classes of one training split; None where nothing is.

    Parameters
    ----------
    class_weights
        Factor of each class's loss; their mean over the training images is 1.
    logit_offsets
        Added to each class's logit in the training loss, and there alone.
    images_per_epoch
        How many images of each class an epoch shows.
    """

    class_weights: tuple[float, ...] | None = None
    logit_offsets: tuple[float, ...] | None = None
    images_per_epoch: tuple[int, ...] | None = None

    @classmethod
    def of(cls, chosen: RebalancingRecord) -> RebalancingPlan:
        """Give the plan that was chosen."""
        return cls(chosen.class_weights, chosen.logit_offsets, chosen.images_per_epoch)


class Rebalancing(Protocol):
    """A way to keep large classes from drowning small ones in training."""

    @property
    def name(self) -> str:
        """Give the name that the rebalancing is registered under."""

    def describe(self) -> str:
        """Say what is done, a clause after "rebalanced:"."""

    def plan(self, counts: Sequence[int]) -> RebalancingPlan:
        """Plan a training.

        Parameters
        ----------
        counts
            Training images of each class, each at least 1.
        """


REBALANCINGS: Registry[Rebalancing] = Registry(
    "tenfold.data.rebalancing", "REBALANCING", kind="rebalancing"
)
"""All ways to rebalance, by name; ``auto`` chooses one of them (`choice`)."""


def mean_one(weights: Sequence[float], counts: Sequence[int]) -> tuple[float, ...]:
    """Scale class weights so that their mean over the images is 1: the step size stays."""
    mean = sum(w * n for w, n in zip(weights, counts, strict=True)) / sum(counts)
    return tuple(weight / mean for weight in weights)
