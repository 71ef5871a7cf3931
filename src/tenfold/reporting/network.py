"""What each part of a network is for, in plain words."""

from __future__ import annotations

from collections.abc import Iterable

from tenfold.core.records.train import LayerRecord

COST_SENTENCE = (
    "Parameters are the numbers that training sets. Multiply-adds are the multiplications, each "
    "with an addition, that convolutions and dense layers do for one image: a measure of its time."
)
"""What the two columns of numbers mean."""

# Tried in this order against a layer's kind, in lower case: "BatchNorm2d" holds "norm".
_PURPOSES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("whiten",),
        "Whitening",
        "takes small patches of the image apart into directions that do not depend on each other, "
        "each of the same strength; it is computed from the training images, not trained.",
    ),
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
        ("relu", "gelu", "silu", "swish", "sigmoid", "activation"),
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
        "Residual sum",
        "adds a block's input to its output, so that a block only has to learn what to change and "
        "deep networks stay trainable.",
    ),
    (
        ("concat",),
        "Concatenation",
        "lays the answers of filters of several sizes side by side, so that the next layer can "
        "choose among them.",
    ),
    (("bias",), "Bias", "shifts each channel by a value of its own."),
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
