"""Whether the model's probabilities can be believed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenfold.reporting.formats import percent, signed

_SURE = 0.9
"""A prediction of at least this probability is called sure."""

_HONEST = 0.02
"""Mean probability less accuracy up to which the probabilities are called honest."""


def confidence_sentences(
    probabilities: npt.NDArray[np.float32] | None, labels: npt.NDArray[np.int64] | None
) -> list[str]:
    """Compare the probability of each prediction with how often it is right.

    Parameters
    ----------
    probabilities
        Shape (N, classes), each row sums to 1; None if they were not kept.
    labels
        Shape (N,).
    """
    if probabilities is None or labels is None or not len(labels):
        return []
    top = probabilities.max(axis=1).astype(np.float64)
    is_right = probabilities.argmax(axis=1) == labels
    accuracy, confidence = float(is_right.mean()), float(top.mean())
    sentences = []
    difference = confidence - accuracy
    fact = (
        f"The model gives its predictions a probability of {percent(confidence)} on average and is "
        f"right in {percent(accuracy)}"
    )
    if abs(difference) <= _HONEST:
        sentences.append(f"{fact}: on the whole its probabilities can be believed.")
    else:
        word = "over-confident" if difference > 0 else "too modest"
        sentences.append(f"{fact}: it is {word} ({signed(100 * difference, 1)} points).")
    sure = top >= _SURE
    if sure.any() and not sure.all():
        sentences.append(
            f"Where it is at least {percent(_SURE, 0)} sure ({percent(float(sure.mean()))} of the "
            f"images) it is right in {percent(float(is_right[sure].mean()))}, elsewhere in "
            f"{percent(float(is_right[~sure].mean()))}."
        )
    return sentences
