"""How well scores tell images of nothing known from a study's own test images.

    python benchmarks/unlike_images.py RUN_FOLDER [NAME=IMAGE_FOLDER ...] [--images 500]

Known are the study's test images; foreign are the images below each folder given, and drawn ones:
noise, plain colours, textures, scikit-learn's digits. Printed is the AUROC in % of each score,
foreign against known, the mean and the lowest. Nothing is trained, and no threshold is chosen.

ViM: arXiv 2203.10807. Relative Mahalanobis: arXiv 2106.09022. ReAct: arXiv 2111.12797. ASH-S:
arXiv 2209.09858. GEN: Liu, Lochman and Zach, CVPR 2023. Nearest neighbours: arXiv 2204.06507; of
several layers, each map averaged over its places (after MDS, arXiv 1807.03888).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import tenfold
from tenfold.data.dataset import read_split
from tenfold.data.images.stream import read_images
from tenfold.evaluation.unlike import UnlikeScore, energies
from tenfold.models.model import as_pixels
from tenfold.serving.prediction import find_images

Floats = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]
_BATCH = 250
_REFERENCE = 2000
_KNOWN = 2000
_CLIPPED = 0.9
_KEPT = 0.35


def drawn(shape: tuple[int, int, int], count: int, kind: str) -> Images:
    """Give images of nothing: noise, plain colours, or textures."""
    generator = np.random.default_rng(0)
    height, width, channels = shape
    if kind == "noise":
        return generator.integers(0, 256, (count, *shape), np.uint8)
    colours = generator.uniform(0, 256, (2, count, 1, 1, channels))
    if kind == "plain":
        return np.broadcast_to(colours[0], (count, *shape)).astype(np.uint8)
    rows, columns = np.mgrid[:height, :width]
    waves = np.zeros((count, height, width))
    for _ in range(3):  # sums of plane waves, from coarse to fine
        periods, angles, phases = generator.uniform((2.5, 0, 0), (12, np.pi, 6.3), (count, 3)).T
        along = np.cos(angles)[:, None, None] * rows + np.sin(angles)[:, None, None] * columns
        waves += np.sin(2 * np.pi * along / periods[:, None, None] + phases[:, None, None])
    shares = 1 / (1 + np.exp(-2 * waves))[..., None]
    mixed: Images = (shares * colours[0] + (1 - shares) * colours[1]).astype(np.uint8)
    return mixed


def digits(shape: tuple[int, int, int], count: int) -> Images:
    """Give scikit-learn's digits, enlarged without smoothing."""
    pixels = torch.from_numpy(load_digits().images[:count, None].astype(np.float32) * 15.9)
    enlarged = torch.nn.functional.interpolate(pixels, shape[:2], mode="bilinear")
    return np.repeat(enlarged.numpy().transpose(0, 2, 3, 1), shape[2], axis=3).astype(np.uint8)


