"""Which labels look wrong: confident learning on predictions of images not trained on.

Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR
70 (2021), arXiv 1911.00068: an image is counted to a class if the class is at least as probable as
it is on average among the images that carry its label. Those counted to another class than their
label's are flagged: this says how many labels to expect wrong. The order is by the odds of the
label against the most probable other class, which found more labels planted among right ones than
the normalised margin and the self-confidence of Kuan and Mueller, "Model-agnostic label quality
scoring to detect real-world label errors" (ICML DataPerf workshop 2022); docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import SettingsError
from tenfold.data.dataset import Labels

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LabelRanking:
    """Every image that the predictions would give another label, the most suspicious first.

    Parameters
    ----------
    order
        int64, shape (M,): places of the images that are flagged, or more probable another class.
    suggested
        int64, shape (N,): the class that the predictions point to, of every image.
    score
        float64, shape (N,), 0 to 1: probability of the label, if there were only it and the most
        probable other class.
    is_flagged
        bool, shape (N,).
    """

    order: npt.NDArray[np.int64]
    suggested: Labels
    score: npt.NDArray[np.float64]
    is_flagged: npt.NDArray[np.bool_]


def rank_label_issues(
    probabilities: Probabilities, labels: Labels, *, is_cleanlab: bool = False
) -> LabelRanking:
    """Rank the labels that look wrong.

    Parameters
    ----------
    probabilities
        Shape (N, classes): of a model that did not see the image in training.
    labels
        int64, shape (N,).
    is_cleanlab
        Let the package cleanlab say which are flagged, by its default method (prune by noise
        rate), which takes into account how often classes are mistaken for each other.

    Raises
    ------
    SettingsError
        If cleanlab is asked for and not installed.
    """
    row = np.arange(len(labels))
    values = probabilities.astype(np.float64)
    own = values[row, labels]
    others = values.copy()
    others[row, labels] = -1
    best_other = others.argmax(axis=1)
    # A softmax in float32 gives 0 below 1e-38; the smallest number keeps 0 against 0 defined.
    score = own / np.maximum(own + others[row, best_other], np.finfo(np.float64).tiny)
    confident = confident_class(values, labels)
    if is_cleanlab:
        is_flagged = _flagged_by_cleanlab(probabilities, labels)
        suggested = best_other
    else:
        is_flagged = (confident >= 0) & (confident != labels)
        suggested = np.where(is_flagged, confident, best_other)
    listed = np.flatnonzero(is_flagged | (score < 0.5))
    order = listed[np.argsort(score[listed], kind="stable")]
    return LabelRanking(order, suggested.astype(np.int64), score, is_flagged)


def confident_class(probabilities: npt.NDArray[np.float64], labels: Labels) -> Labels:
    """Give the class that each image is confidently counted to, -1 for none; shape (N,)."""
    class_count = probabilities.shape[1]
    counts = np.bincount(labels, minlength=class_count)
    sums = np.zeros(class_count)
    np.add.at(sums, labels, probabilities[np.arange(len(labels)), labels])
    # A class that no image carries has no average: nothing is counted to it.
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    above = np.where(probabilities >= thresholds - 1e-9, probabilities, -1)
    result: Labels = np.where(above.max(axis=1) >= 0, above.argmax(axis=1), -1).astype(np.int64)
    return result


def cleanlab_filter() -> Callable[..., Any]:
    """Give cleanlab's function that flags labels.

    Raises
    ------
    SettingsError
        If cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        raise SettingsError(
            "audit.label_method is 'cleanlab', but cleanlab is not installed. Install it with "
            "pip install 'tenfold[cleanlab]', or use the default, 'confident-learning', which "
            "needs nothing more."
        ) from None
    found: Callable[..., Any] = find_label_issues
    return found


def _flagged_by_cleanlab(probabilities: Probabilities, labels: Labels) -> npt.NDArray[np.bool_]:
    flagged: npt.NDArray[np.bool_] = np.asarray(
        cleanlab_filter()(labels, probabilities.astype(np.float64), n_jobs=1), dtype=bool
    )
    return flagged
