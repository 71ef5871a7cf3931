"""Temperature scaling finds what makes probabilities honest, and changes no prediction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.evaluation.scores import mean_log_loss
from tenfold.training.temperature import calibrated_probabilities, fit_temperature


def honest_logits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Give logits whose softmax is the truth, and labels drawn from it."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (count, 5))
    probabilities = calibrated_probabilities(logits.astype(np.float32), None).astype(float)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    cumulated = probabilities.cumsum(axis=1)
    labels = (generator.random((count, 1)) > cumulated).sum(axis=1).clip(0, 4)
    return logits, labels


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_finds_the_factor_by_which_logits_are_too_large(factor: float) -> None:
    logits, labels = honest_logits(20_000, 1)
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.05)


def test_is_the_minimum_of_the_log_loss() -> None:
    logits, labels = honest_logits(5000, 2)
    best = fit_temperature(2 * logits, labels)
    losses = [
        mean_log_loss(labels, calibrated_probabilities((2 * logits).astype(np.float32), t))
        for t in (best * 0.97, best, best * 1.03)
    ]
    assert losses[1] == min(losses)


def test_few_images_without_an_error_do_not_ask_for_endless_confidence() -> None:
    logits = np.array([[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]])
    assert 0.4 < fit_temperature(logits, np.array([0, 1, 2])) < 1
    assert fit_temperature(np.repeat(logits, 2000, axis=0), np.repeat([0, 1, 2], 2000)) < 0.4


@given(temperature=st.floats(0.2, 5), seed=st.integers(0, 1000))
def test_the_most_probable_class_stays(temperature: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (50, 7)).astype(np.float32)
    probabilities = calibrated_probabilities(logits, temperature)
    assert np.array_equal(probabilities.argmax(axis=1), logits.argmax(axis=1))
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(50), abs=1e-5)


def test_no_temperature_is_the_plain_softmax() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (5, 3)).astype(np.float32)
    assert np.array_equal(
        calibrated_probabilities(logits, None), calibrated_probabilities(logits, 1.0)
    )
