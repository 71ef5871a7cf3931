"""Choose a rebalancing: by name, or by how imbalanced the training images are."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.core.errors import DataError, UnknownNameError
from tenfold.core.records.train import RebalancingRecord
from tenfold.data.rebalancing.plan import REBALANCINGS

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
        asked=name,
        method=method,
        ratio=ratio,
        **vars(rebalancing.plan(counts)),
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
    listed = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
    who = f"class {listed} has" if len(absent) == 1 else f"classes {listed} have"
    return (
        f"Rebalancing {method!r} needs training images of every class, but {who} none (of "
        f"{len(counts)} classes). Add images, leave the class out of the data, or train without "
        "rebalancing (--rebalance none; training.rebalance). If the held-out images took the "
        "class's last ones, lower training.validation_fraction or cross_validate.folds."
    )
