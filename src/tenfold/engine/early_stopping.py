"""End a training that no longer gets better (Prechelt 1998, "Early stopping - but when?")."""

from __future__ import annotations


def has_stalled(*, epochs: int, best_epoch: int | None, patience: int | None) -> bool:
    """Say whether enough epochs passed since the best one.

    Parameters
    ----------
    epochs
        Epochs that are complete.
    best_epoch
        Index of the best of them, from 0; None where nothing was validated.
    patience
        Epochs in a row without a better one that end the training; None never ends it.
    """
    if patience is None or best_epoch is None:
        return False
    return epochs - 1 - best_epoch >= patience
