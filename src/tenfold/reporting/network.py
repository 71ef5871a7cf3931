"""What each part of a network is for, in plain words."""

from __future__ import annotations

from collections.abc import Iterable

from tenfold.core.records.train import LayerRecord

# Tried in this order against a layer's kind, in lower case: "BatchNorm2d" holds "norm".
_PURPOSES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("conv",),
        "Convolution",
        "slides small filters over the image; the first layers answer to edges and colours, later "
        "ones to shapes made of them.",
    ),
    (
        ("batchnorm", "groupnorm", "layernorm", "norm"),
        "Normalisation",
        "keeps the size of the signals steady from layer to layer, so that training is faster and "
        "less sensitive to the learning rate.",
    ),
    (
        ("pool",),
        "Pooling",
        "keeps the strongest (or the average) answer of each neighbourhood: less to compute, and a "
        "small shift of the image changes little.",
    ),
    (
        ("drop",),
        "Dropout",
        "switches off a random share of the signals in training, so that the network does not rely "
        "on single ones and over-fits less.",
    ),
    (("flatten",), "Flatten", "lays the map of features out as one list, as a dense layer needs."),
    (
        ("relu", "gelu", "silu", "activation"),
        "Activation",
        "passes positive signals and holds back negative ones; without it all layers together "
        "would be one linear step. It is cheap and keeps gradients alive.",
    ),
    (
        ("linear", "dense"),
        "Dense",
        "weighs all features together; the last dense layer has one output a class, which softmax "
        "turns into probabilities.",
    ),
    (
        ("residual", "block", "basic"),
        "Residual block",
        "adds its input to its output, so that deep networks stay trainable.",
    ),
    (("softmax",), "Softmax", "turns the outputs into probabilities that sum to 1."),
    (
        ("normalize", "rescal", "input"),
        "Input",
        "brings pixel values to the scale that the network was trained on.",
    ),
)


def purposes(layers: Iterable[LayerRecord]) -> list[tuple[str, str]]:
    """Explain each kind of layer once, in order of first appearance; unknown kinds are left out."""
    found: dict[str, str] = {}
    for layer in layers:
        kind = layer.kind.lower()
        for words, title, purpose in _PURPOSES:
            if any(word in kind for word in words):
                found.setdefault(title, purpose)
                break
    return list(found.items())
