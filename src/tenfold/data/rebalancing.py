"""Rebalancing of classes of different size: the methods, how one is chosen, and what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError, UnknownNameError
from tenfold.core.randomness import derive_seed
from tenfold.core.records.training import RebalancingPlan, RebalancingRecord
from tenfold.core.registry import Registry
from tenfold.core.text import shortlist
from tenfold.data.dataset import Labels


class Rebalancing(Protocol):
    """A way to keep large classes from drowning small ones in training."""

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
    "tenfold.data.rebalancing", "REBALANCINGS", kind="rebalancing"
)
"""All ways to rebalance, by name; ``auto`` chooses one of them (`choose_rebalancing`)."""


@REBALANCINGS.member("none")
@dataclass(frozen=True)
class NoRebalancing:
    """Trains on the images as they are."""

    def describe(self) -> str:
        """Say that nothing is done."""
        return "every image counts the same"

    def plan(self, counts: Sequence[int]) -> RebalancingPlan:
        """Plan nothing; see `Rebalancing`."""
        del counts
        return RebalancingPlan()


@REBALANCINGS.member("inverse")
@dataclass(frozen=True)
class InverseRebalancing:
    """Weighs every class's images together the same: N / (classes · images of the class).

    The "balanced" weights of scikit-learn, after King and Zeng, "Logistic regression in rare events
    data", Political Analysis 9, 2001.
    """

    def describe(self) -> str:
        """Say how losses are weighed."""
        return "the loss of an image is weighed by the inverse of its class's size"

    def plan(self, counts: Sequence[int]) -> RebalancingPlan:
        """Give the weights; see `Rebalancing`."""
        return RebalancingPlan(class_weights=_mean_one([1 / count for count in counts], counts))


def _mean_one(weights: Sequence[float], counts: Sequence[int]) -> tuple[float, ...]:
    """Scale class weights so that their mean over the images is 1: the step size stays."""
    mean = sum(w * n for w, n in zip(weights, counts, strict=True)) / sum(counts)
    return tuple(weight / mean for weight in weights)


@REBALANCINGS.member("effective-number")
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
        return RebalancingPlan(class_weights=_mean_one(inverse, counts))


@REBALANCINGS.member("logit-adjust")
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


@REBALANCINGS.member("over-sample")
@dataclass(frozen=True)
class OverSampleRebalancing:
    """An epoch shows images of small classes again until each class is as large as the largest.

    Every image is shown equally often within one, drawn anew each epoch; a repeated image is
    augmented differently each time. An epoch is longer for it.
    """

    def describe(self) -> str:
        """Say what an epoch shows."""
        return (
            "an epoch shows images of the smaller classes again, each time augmented differently, "
            "until every class is shown as often as the largest"
        )

    def plan(self, counts: Sequence[int]) -> RebalancingPlan:
        """Give the epoch's images; see `Rebalancing`."""
        return RebalancingPlan(images_per_epoch=(max(counts),) * len(counts))


@REBALANCINGS.member("under-sample")
@dataclass(frozen=True)
class UnderSampleRebalancing:
    """An epoch shows as many images of each class as the smallest has, drawn anew each epoch.

    An epoch is shorter for it; over many, large classes are still seen whole.
    """

    def describe(self) -> str:
        """Say what an epoch shows."""
        return (
            "an epoch shows as many images of every class as the smallest has, drawn anew each time"
        )

    def plan(self, counts: Sequence[int]) -> RebalancingPlan:
        """Give the epoch's images; see `Rebalancing`."""
        return RebalancingPlan(images_per_epoch=(min(counts),) * len(counts))


AUTO = "auto"
UNEVEN_RATIO = 1.5
"""Largest over smallest class from which on ``auto`` rebalances, and the report speaks of
imbalance."""
AUTO_METHOD = "logit-adjust"
"""What ``auto`` takes on uneven classes: consistent for the balanced error (arXiv 2007.07314)."""


