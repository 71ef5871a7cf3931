"""Measure what labels are worth that are bought by a method, against labels drawn at random.

    python benchmarks/labels_bought.py FEATURES.npz [--seeds 3] [--methods random badge]

FEATURES.npz holds ``features`` and ``labels`` of the pool, and ``test_features`` and
``test_labels``. A linear layer is fitted to 100 images drawn at random, then to those that each
method adds by looking at the layer fitted before. Printed is the accuracy on the test images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tenfold.evaluation.active_learning import (
    Method,
    choose_by_clusters,
    choose_by_gradients,
    choose_by_margin,
    standardised,
)
from tenfold.training.linear_probe import FeatureSet, LinearLayer, fit_layer

SIZES, PENALTY = (100, 200, 300, 500, 700, 1000), 0.1


def choose_at_random(
    features: npt.NDArray[np.float32],
    probabilities: npt.NDArray[np.float64],
    count: int,
    generator: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Draw images, each as probable."""
    del probabilities
    return generator.permutation(len(features))[:count].astype(np.int64)


METHODS: dict[str, Method] = {
    "random": choose_at_random,
    "margin": choose_by_margin,
    "clusters": choose_by_clusters,
    "badge": choose_by_gradients,
}


def main() -> None:
    """Buy, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    with np.load(options.features) as stored:
        features = stored["features"].astype(np.float32)
        labels = stored["labels"].astype(np.int64)
        of_test = torch.from_numpy(stored["test_features"].astype(np.float32))
        test_labels = stored["test_labels"].astype(np.int64)
    classes = int(labels.max()) + 1

    def fitted(bought: npt.NDArray[np.int64]) -> LinearLayer:
        known = FeatureSet(torch.from_numpy(features[bought]), torch.from_numpy(labels[bought]))
        return fit_layer(known, PENALTY, class_count=classes)

    for name in options.methods:
        accuracies = np.zeros((options.seeds, len(SIZES)))
        for seed in range(options.seeds):
            generator = np.random.default_rng(seed)
            bought = generator.permutation(len(labels))[: SIZES[0]]
            layer = fitted(bought)
            for column, size in enumerate(SIZES):
                if size > len(bought):
                    left = np.setdiff1d(np.arange(len(labels)), bought)
                    shares = layer.logits(torch.from_numpy(features[left])).double().softmax(1)
                    chosen = METHODS[name](
                        standardised(features[left]), shares.numpy(), size - len(bought), generator
                    )
                    bought = np.concatenate([bought, left[chosen]])
                layer = fitted(bought)
                predicted = layer.logits(of_test).argmax(1).numpy()
                accuracies[seed, column] = (predicted == test_labels).mean()
        cells = " ".join(f"{value:.3f}" for value in accuracies.mean(0))
        spread = (accuracies.max(0) - accuracies.min(0)).max()
        print(f"{name:10} {cells}   largest spread of seeds {spread:.3f}", flush=True)


if __name__ == "__main__":
    main()
