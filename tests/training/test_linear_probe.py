"""The linear layer on features: the optimum that scikit-learn finds, and the penalty's choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tenfold.training.linear_probe import FeatureSet, LinearLayer, choose_penalty, fit_path


def problem(count: int, seed: int = 0, noise: float = 2.0) -> FeatureSet:
    """Give features of which a few tell the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    features = rng.normal(0, noise, (count, 12))
    features[:, :3] += 2 * np.eye(3)[labels]
    features = features * np.linspace(0.1, 5, 12) + 3  # scales and offsets of all sizes
    return FeatureSet(torch.tensor(features, dtype=torch.float32), torch.from_numpy(labels))


def test_it_finds_the_optimum_that_scikit_learn_finds() -> None:
    train = problem(300)
    penalty = 0.1
    [(_, layer)] = fit_path(train, class_count=3, penalties=[penalty])
    features = train.features.double().numpy()
    standard = (features - features.mean(0)) / features.std(0)
    # scikit-learn sums the losses and divides by C: the same optimum for C = 1 / (N × penalty).
    theirs = LogisticRegression(C=1 / (300 * penalty), tol=1e-8, max_iter=1000)
    theirs.fit(standard, train.labels.numpy())
    np.testing.assert_allclose(
        torch.softmax(layer.logits(train.features), 1).numpy(),
        theirs.predict_proba(standard),
        atol=2e-3,
    )


def test_a_constant_feature_is_left_out() -> None:
    train = problem(60)
    train.features[:, 5] = 4.0
    [(_, layer)] = fit_path(train, class_count=3, penalties=[0.1])
    assert (layer.weight[:, 5] == 0).all()
    assert layer.logits(train.features).isfinite().all()


def test_weaker_penalties_fit_the_training_features_better() -> None:
    train = problem(90)
    path = fit_path(train, class_count=3, penalties=[1.0, 0.1, 0.01])
    losses = [layer.log_loss(train) for _, layer in path]
    assert losses == sorted(losses, reverse=True)
    assert [penalty for penalty, _ in path] == [1.0, 0.1, 0.01]


def test_few_noisy_features_want_a_stronger_penalty_than_many() -> None:
    held_out = problem(3000, seed=9)

    def best(count: int) -> float:
        losses = choose_penalty([(problem(count), held_out)], class_count=3)
        return min(losses, key=lambda penalty: losses[penalty])

    assert best(24) > best(3000)


def test_one_fold_stops_where_it_gets_worse_and_several_do_not() -> None:
    few, held_out = problem(24), problem(500, seed=1)
    seen: list[float] = []
    one = choose_penalty([(few, held_out)], class_count=3, on_penalty=seen.append)
    assert len(one) < 8
    assert seen == list(one)
    losses = list(one.values())
    assert losses[-1] > losses[-2]
    both = choose_penalty([(few, held_out), (problem(24, seed=2), held_out)], class_count=3)
    assert len(both) == 8
    assert both[1.0] != pytest.approx(one[1.0])


def test_label_smoothing_keeps_confidence_down() -> None:
    train = problem(90, noise=0.3)
    largest = [
        torch.softmax(layer.logits(train.features), 1).max().item()
        for smoothing in (0.0, 0.2)
        for _, layer in fit_path(train, class_count=3, penalties=[0.001], label_smoothing=smoothing)
    ]
    assert largest[0] > 0.98
    assert largest[1] < 0.93


def test_log_loss_is_the_mean_cross_entropy() -> None:
    layer = LinearLayer(torch.zeros(3, 12), torch.zeros(3))
    assert layer.log_loss(problem(30)) == pytest.approx(np.log(3))
