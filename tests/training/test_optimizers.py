"""Optimisers by name take the steps that Keras' take, and Muon those of the whole kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from tenfold.models.layers import MirrorConvolution
from tenfold.training.muon import orthogonalize
from tenfold.training.optimizers import (
    DEFAULT_LEARNING_RATES,
    make_optimizer,
    peak_learning_rate,
)
from tenfold.training.settings import OptimizerName, TrainingSettings

Vector = npt.NDArray[np.float64]
Updates = Iterator[Vector]  # what is added to the weights, step by step

EPSILON = 1e-7
STEPS = 6
KERAS_OPTIMIZERS: tuple[OptimizerName, ...] = tuple(
    name
    for name in get_args(OptimizerName)
    if name != "muon"  # which Keras does not have
)


def keras_sgd(gradients: list[Vector], rate: float, momentum: float = 0.0) -> Updates:
    velocity = np.zeros_like(gradients[0])
    for gradient in gradients:
        velocity = momentum * velocity - rate * gradient
        # Nesterov's form; without momentum it is plain gradient descent.
        yield momentum * velocity - rate * gradient


def keras_rmsprop(gradients: list[Vector], rate: float, momentum: float = 0.0) -> Updates:
    velocity, moving = np.zeros_like(gradients[0]), np.zeros_like(gradients[0])
    for gradient in gradients:
        velocity = 0.9 * velocity + 0.1 * gradient**2
        moving = momentum * moving + rate * gradient / np.sqrt(velocity + EPSILON)
        yield -moving


def keras_adam(gradients: list[Vector], rate: float, momentum: float = 0.0) -> Updates:
    first, second = np.zeros_like(gradients[0]), np.zeros_like(gradients[0])
    for step, gradient in enumerate(gradients, start=1):
        first += (gradient - first) * (1 - 0.9)
        second += (gradient**2 - second) * (1 - 0.999)
        alpha = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        yield -first * alpha / (np.sqrt(second) + EPSILON)


FORMULAS: dict[OptimizerName, Callable[..., Updates]] = {
    "sgd": keras_sgd,
    "rmsprop": keras_rmsprop,
    "adam": keras_adam,
    "adamw": keras_adam,
}


def our_weights(gradients: list[Vector], settings: dict[str, Any]) -> Vector:
    """Give the weights after all steps, from zero; the gradients do not depend on the weights."""
    network = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(network.weight)
    optimizer = make_optimizer(network, TrainingSettings.parse(settings))
    for gradient in gradients:
        network.weight.grad = torch.tensor(gradient, dtype=torch.float32)
        optimizer.step()
    return network.weight.detach().double().numpy()


def random_gradients(size: float) -> list[Vector]:
    rng = np.random.default_rng(0)
    # Away from zero by a half, so that epsilon is small beside every one of them.
    signs = rng.choice([-1.0, 1.0], (STEPS, 2, 2))
    return list(size * signs * rng.uniform(0.5, 1.5, (STEPS, 2, 2)))


@pytest.mark.parametrize(
    ("optimizer", "momentum"),
    [*((name, 0.0) for name in KERAS_OPTIMIZERS), ("sgd", 0.9), ("rmsprop", 0.9)],
)
def test_steps_are_those_of_keras(optimizer: OptimizerName, momentum: float) -> None:
    gradients = random_gradients(size=1.0)
    rate = DEFAULT_LEARNING_RATES[optimizer]
    ours = our_weights(gradients, {"optimizer": optimizer, "momentum": momentum})
    keras = sum(FORMULAS[optimizer](gradients, rate, momentum))
    np.testing.assert_allclose(ours, keras, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_small_gradients_too(optimizer: OptimizerName) -> None:
    gradients = random_gradients(size=1e-4)
    ours = our_weights(gradients, {"optimizer": optimizer})
    keras = sum(FORMULAS[optimizer](gradients, DEFAULT_LEARNING_RATES[optimizer]))
    # Keras' epsilon in Adam is the paper's "epsilon hat", added before the correction of the second
    # moment; torch's comes after: a few percent in the first steps.
    np.testing.assert_allclose(ours, keras, rtol=0.1 if optimizer == "adam" else 1e-3)


@pytest.mark.parametrize("optimizer", KERAS_OPTIMIZERS)
def test_learning_rates_are_keras_defaults_unless_given(optimizer: OptimizerName) -> None:
    expected = 0.01 if optimizer == "sgd" else 0.001
    assert peak_learning_rate(TrainingSettings(optimizer=optimizer)) == expected
    given = TrainingSettings(optimizer=optimizer, learning_rate=0.3)
    assert peak_learning_rate(given) == 0.3
    assert {group["lr"] for group in make_optimizer(nn.Linear(2, 2), given).param_groups} == {0.3}


def test_decoupled_weight_decay_shrinks_weights_alone() -> None:
    network = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in network.named_parameters()}
    settings = TrainingSettings(optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    optimizer = make_optimizer(network, settings)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(network.weight.data, before["weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(network.bias, before["bias"])


def test_l2_penalty_is_part_of_the_gradient() -> None:
    network = nn.Linear(3, 2)
    before = network.weight.detach().clone()
    optimizer = make_optimizer(
        network, TrainingSettings(optimizer="sgd", learning_rate=0.1, weight_decay=0.5)
    )
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    torch.testing.assert_close(network.weight.data, before - 0.1 * (1 + 0.5 * before))


@pytest.mark.parametrize("optimizer", get_args(OptimizerName))
def test_every_parameter_is_optimised_once(optimizer: OptimizerName) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    groups = make_optimizer(network, TrainingSettings(optimizer=optimizer)).param_groups
    optimised = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(optimised) == sorted(id(parameter) for parameter in network.parameters())


def test_muon_multiplies_in_the_precision_of_the_training() -> None:
    kernel = nn.Conv2d(16, 32, 3).weight.detach()

    def stepped(**options: torch.dtype) -> torch.Tensor:
        layer = nn.Conv2d(16, 32, 3, bias=False)
        layer.weight.data.copy_(kernel)
        layer.weight.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(0))
        make_optimizer(layer, TrainingSettings(optimizer="muon"), **options).step()
        return layer.weight.detach()

    exact, rounded = stepped(), stepped(precision=torch.bfloat16)
    assert torch.equal(stepped(precision=torch.float32), exact)
    assert 0 < (rounded - exact).norm() / (exact - kernel).norm() < 0.03


def test_muon_turns_mirrored_layers_as_whole_kernels() -> None:
    layer = MirrorConvolution(4, 8, 3)
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    gradient = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(1))
    before = layer.weight.detach().clone()
    layer.weight.grad = gradient
    # No normalisation follows, so the step is all that changes the kernel.
    make_optimizer(layer, TrainingSettings(optimizer="muon", learning_rate=1.0)).step()
    whole = torch.cat((gradient, layer.mirrored(gradient))).flatten(1)
    expected = orthogonalize(whole)[:4].view(before.shape)
    torch.testing.assert_close(before - layer.weight.detach(), expected, rtol=0, atol=1e-5)
