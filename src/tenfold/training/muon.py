"""Muon: momentum whose update is orthogonalised; convolution kernels learn in fewer steps.

Sources: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024), and the
training for CIFAR-10 that it was made for (github.com/KellerJordan/cifar10-airbench), whose
learning rates and momenta these are but where it is said.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

KERNEL_LEARNING_RATE = 0.12
"""Of orthogonalised updates: a kernel of unit rows turns by about this much a step at most.

Ours, for batches of some hundreds; 0.24 was made for batches of 2,000 (docs/experiments.md)."""
VECTOR_LEARNING_RATE = 0.053
"""Of biases, for the gradient summed over the images of a batch."""
MATRIX_LEARNING_RATE = 0.67
"""Of matrices (the output layer), for the gradient summed over the images of a batch."""
KERNEL_MOMENTUM = 0.6
SGD_MOMENTUM = 0.85
DECAY_PER_IMAGE = 2e-6
"""Share of a parameter that a step at the highest rate takes away, for each image of a batch."""

# Quintic iteration with the steepest slope at zero: singular values end between about 0.7 and 1.2,
# which serves as well as exactly 1 (Jordan 2024).
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 3

Mirror = Callable[[Tensor], Tensor]
"""Gives the second half of a kernel's outputs, or of their gradient, from the first."""


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for convolution kernels, SGD with Nesterov momentum for the rest.

    Every kernel is scaled to rows of unit length (on average) before each step. A kernel that is
    followed by a normalisation computes the same at any length, so this only keeps the learning
    rate's meaning; other kernels would be changed by it, hence `is_scale_free`.

    Parameters
    ----------
    kernels
        Convolution kernels, shape (output channels, input channels, height, width).
    others
        All other parameters.
    learning_rate
        Of the kernels; the others' rates are scaled with it.
    batch_size
        Images a step. Gradients arrive as means over the batch; the others' learning rates are for
        sums, so that they hold for any batch size.
    weight_decay
        Added to `DECAY_PER_IMAGE` times `batch_size`, for the others alone.
    is_scale_free
        Whether every kernel is followed by a normalisation.
    mirrors
        For each kernel that is the first half of a larger one, whose second half is its mirror
        image: what gives that. The step is the one that the whole kernel would take.
    precision
        Type that updates are orthogonalised in; the published Muon takes bfloat16. Gradients of a
        training in bfloat16 are no more exact, and a processor that computes in it is done in
        three fifths of the time for large kernels (docs/experiments.md).
    """

    def __init__(
        self,
        kernels: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        learning_rate: float = KERNEL_LEARNING_RATE,
        batch_size: int,
        weight_decay: float = 0.0,
        is_scale_free: bool = True,
        mirrors: Mapping[nn.Parameter, Mirror] | None = None,
        precision: torch.dtype = torch.float32,
    ) -> None:
        share = learning_rate / KERNEL_LEARNING_RATE
        rest = list(others)
        groups = [
            {"params": list(kernels), "lr": learning_rate},
            {
                "params": [parameter for parameter in rest if parameter.dim() <= 1],
                "lr": VECTOR_LEARNING_RATE * share * batch_size,
            },
            {
                "params": [parameter for parameter in rest if parameter.dim() > 1],
                "lr": MATRIX_LEARNING_RATE * share * batch_size,
            },
        ]
        for group, is_kernel in zip(groups, (True, False, False), strict=True):
            group |= {"peak_lr": group["lr"], "is_kernel": is_kernel}
        super().__init__(
            [group for group in groups if group["params"]],
            {"decay": DECAY_PER_IMAGE * batch_size * share + weight_decay},
        )
        self.is_scale_free = is_scale_free
        self.mirrors = dict(mirrors or {})
        self.precision = precision

    # torch wraps these so that its compiler leaves them alone, and a wrapper's first call imports
    # that compiler: 1.3 s on 2 cores, a third of a small training. Nothing is compiled here.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None, "the training loop computes gradients before the step"
        for group in self.param_groups:
            update = self._turn_kernel if group["is_kernel"] else self._descend
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update(parameter, group)

    def _turn_kernel(self, kernel: nn.Parameter, group: dict[str, Any]) -> None:
        direction = self._with_momentum(kernel, KERNEL_MOMENTUM)
        if self.is_scale_free:
            kernel.mul_(kernel.size(0) ** 0.5 / kernel.norm().clamp_min(1e-12))
        matrix = direction.flatten(1)
        if mirror := self.mirrors.get(kernel):
            image = mirror(direction).flatten(1)
            turned = orthogonalize_mirrored(matrix, image, precision=self.precision)
        else:
            turned = orthogonalize(matrix, precision=self.precision)
        kernel.add_(turned.view(direction.shape), alpha=-group["lr"])

    def _descend(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        direction = self._with_momentum(parameter, SGD_MOMENTUM)
        parameter.mul_(1 - group["decay"] * group["lr"] / group["peak_lr"])
        parameter.add_(direction, alpha=-group["lr"])

    def _with_momentum(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """Give the gradient looked ahead along its running sum (Nesterov)."""
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum_buffer"]
        buffer.mul_(momentum).add_(gradient)
        return gradient.add(buffer, alpha=momentum)


def orthogonalize(
    matrix: Tensor,
    steps: int = _NEWTON_SCHULZ_STEPS,
    *,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """Give a matrix of the same singular vectors with singular values near 1.

    Every step of the Newton-Schulz iteration multiplies the matrix by a polynomial of its Gram
    matrix, and these polynomials commute. So the iteration runs on the small Gram matrix alone, and
    the wide matrix is read twice in all instead of twice a step.

    Parameters
    ----------
    matrix
        float32, shape (rows, columns).
    steps
        Steps of the iteration.
    precision
        Type of the products.

    Returns
    -------
    Tensor
        float32, the same shape.
    """
    is_tall = matrix.size(0) > matrix.size(1)
    wide = matrix.T if is_tall else matrix
    wide = (wide / (wide.norm() + 1e-7)).to(precision)  # no singular value above 1
    turned = _newton_schulz(wide @ wide.T, steps) @ wide
    result: Tensor = turned.T if is_tall else turned
    return result.to(matrix.dtype)


def orthogonalize_mirrored(
    half: Tensor,
    mirrored: Tensor,
    steps: int = _NEWTON_SCHULZ_STEPS,
    *,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """Give the first half of what `orthogonalize` gives of both halves, one above the other.

    With H the half and M its mirror image (the same permutation P of columns takes either to the
    other), the Gram matrix of both is ``[[A, B], [B, A]]``, A = H Hᵀ and B = H Mᵀ. In sums and
    differences of the halves it falls apart into A + B and A - B, so that the iteration runs on two
    matrices of the half's size. To orthogonalise H alone would be another step: it levels
    directions within the half that the mirror image shares, or is without.

    Parameters
    ----------
    half, mirrored
        float32, shape (rows, columns).
    steps, precision
        As for `orthogonalize`.

    Returns
    -------
    Tensor
        float32, the same shape.
    """
    scale = 2**0.5 * half.norm() + 1e-7
    upper, lower = (half / scale).to(precision), (mirrored / scale).to(precision)
    same, crossed = upper @ upper.T, upper @ lower.T
    sums, differences = (_newton_schulz(gram, steps) for gram in (same + crossed, same - crossed))
    turned: Tensor = ((sums + differences) / 2) @ upper + ((sums - differences) / 2) @ lower
    return turned.to(half.dtype)


def _newton_schulz(gram: Tensor, steps: int) -> Tensor:
    """Give what the iteration multiplies a matrix of this Gram matrix by, from the left."""
    first, third, fifth = _NEWTON_SCHULZ
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    product = identity
    for step in range(steps):
        factor = first * identity + third * gram + fifth * (gram @ gram)
        product = factor @ product if step else factor
        if step + 1 < steps:
            gram = factor @ gram @ factor
    return product
