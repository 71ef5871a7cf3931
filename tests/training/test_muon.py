"""Muon: orthogonalised updates of kernels, and Nesterov momentum of all else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tenfold.models.layers import MirrorConvolution
from tenfold.training.muon import (
    DECAY_PER_IMAGE,
    KERNEL_LEARNING_RATE,
    MATRIX_LEARNING_RATE,
    VECTOR_LEARNING_RATE,
    Muon,
    orthogonalize,
    orthogonalize_mirrored,
)


def random_matrix(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))


def test_kernels_keep_unit_rows_on_average_and_take_steps_of_their_own_size() -> None:
    kernel = nn.Parameter(5 * random_matrix(8, 27).view(8, 3, 3, 3))
    optimizer = Muon([kernel], [], batch_size=4)
    kernel.grad = 1e-6 * random_matrix(8, 27).view(8, 3, 3, 3)
    scaled = (kernel * 8**0.5 / kernel.norm()).detach()
    optimizer.step()
    step = (kernel.detach() - scaled).view(8, 27)
    # The size of the gradient is of no account: only its direction is.
    values = torch.linalg.svdvals(step) / KERNEL_LEARNING_RATE
    assert values.min() > 0.6
    assert values.max() < 1.25


def test_a_step_turns_the_whole_kernel_of_a_mirrored_layer() -> None:
    layer = MirrorConvolution(8, 16, 3)
    layer.weight.data = random_matrix(8, 72).view(8, 8, 3, 3)
    layer.weight.grad = random_matrix(8, 73)[:, :72].reshape(8, 8, 3, 3)
    mirrored = layer.mirrored
    whole = nn.Parameter(torch.cat((layer.weight, mirrored(layer.weight))).detach())
    whole.grad = torch.cat((layer.weight.grad, mirrored(layer.weight.grad)))
    Muon([layer.weight], [], batch_size=4, mirrors={layer.weight: mirrored}).step()
    Muon([whole], [], batch_size=4).step()
    torch.testing.assert_close(whole.detach()[:8], layer.weight.detach())
    torch.testing.assert_close(whole.detach()[8:], mirrored(layer.weight).detach())


def test_kernels_without_a_normalisation_are_not_scaled() -> None:
    kernel = nn.Parameter(5 * random_matrix(8, 27).view(8, 3, 3, 3))
    before = kernel.detach().clone()
    optimizer = Muon([kernel], [], batch_size=4, is_scale_free=False)
    kernel.grad = random_matrix(8, 27).view(8, 3, 3, 3)
    optimizer.step()
    assert (kernel - before).abs().max() < 2 * KERNEL_LEARNING_RATE


def test_other_parameters_do_sgd_with_nesterov_momentum_and_decay() -> None:
    weight, bias = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(3))
    optimizer = Muon([], [weight, bias], batch_size=10)
    velocity = 0.0
    expected = {"weight": 1.0, "bias": 1.0}
    rates = {"weight": MATRIX_LEARNING_RATE * 10, "bias": VECTOR_LEARNING_RATE * 10}
    for _ in range(3):
        weight.grad, bias.grad = torch.full((2, 3), 0.1), torch.full((3,), 0.1)
        optimizer.step()
        velocity = 0.85 * velocity + 0.1
        for name, rate in rates.items():
            decayed = expected[name] * (1 - 10 * DECAY_PER_IMAGE)
            expected[name] = decayed - rate * (0.1 + 0.85 * velocity)
    torch.testing.assert_close(weight.detach(), torch.full((2, 3), expected["weight"]))
    torch.testing.assert_close(bias.detach(), torch.full((3,), expected["bias"]))


def test_state_survives_saving() -> None:
    def stepped(optimizer: Muon, kernel: nn.Parameter, steps: range) -> None:
        for step in steps:
            kernel.grad = random_matrix(4, 9 + step)[:, :9].reshape(4, 1, 3, 3)
            optimizer.step()

    def fresh() -> tuple[Muon, nn.Parameter]:
        kernel = nn.Parameter(random_matrix(4, 9).view(4, 1, 3, 3))
        return Muon([kernel], [], batch_size=4), kernel

    whole, kernel = fresh()
    stepped(whole, kernel, range(4))
    first, half = fresh()
    stepped(first, half, range(2))
    second, resumed = fresh()
    second.load_state_dict(first.state_dict())
    resumed.data.copy_(half.data)
    stepped(second, resumed, range(2, 4))
    assert torch.equal(resumed, kernel)


@pytest.mark.parametrize(("rows", "columns"), [(8, 40), (40, 8), (16, 16), (1, 9)])
def test_orthogonalized_is_the_newton_schulz_iteration_written_plainly(
    rows: int, columns: int
) -> None:
    matrix = random_matrix(rows, columns)
    plain = matrix.double() / matrix.double().norm()
    for _ in range(3):
        gram = plain @ plain.T
        plain = 3.4445 * plain + (-4.7750 * gram + 2.0315 * gram @ gram) @ plain
    torch.testing.assert_close(orthogonalize(matrix).double(), plain, rtol=1e-4, atol=1e-5)


def test_orthogonalized_keeps_singular_vectors_and_levels_singular_values() -> None:
    matrix = random_matrix(8, 40)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = left.T @ orthogonalize(matrix) @ right.T
    torch.testing.assert_close(values, values.diagonal().diag(), atol=1e-4, rtol=0)
    assert values.diagonal().min() > 0.6
    assert values.diagonal().max() < 1.25


@pytest.mark.parametrize(("rows", "columns"), [(32, 288), (40, 8)])
def test_orthogonalized_in_bfloat16_is_the_same_within_its_precision(
    rows: int, columns: int
) -> None:
    matrix = random_matrix(rows, columns)
    exact = orthogonalize(matrix)
    rounded = orthogonalize(matrix, precision=torch.bfloat16)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).norm() / exact.norm() < 0.03


def test_a_gradient_of_zero_moves_nothing_to_infinity() -> None:
    zeros = torch.zeros(4, 9)
    assert torch.equal(orthogonalize(zeros), zeros)
    assert torch.equal(orthogonalize_mirrored(zeros, zeros), zeros)


@pytest.mark.parametrize(
    ("width", "channels", "precision", "tolerance"),
    [
        (16, 8, torch.float32, 1e-5),
        (64, 4, torch.float32, 1e-5),
        (2, 2, torch.float32, 1e-5),
        (64, 32, torch.bfloat16, 0.03),
    ],
)
def test_half_of_a_mirrored_kernel_turns_as_it_would_in_the_whole(
    width: int, channels: int, precision: torch.dtype, tolerance: float
) -> None:
    layer = MirrorConvolution(channels, width, 3)
    half = random_matrix(width // 2, 9 * channels)
    mirrored = layer.mirrored(half.view(-1, channels, 3, 3)).flatten(1)
    whole = orthogonalize(torch.cat((half, mirrored)))[: width // 2]
    turned = orthogonalize_mirrored(half, mirrored, precision=precision)
    assert turned.dtype == torch.float32
    assert (turned - whole).norm() / whole.norm() < tolerance
    assert (orthogonalize(half) - whole).norm() / whole.norm() > 2 * tolerance
