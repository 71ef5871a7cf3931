"""The linear layer on features: the optimum that scikit-learn finds, and the penalty's choice."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tenfold.training.linear_probe import (
    PENALTIES,
    ChosenPenalty,
    FeatureSet,
    LinearLayer,
    choose_penalty,
    fit_layer,
)


def problem(count: int, seed: int = 0, noise: float = 2.0) -> FeatureSet:
    """Give features of which a few tell the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    features = rng.normal(0, noise, (count, 12))
    features[:, :3] += 2 * np.eye(3)[labels]
    features = features * np.linspace(0.1, 5, 12) + 3  # scales and offsets of all sizes
    return FeatureSet(torch.tensor(features, dtype=torch.float32), torch.from_numpy(labels))


def choose(*pairs: tuple[FeatureSet, FeatureSet], **others: Any) -> ChosenPenalty:
    """Choose by pairs of features to fit to and to judge by, as rows of one matrix."""
    parts = [part for pair in pairs for part in pair]
    ends = np.cumsum([0, *(len(part.labels) for part in parts)])
    places = [torch.arange(start, end) for start, end in itertools.pairwise(ends.tolist())]
    known = FeatureSet(
        torch.cat([part.features for part in parts]), torch.cat([part.labels for part in parts])
    )
    folds = list(zip(places[::2], places[1::2], strict=True))
    return choose_penalty(known, folds, class_count=3, **others)


def sklearn_probabilities(
    train: FeatureSet, penalty: float, features: torch.Tensor
) -> npt.NDArray[np.float64]:
    """Give scikit-learn's, which sums the losses and divides by C."""
    mean, deviation = train.features.double().mean(0), train.features.double().std(0, correction=0)
    theirs = LogisticRegression(C=1 / (len(train.labels) * penalty), tol=1e-8, max_iter=1000)
    theirs.fit(((train.features - mean) / deviation).numpy(), train.labels.numpy())
    probabilities: npt.NDArray[np.float64] = theirs.predict_proba(
        ((features - mean) / deviation).numpy()
    )
    return probabilities


@pytest.mark.parametrize("penalty", [1.0, 0.1, 0.001])
@pytest.mark.parametrize("count", [9, 300])  # fewer rows than features, and more
def test_it_finds_the_optimum_that_scikit_learn_finds(count: int, penalty: float) -> None:
    train = problem(count)
    layer = fit_layer(train, penalty, class_count=3)
    np.testing.assert_allclose(
        torch.softmax(layer.logits(train.features), 1).numpy(),
        sklearn_probabilities(train, penalty, train.features),
        atol=2e-3,
    )


def test_folds_are_fitted_to_their_own_rows_alone() -> None:
    pairs = [(problem(60, seed=s), problem(90, seed=s + 5)) for s in range(3)]
    chosen = choose(*pairs)
    for penalty, loss in chosen.losses.items():
        alone = [fit_layer(train, penalty, class_count=3).log_loss(held) for train, held in pairs]
        assert loss == pytest.approx(np.mean(alone), rel=3e-3)


def test_a_place_to_begin_from_changes_nothing() -> None:
    train = problem(120)
    chosen = choose((train, problem(300, seed=4)))
    cold = fit_layer(train, 0.1, class_count=3)
    warm = fit_layer(train, 0.1, class_count=3, start=chosen.start)
    torch.testing.assert_close(
        torch.softmax(cold.logits(train.features), 1),
        torch.softmax(warm.logits(train.features), 1),
        atol=2e-3,
        rtol=0,
    )


def test_a_constant_feature_is_left_out() -> None:
    train = problem(60)
    train.features[:, 5] = 4.0
    layer = fit_layer(train, 0.1, class_count=3)
    assert (layer.weight[:, 5] == 0).all()
    assert layer.logits(train.features).isfinite().all()


def test_weaker_penalties_fit_the_training_features_better() -> None:
    train = problem(90)
    losses = [fit_layer(train, p, class_count=3).log_loss(train) for p in (1.0, 0.1, 0.01)]
    assert losses == sorted(losses, reverse=True)


def test_few_noisy_features_want_a_stronger_penalty_than_many() -> None:
    held_out = problem(3000, seed=9)
    assert choose((problem(24), held_out)).penalty > choose((problem(3000), held_out)).penalty


def test_it_ends_where_the_next_penalty_is_worse() -> None:
    seen: list[float] = []
    few = choose((problem(24), problem(500, seed=1)), on_penalty=seen.append)
    assert sorted(seen, reverse=True) == list(few.losses)
    assert len(few.losses) < len(PENALTIES)
    beyond = list(few.losses).index(few.penalty) - 1
    assert beyond < 0 or list(few.losses.values())[beyond] >= few.losses[few.penalty]
    assert few.losses[0.1] > few.losses[few.penalty]
    two = choose((problem(24), problem(500, seed=1)), (problem(24, seed=2), problem(500, seed=1)))
    assert two.losses[0.1] != pytest.approx(few.losses[0.1])


def test_label_smoothing_keeps_confidence_down() -> None:
    train = problem(90, noise=0.3)
    largest = [
        torch.softmax(
            fit_layer(train, 0.001, class_count=3, label_smoothing=smoothing).logits(
                train.features
            ),
            1,
        )
        .max()
        .item()
        for smoothing in (0.0, 0.2)
    ]
    assert largest[0] > 0.98
    assert largest[1] < 0.93


def test_a_class_without_rows_and_features_of_huge_scale() -> None:
    train = problem(60)
    features = train.features * 1e4
    two = FeatureSet(features, train.labels % 2)
    layer = fit_layer(two, 0.01, class_count=3)
    assert (layer.logits(features).argmax(1) != 2).all()


def test_log_loss_is_the_mean_cross_entropy() -> None:
    layer = LinearLayer(torch.zeros(3, 12), torch.zeros(3))
    assert layer.log_loss(problem(30)) == pytest.approx(np.log(3))