def rebalancing_names() -> tuple[str, ...]:
    """Give what ``training.rebalance`` may be, sorted."""
    return tuple(sorted((*REBALANCINGS, AUTO)))


def check_rebalancing(name: str) -> None:
    """Check a name.

    Raises
    ------
    UnknownNameError
        If there is no such rebalancing; the message suggests the nearest.
    """
    if name not in rebalancing_names():
        raise UnknownNameError("rebalancing", name, rebalancing_names())


def choose_rebalancing(
    name: str, counts: Sequence[int], classes: Sequence[str] | None = None
) -> RebalancingRecord:
    """Plan the rebalancing of a training.

    Parameters
    ----------
    name
        A registered name, or ``auto``.
    counts
        Training images of each class.
    classes
        Their names, for messages.

    Raises
    ------
    UnknownNameError
        If there is no such rebalancing.
    DataError
        If a class has no training image and the rebalancing needs one of each.
    """
    check_rebalancing(name)
    ratio = max(counts) / min(counts) if min(counts) else None
    method, why = (name, "as the setting says") if name != AUTO else _automatic(ratio)
    if method != "none" and ratio is None:
        raise DataError(_absent_message(method, counts, classes))
    rebalancing = REBALANCINGS[method]
    done = (
        "The training was not rebalanced"
        if method == "none"
        else f"The training was rebalanced by {method}: {rebalancing.describe()}"
    )
    return RebalancingRecord(
        **dict(rebalancing.plan(counts)),
        asked=name,
        method=method,
        ratio=ratio,
        sentence=f"{done} ({why}).",
    )


def _automatic(ratio: float | None) -> tuple[str, str]:
    if ratio is None:
        return "none", (
            "chosen by auto, since a class has no training image, which no rebalancing makes up for"
        )
    measured = f"the largest class has {ratio:.1f} times the images of the smallest"
    if ratio < UNEVEN_RATIO:
        return "none", f"chosen by auto: {measured}, which is even enough (below {UNEVEN_RATIO:g})"
    return AUTO_METHOD, (
        f"chosen by auto: {measured}; from {UNEVEN_RATIO:g} on {AUTO_METHOD} is taken, which is "
        "made for the mean of the classes' recalls and keeps every image"
    )


def _absent_message(method: str, counts: Sequence[int], classes: Sequence[str] | None) -> str:
    absent = [
        repr(classes[label]) if classes is not None else f"number {label}"
        for label, count in enumerate(counts)
        if not count
    ]
    listed = shortlist(absent, 5)
    who = f"class {listed} has" if len(absent) == 1 else f"classes {listed} have"
    return (
        f"Rebalancing {method!r} needs training images of every class, but {who} none (of "
        f"{len(counts)} classes). Add images, leave the class out of the data, or train without "
        "rebalancing (--rebalance none; training.rebalance). If the held-out images took the "
        "class's last ones, lower training.validation_fraction or cross_validate.folds."
    )


def epoch_samples(
    labels: Labels, images_per_epoch: Sequence[int], *, seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """Draw an epoch's images and their order: a function of seed and epoch alone.

    Parameters
    ----------
    labels
        int64, shape (N,).
    images_per_epoch
        Images wanted of each class; a class that is wanted has at least one.
    seed, epoch
        Of the training.

    Returns
    -------
    ndarray
        int64, shape (sum of `images_per_epoch`,). The image is the value modulo N; the n-th time
        (from 0) that an epoch shows it, the value is n · N more, so that every showing has random
        numbers of its own.
    """
    generator = np.random.default_rng(derive_seed(seed, "rebalancing", epoch))
    parts = []
    for label, wanted in enumerate(images_per_epoch):
        members = np.flatnonzero(labels == label)
        assert len(members) or not wanted
        whole, rest = divmod(wanted, max(len(members), 1))
        parts += [members + showing * len(labels) for showing in range(whole)]
        parts.append(generator.permutation(members)[:rest] + whole * len(labels))
    return generator.permutation(np.concatenate(parts))
