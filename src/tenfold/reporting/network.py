"""Which parts a network is made of; what each is for stands in ``templates/words/network.j2``."""

from __future__ import annotations

from collections.abc import Iterable

from tenfold.core.records.training import LayerRecord

# Tried in this order against a layer's kind, in lower case: "BatchNorm2d" holds "norm".
_PARTS = {
    "Whitening": ("whiten",),
    "Convolution": ("conv",),
    "Normalisation": ("batchnorm", "groupnorm", "layernorm", "norm"),
    "Pooling": ("pool",),
    "Dropout": ("drop",),
    "Flatten": ("flatten",),
    "Activation": ("relu", "gelu", "silu", "swish", "sigmoid", "activation"),
    "Dense": ("linear", "dense"),
    "Residual sum": ("residual", "block", "basic"),
    "Concatenation": ("concat",),
    "Bias": ("bias",),
    "Softmax": ("softmax",),
    "Input": ("normalize", "rescal", "input"),
}


def parts_of(layers: Iterable[LayerRecord]) -> list[str]:
    """Name each part once, in order of first appearance; unknown kinds of layer are left out."""
    parts = (_part_of(layer.kind.lower()) for layer in layers)
    return list(dict.fromkeys(part for part in parts if part is not None))


def _part_of(kind: str) -> str | None:
    return next((part for part, names in _PARTS.items() if any(n in kind for n in names)), None)
