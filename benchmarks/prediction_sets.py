"""Which score makes the best prediction sets: sizes and coverage on finished studies.

    python benchmarks/prediction_sets.py RUN_FOLDER... [--coverage 0.95] [--draws 200]

The test images of each study are cut in two at random, many times: the thresholds are found on one
half and the sets counted on the other. Nothing is trained, and no model is chosen by it.

LAC: one minus the true class's probability (arXiv 1609.00451). APS: the probabilities summed from
the highest to the true class's, the last at random or whole (arXiv 2006.02544). RAPS: that, and a
penalty for each class beyond the second (arXiv 2009.14193).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Score = Callable[[Floats, Floats], Floats]
"""Scores of every class, shape (N, K), of probabilities and of a random number an image."""
_PENALTY, _FREE_CLASSES = 0.1, 2
_LEAST_CLASS_IMAGES = 50


def lac(probabilities: Floats, _: Floats) -> Floats:
    """Give one minus the probability."""
    return 1 - probabilities


def _summed(probabilities: Floats, shares: Floats, penalty: float) -> Floats:
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ordered = np.take_along_axis(probabilities, order, 1)
    ranks = np.arange(1, probabilities.shape[1] + 1)
    sums = ordered.cumsum(1) - ordered * (1 - shares[:, None])
    sums = sums + penalty * np.maximum(ranks - _FREE_CLASSES, 0)
    scores: Floats = np.empty_like(sums)
    np.put_along_axis(scores, order, sums, 1)
    return scores


def aps(probabilities: Floats, shares: Floats) -> Floats:
    """Give the sum up to the class, a random share of its own probability in it."""
    return _summed(probabilities, shares, 0)


def aps_whole(probabilities: Floats, shares: Floats) -> Floats:
    """Give the sum up to the class, its own probability in it: the same image, the same set."""
    return _summed(probabilities, np.ones(len(shares)), 0)


def raps(probabilities: Floats, shares: Floats) -> Floats:
    """Give APS's sum and the penalty."""
    return _summed(probabilities, shares, _PENALTY)


def raps_whole(probabilities: Floats, shares: Floats) -> Floats:
    """Give the sum and the penalty without chance."""
    return _summed(probabilities, np.ones(len(shares)), _PENALTY)


SCORES: dict[str, Score] = {
    "LAC": lac,
    "APS": aps,
    "APS, no chance": aps_whole,
    "RAPS": raps,
    "RAPS, no chance": raps_whole,
}


def quantile(scores: Floats, coverage: float) -> float:
    """Give what so many of the scores do not exceed that a further one does not as often."""
    wanted = math.ceil(round((len(scores) + 1) * coverage, 9))
    return float(np.sort(scores)[wanted - 1]) if wanted <= len(scores) else math.inf


def thresholds(
    of_truth: Floats, labels: npt.NDArray[np.int64], classes: int, coverage: float, by_class: bool
) -> Floats:
    """Give one threshold a class."""
    found: Floats = np.full(classes, quantile(of_truth, coverage))
    if by_class:
        for one in range(classes):
            if (labels == one).sum() >= _LEAST_CLASS_IMAGES:
                found[one] = quantile(of_truth[labels == one], coverage)
    return found


def measure(
    probabilities: Floats,
    labels: npt.NDArray[np.int64],
    score: Score,
    *,
    coverage: float,
    by_class: bool,
    draws: int,
) -> dict[str, float]:
    """Give the means over many halves."""
    generator = np.random.default_rng(0)
    count, classes = probabilities.shape
    rows: list[tuple[float, float, float]] = []
    by_label: list[list[float]] = []
    by_doubt: list[float] = []
    is_doubtful = probabilities.max(1) <= np.quantile(probabilities.max(1), 0.2)
    for _ in range(draws):
        order = generator.permutation(count)
        first, second = order[: count // 2], order[count // 2 :]
        scores = score(probabilities, np.asarray(generator.random(count)))
        of_truth = scores[np.arange(count), labels]
        least = thresholds(of_truth[first], labels[first], classes, coverage, by_class)
        is_member = scores[second] <= least
        is_member[np.arange(len(second)), probabilities[second].argmax(1)] = True
        is_covered = is_member[np.arange(len(second)), labels[second]]
        sizes = is_member.sum(1)
        rows.append((is_covered.mean(), sizes.mean(), (sizes == 1).mean()))
        by_label.append([is_covered[labels[second] == one].mean() for one in range(classes)])
        by_doubt.append(is_covered[is_doubtful[second]].mean())
    means = np.mean(rows, axis=0)
    return {
        "coverage": means[0],
        "mean size": means[1],
        "single": means[2],
        "worst class": float(np.nanmin(np.nanmean(by_label, axis=0))),
        "doubtful fifth": float(np.mean(by_doubt)),
    }


def main() -> None:
    """Print one table a study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--coverage", type=float, default=0.95)
    parser.add_argument("--draws", type=int, default=200)
    asked = parser.parse_args()
    for run in asked.runs:
        arrays = np.load(run / "evaluate" / "predictions.npz")
        probabilities, labels = arrays["probabilities"].astype(np.float64), arrays["labels"]
        accuracy = (probabilities.argmax(1) == labels).mean()
        print(f"\n{run.name}: {len(labels):,} images, accuracy {accuracy:.1%}")
        print(
            "| score | thresholds | coverage | mean size | single | worst class | doubtful fifth |"
        )
        print("|---|---|---|---|---|---|---|")
        for name, score in SCORES.items():
            for by_class in (False, True):
                found = measure(
                    probabilities,
                    labels,
                    score,
                    coverage=asked.coverage,
                    by_class=by_class,
                    draws=asked.draws,
                )
                cells = " | ".join(
                    f"{value:.2f}" if key == "mean size" else f"{value:.1%}"
                    for key, value in found.items()
                )
                print(f"| {name} | {'by class' if by_class else 'one'} | {cells} |")


if __name__ == "__main__":
    main()
