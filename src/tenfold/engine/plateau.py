"""Reduce the learning rate when the validation loss no longer falls."""

from __future__ import annotations

from collections.abc import Iterable

_LEAST_FALL = 1e-4  # of the loss; Keras' default (keras.io/api/callbacks/reduce_lr_on_plateau)


def plateau_factor(losses: Iterable[float | None], *, factor: float, patience: int) -> float:
    """Give the factor on the highest learning rate after some epochs.

    It follows from the losses alone, so a resumed training needs nothing else to go on alike.

    Parameters
    ----------
    losses
        Validation loss of every epoch so far; None and NaN are no improvement.
    factor
        What the rate is multiplied by at each reduction, above 0 and below 1.
    patience
        Epochs in a row without a lower loss before a reduction; they count anew after it.

    Returns
    -------
    float
        A power of `factor`; 1 before the first reduction.
    """
    best, waited, reductions = float("inf"), 0, 0
    for loss in losses:
        if loss is not None and loss < best - _LEAST_FALL:
            best, waited = loss, 0
            continue
        waited += 1
        if waited >= patience:
            reductions, waited = reductions + 1, 0
    return float(factor**reductions)
