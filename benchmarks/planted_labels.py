"""Measure which of the wrong labels that were planted are ranked among the first.

    python benchmarks/planted_labels.py FEATURES.npz [--draws 1]

FEATURES.npz holds ``features`` (float, N × D, of a pretrained network) and ``labels`` (int, N).
Of 3% of the images the label is changed: to any other class, to the one that its class is most
often taken for by out-of-fold predictions on the right labels, or to the one that the layer and the
nearest images together find most likely beside the right one. A linear layer is fitted with these
labels in five folds, and each image judged by the one that did not see it. Printed are the shares
of the n wrong labels among the first n and 2n, by several orders; ``odds`` is that of the audit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import StratifiedKFold

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
SHARE, PENALTY, STEPS, NEIGHBOURS = 0.03, 0.03, 25, 15


def fit(features: torch.Tensor, labels: Labels, classes: int) -> torch.Tensor:
    """Give weights and, as the last row, biases of a logistic regression."""
    weights = torch.zeros(features.shape[1] + 1, classes, requires_grad=True)
    target = torch.from_numpy(labels)
    optimizer = torch.optim.LBFGS([weights], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = features @ weights[:-1] + weights[-1]
        value = torch.nn.functional.cross_entropy(logits, target)
        value = value + PENALTY / 2 * weights[:-1].square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach()


def out_of_fold(features: torch.Tensor, labels: Labels, classes: int, seed: int) -> Floats:
    """Give each image's probabilities by the layer of its fold."""
    result = np.zeros((len(labels), classes))
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    for inside, outside in folds.split(labels, labels):
        weights = fit(features[inside], labels[inside], classes)
        logits = features[outside] @ weights[:-1] + weights[-1]
        result[outside] = torch.softmax(logits, 1).numpy()
    return result


def neighbours(features: torch.Tensor, labels: Labels, classes: int) -> Floats:
    """Give a vote of the nearest images of each."""
    unit = features / features.norm(dim=1, keepdim=True)
    similarity = (unit @ unit.T).fill_diagonal_(-9)
    values, places = similarity.topk(NEIGHBOURS, 1)
    weights = torch.exp((values - values[:, :1]) * 10).numpy()
    votes = np.full((len(labels), classes), 0.02)
    for rank in range(NEIGHBOURS):
        votes[np.arange(len(labels)), labels[places[:, rank].numpy()]] += weights[:, rank]
    result: Floats = votes / votes.sum(1, keepdims=True)
    return result


def orders(probabilities: Floats, votes: Floats, labels: Labels) -> dict[str, Floats]:
    """Give scores by which the smallest are the most suspicious."""

    def own_and_other(values: Floats) -> tuple[Floats, Floats]:
        row = np.arange(len(labels))
        others = values.copy()
        others[row, labels] = -1
        return values[row, labels], others.max(1)

    own, other = own_and_other(probabilities)
    both_own, both_other = own_and_other((probabilities + votes) / 2)
    vote_own, vote_other = own_and_other(votes)
    return {
        "odds": own / (own + other),
        "self-confidence": own,
        "normalised margin": own - other,
        "odds of the neighbours' vote": vote_own / (vote_own + vote_other),
        "odds of the mean of both": both_own / (both_own + both_other),
    }


def main() -> None:
    """Plant, rank, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("--draws", type=int, default=1)
    options = parser.parse_args()
    with np.load(options.features) as stored:
        labels = stored["labels"].astype(np.int64)
        features = torch.from_numpy(stored["features"]).float()
    features = (features - features.mean(0)) / features.std(0).clamp(min=1e-3)
    classes, count = int(labels.max()) + 1, round(SHARE * len(labels))
    on_right = out_of_fold(features, labels, classes, 0)
    taken_for = on_right.argmax(1)
    together = np.log(on_right + 1e-9) + np.log(neighbours(features, labels, classes))
    together[np.arange(len(labels)), labels] = -np.inf
    second = together.argmax(1)
    print(f"out-of-fold accuracy on the right labels: {(taken_for == labels).mean():.3f}")
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, taken_for), 1)
    np.fill_diagonal(confusion, 0)
    for how in ("any", "most confused", "second likely"):
        shares: dict[str, list[tuple[float, float]]] = {}
        for draw in range(options.draws):
            rng = np.random.default_rng(draw)
            wrong = rng.choice(len(labels), count, replace=False)
            given = labels.copy()
            if how == "any":
                given[wrong] = (labels[wrong] + rng.integers(1, classes, count)) % classes
            elif how == "most confused":
                given[wrong] = confusion.argmax(1)[labels[wrong]]
            else:
                given[wrong] = second[wrong]
            probabilities = out_of_fold(features, given, classes, draw)
            votes = neighbours(features, given, classes)
            for name, score in orders(probabilities, votes, given).items():
                found = np.isin(np.argsort(score, kind="stable")[: 2 * count], wrong)
                shares.setdefault(name, []).append(
                    (float(found[:count].mean()), float(2 * found.mean()))
                )
        for name, values in shares.items():
            of_first, of_both = np.mean(values, axis=0)
            print(f"{how:14} {name:30} {of_first:.3f} {of_both:.3f}", flush=True)


if __name__ == "__main__":
    main()
