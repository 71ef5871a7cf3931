"""Fit a head to features: tenfold beside scikit-learn's logistic regression, in turns.

The same optimum is asked of all: the objective, of standardised features, is printed beside the
seconds. `newton-cholesky` makes a matrix of (classes × features)², so it is left out where that is
large.

    python benchmarks/head_fit.py --rows 50000 --features 2024
    python benchmarks/head_fit.py --from FEATURES.npy LABELS.npy --penalty 0.03 --folds 5
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tenfold.data.folds import stratified_folds
from tenfold.training.linear_probe import FeatureSet, choose_penalty, fit_layer

_MOST_HESSIAN_SIDE = 6000

Layer = tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]


def synthetic(
    rows: int, features: int, classes: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Give correlated features of which some tell the class, as a backbone's do."""
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    hidden = rng.normal(size=(rows, features)).astype(np.float32)
    hidden *= (np.arange(1, features + 1) ** -0.5).astype(np.float32)  # a few directions are strong
    centres = rng.normal(0, 0.02, (classes, features)).astype(np.float32)
    mixing = rng.normal(size=(features, features)).astype(np.float32) / features**0.5
    return (hidden + centres[labels]) @ mixing, labels


def main() -> None:
    """Print one line a solver."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--from", dest="files", nargs=2, metavar="NPY")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--features", type=int, default=2024)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--penalty", type=float, default=0.03)
    parser.add_argument("--folds", type=int, default=0, help="also choose the penalty by so many")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--skip", nargs="*", default=[])
    options = parser.parse_args()
    if options.files:
        features, labels = (np.load(path) for path in options.files)
    else:
        features, labels = synthetic(options.rows, options.features, options.classes)
    classes, penalty = int(labels.max()) + 1, options.penalty
    mean, deviation = features.mean(0), features.std(0)
    standard = (features - mean) / np.where(deviation > 0, deviation, 1)
    known = FeatureSet(torch.from_numpy(features), torch.from_numpy(labels))

    def tenfold() -> Layer:
        layer = fit_layer(known, penalty, class_count=classes)
        weight = layer.weight.double().numpy()
        return weight * deviation, layer.bias.double().numpy() + weight @ mean

    def sklearn(solver: str) -> Callable[[], Layer]:
        def fit() -> Layer:
            model = LogisticRegression(
                C=1 / (len(labels) * penalty), solver=solver, max_iter=300, tol=1e-4
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(standard, labels)
            return model.coef_, model.intercept_

        return fit

    def objective(layer: Layer) -> float:
        weight, bias = layer
        logits = log_softmax(standard.astype(np.float64) @ weight.T + bias, axis=1)
        return float(
            -logits[np.arange(len(labels)), labels].mean() + penalty / 2 * (weight**2).sum()
        )

    solvers = {"tenfold": tenfold, "lbfgs": sklearn("lbfgs"), "newton-cg": sklearn("newton-cg")}
    if classes * features.shape[1] <= _MOST_HESSIAN_SIDE:
        solvers["newton-cholesky"] = sklearn("newton-cholesky")
    seconds: dict[str, list[float]] = {name: [] for name in solvers if name not in options.skip}
    objectives = dict.fromkeys(seconds, 0.0)
    for _ in range(options.runs):
        for name, taken in seconds.items():
            begun = time.perf_counter()
            layer = solvers[name]()
            taken.append(time.perf_counter() - begun)
            objectives[name] = objective(layer)
    print(f"{len(labels):,} × {features.shape[1]:,}, {classes} classes, penalty {penalty:g}")
    for name, values in seconds.items():
        print(
            f"{name:16} median {statistics.median(values):6.2f} s "
            f"({min(values):.2f} to {max(values):.2f}), objective {objectives[name]:.6f}"
        )
    if options.folds:
        folds = [
            (torch.from_numpy(kept), torch.from_numpy(held_out))
            for kept, held_out in stratified_folds(labels, options.folds, 0)
        ]
        begun = time.perf_counter()
        chosen = choose_penalty(known, folds, class_count=classes)
        print(
            f"penalty {chosen.penalty:g} of {len(chosen.losses)} tried, by {options.folds} folds: "
            f"{time.perf_counter() - begun:.2f} s"
        )


if __name__ == "__main__":
    main()