def from_folder(folder: str, model: tenfold.ImageClassifier, count: int) -> Images:
    """Read images as `tenfold predict` does, evenly over the folder."""
    files = find_images([folder]).files
    chosen = files[:: max(1, len(files) // count)][:count]
    ranges = model.model_record_.value_ranges
    read = read_images(chosen, model.image_shape_, ranges=ranges)
    return np.stack([image.pixels for image in read if image.pixels is not None])


class Seen:
    """What the network makes of images: features, logits, and the means of earlier maps."""

    def __init__(self, model: tenfold.ImageClassifier, images: Images) -> None:
        network = model.network_.eval()
        body = network.body
        groups = list(getattr(body, "groups", []))
        layers: list[list[Floats]] = [[] for _ in groups]
        features: list[Floats] = []

        def keep(place: int) -> Callable[..., None]:
            def hook(_: object, __: object, output: torch.Tensor) -> None:
                layers[place].append(output.float().mean((2, 3)).numpy())

            return hook

        linear = [part for part in network.modules() if isinstance(part, torch.nn.Linear)][-1]
        handles = [part.register_forward_hook(keep(place)) for place, part in enumerate(groups)]
        handles.append(
            linear.register_forward_hook(lambda _, given, __: features.append(given[0].numpy()))
        )
        logits = []
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                block = np.ascontiguousarray(images[start : start + _BATCH])
                logits.append(network(as_pixels(block, torch.device("cpu"))).float().numpy())
        for handle in handles:
            handle.remove()
        self.logits = np.concatenate(logits)
        self.features = np.concatenate(features)
        self.layers = [np.concatenate(parts) for parts in layers]
        # A factor between the last linear layer and the logits is part of the layer here.
        plain = linear(torch.from_numpy(self.features[:50])).detach().numpy()
        scale = float((self.logits[:50] * plain).sum() / (plain * plain).sum())
        self.weight = linear.weight.detach().numpy() * scale
        bias = np.zeros(len(self.weight), np.float32)
        self.bias = bias if linear.bias is None else linear.bias.detach().numpy() * scale


def unit(rows: Floats) -> Floats:
    """Give rows of length 1."""
    scaled: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled


Scorer = Callable[[Seen], Floats]


def vim(known: Seen) -> Scorer:
    """Residual outside of the principal space, as a further logit."""
    origin = -np.linalg.pinv(known.weight) @ known.bias
    centred = known.features - origin
    _, vectors = np.linalg.eigh(centred.T @ centred)
    rest = vectors[:, : centred.shape[1] // 2]
    alpha = known.logits.max(1).mean() / np.linalg.norm(centred @ rest, axis=1).mean()

    def score(seen: Seen) -> Floats:
        residual = alpha * np.linalg.norm((seen.features - origin) @ rest, axis=1)
        found: Floats = residual - logsumexp(seen.logits, axis=1)
        return found

    return score


def relative_mahalanobis(known: Seen, labels: npt.NDArray[np.int64]) -> Scorer:
    """Least distance to a class's mean, less the distance to the whole's."""

    def distances(rows: Floats, mean: Floats, precision: Floats) -> Floats:
        away = rows - mean
        found: Floats = np.einsum("nd,de,ne->n", away, precision, away)
        return found

    width = known.features.shape[1]
    means = np.stack([known.features[labels == one].mean(0) for one in np.unique(labels)])
    within = known.features - means[np.searchsorted(np.unique(labels), labels)]
    own = np.linalg.pinv(np.cov(within.T) + 1e-6 * np.eye(width))
    middle = known.features.mean(0)
    whole = np.linalg.pinv(np.cov(known.features.T) + 1e-6 * np.eye(width))

    def score(seen: Seen) -> Floats:
        nearest = np.min([distances(seen.features, mean, own) for mean in means], axis=0)
        found: Floats = nearest - distances(seen.features, middle, whole)
        return found

    return score


def react(known: Seen) -> Scorer:
    """Energy of features that are cut off where few known ones reach."""
    limit = np.quantile(known.features, _CLIPPED)

    def score(seen: Seen) -> Floats:
        logits = np.minimum(seen.features, limit) @ known.weight.T + known.bias
        return energies(logits.astype(np.float32))

    return score


def ash(known: Seen) -> Scorer:
    """Energy of the largest features alone, scaled up by what was cut."""

    def score(seen: Seen) -> Floats:
        rows = seen.features
        least = np.quantile(rows, 1 - _KEPT, axis=1, keepdims=True)
        kept = np.where(rows >= least, rows, 0)
        ratio = np.abs(rows).sum(1) / np.maximum(np.abs(kept).sum(1), 1e-9)
        shaped = kept * np.exp(np.minimum(ratio, 10))[:, None]
        return energies((shaped @ known.weight.T + known.bias).astype(np.float32))

    return score


def gen(seen: Seen) -> Floats:
    """Generalized entropy of the probabilities (gamma 0.1)."""
    shares = np.exp(seen.logits - logsumexp(seen.logits, axis=1, keepdims=True))
    found: Floats = (shares**0.1 * (1 - shares) ** 0.1).sum(1)
    return found


def neighbours(reference: Floats) -> Callable[[Floats], Floats]:
    """Distance to the fifth nearest, by rows of length 1."""
    known = unit(reference)

    def distance(rows: Floats) -> Floats:
        alike = np.sort(unit(rows) @ known.T, axis=1)[:, -5]
        found: Floats = np.sqrt(np.maximum(2 - 2 * alike, 0))
        return found

    return distance


def standardised(parts: list[tuple[Callable[[Seen], Floats], Floats]]) -> Scorer:
    """Sum scores, each in units of held-out images' spread from the median to 95%."""
    scales = []
    for _, of_held_out in parts:
        middle, high = np.quantile(of_held_out, (0.5, 0.95))
        scales.append((middle, max(high - middle, 1e-9)))

    def score(seen: Seen) -> Floats:
        total: Floats = sum(
            ((part(seen) - middle) / scale)
            for (part, _), (middle, scale) in zip(parts, scales, strict=True)
        )
        return total

    return score


def scores_of(reference: Seen, labels: npt.NDArray[np.int64], held_out: Seen) -> dict[str, Scorer]:
    """Give the scores by name; scales come from images that training did not see."""
    ours = UnlikeScore.fit(reference.features, held_out.features, held_out.logits)
    nearest = neighbours(reference.features)
    found: dict[str, Scorer] = {
        "maximum probability": lambda seen: (
            -np.exp(seen.logits.max(1) - logsumexp(seen.logits, axis=1))
        ),
        "energy": lambda seen: energies(seen.logits),
        "GEN": gen,
        "ReAct": react(reference),
        "ASH-S": ash(reference),
        "ViM": vim(reference),
        "relative Mahalanobis": relative_mahalanobis(reference, labels),
        "fifth nearest": lambda seen: nearest(seen.features),
        "energy + fifth nearest (tenfold's)": lambda seen: ours.score(seen.features, seen.logits),
    }
    by_layer: list[tuple[Scorer, Floats]] = []
    for place, rows in enumerate(reference.layers):
        of_layer = neighbours(rows - reference.layers[place].mean(0))

        def score(
            seen: Seen, place: int = place, of_layer: Callable[[Floats], Floats] = of_layer
        ) -> Floats:
            return of_layer(seen.layers[place] - reference.layers[place].mean(0))

        found[f"fifth nearest, map {place + 1}"] = score
        by_layer.append((score, score(held_out)))
    if by_layer:
        base = [(found[name], found[name](held_out)) for name in ("energy", "fifth nearest")]
        found["fifth nearest of all maps"] = standardised(by_layer)
        found["energy + fifth nearest + last two maps"] = standardised(base + by_layer[-2:])
        found["energy + fifth nearest + all maps"] = standardised(base + by_layer)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("folders", nargs="*", metavar="NAME=FOLDER")
    parser.add_argument("--images", type=int, default=500)
    asked = parser.parse_args()
    model = tenfold.load(asked.run, device="cpu")
    shape, count = model.image_shape_, asked.images
    train = read_split(asked.run / "acquire", "train")
    test = read_split(asked.run / "acquire", "test")
    generator = np.random.default_rng(0)
    chosen = np.sort(generator.permutation(len(train))[:_REFERENCE])
    order = generator.permutation(len(test))[: min(_KNOWN, len(test))]
    half = len(order) // 2
    reference = Seen(model, train.images[chosen])
    # Scales from one half of the test images, the AUROC against the other.
    held_out, known = (Seen(model, test.images[np.sort(p)]) for p in (order[:half], order[half:]))
    foreign = {kind: drawn(shape, count, kind) for kind in ("noise", "plain", "textures")}
    foreign["digits"] = digits(shape, count)
    for text in asked.folders:
        name, _, folder = text.partition("=")
        foreign[name] = from_folder(folder, model, count)
    seen = {name: Seen(model, images) for name, images in foreign.items()}
    print(f"| score | mean | lowest | {' | '.join(seen)} |")
    print("|---" * (3 + len(seen)) + "|")
    for name, score in scores_of(reference, train.labels[chosen], held_out).items():
        of_known = score(known)
        values = []
        for one in seen.values():
            of_foreign = score(one)
            is_foreign = np.repeat([0, 1], [len(of_known), len(of_foreign)])
            values.append(100 * roc_auc_score(is_foreign, np.append(of_known, of_foreign)))
        cells = " | ".join(f"{value:.1f}" for value in values)
        print(f"| {name} | {np.mean(values):.1f} | {min(values):.1f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
