"""How unlike its training images an image is, as the network sees it.

The sum of two published scores, each in units of the held-out images' own spread: the distance to
the fifth nearest of some training images, by normalised features (Sun, Ming, Zhu and Li,
"Out-of-distribution detection with deep nearest neighbors", ICML 2022, arXiv 2204.06507), and the
energy of the logits (Liu, Wang, Owens and Li, NeurIPS 2020, arXiv 2010.03759). Each alone fails
somewhere: docs/experiments.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save
from scipy.special import logsumexp

from tenfold.core.errors import ModelFolderError
from tenfold.core.records.guarantees import UnlikeOnTest, UnlikeRecord
from tenfold.evaluation.conformal import conformal_quantile, least_images
from tenfold.evaluation.intervals import wilson_interval

REFERENCE_IMAGES = 1000
"""Training images kept as features; 2,000 gave the neighbours alone 0.6 points on CIFAR-10."""
KEPT_SHARE = 0.95
"""Of the held-out images, which are not called unlike."""
MEASURED_IMAGES = 1000
"""Test images that are looked at: a share of 5% is known to 1.4 points then."""
NEIGHBOURS = 5
_QUANTILES = 101
_BLOCK = 1000

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class UnlikeScore:
    """Scores images by a network's features and logits.

    Parameters
    ----------
    reference
        float16, shape (R, features): of training images, each row of length 1.
    scaling
        float32, shape (4,): centre and scale of the distance, then of the energy.
    """

    reference: npt.NDArray[np.float16]
    scaling: Floats

    @classmethod
    def fit(cls, trained_on: Floats, features: Floats, logits: Floats) -> UnlikeScore:
        """Take features of training images, and the scales of held-out ones.

        Parameters
        ----------
        trained_on
            Shape (R, D): features of images that the network was trained on.
        features, logits
            Shapes (N, D) and (N, K): of images that it was not trained on.
        """
        reference = _unit(trained_on).astype(np.float16)
        raw = cls(reference, np.array([0, 1, 0, 1], np.float32))
        scaling: list[float] = []
        for values in (raw.distances(features), energies(logits)):
            middle, high = np.quantile(values, (0.5, KEPT_SHARE))
            scaling += [float(middle), float(max(high - middle, 1e-6))]
        return cls(reference, np.array(scaling, np.float32))

    def distances(self, features: Floats) -> Floats:
        """Give the distance to the fifth nearest training image, shape (N,), from 0 to 2."""
        reference = self.reference.astype(np.float32)
        nearest = min(NEIGHBOURS, len(reference))
        found = np.empty(len(features), np.float32)
        for start in range(0, len(features), _BLOCK):
            alike = _unit(features[start : start + _BLOCK]) @ reference.T
            of_fifth = np.partition(alike, -nearest, axis=1)[:, -nearest]
            found[start : start + _BLOCK] = np.sqrt(np.maximum(2 - 2 * of_fifth, 0))
        return found

    def score(self, features: Floats, logits: Floats) -> Floats:
        """Give how unlike each image is, float32, shape (N,): the higher, the more."""
        centre, scale, energy_centre, energy_scale = self.scaling
        distance = (self.distances(features) - centre) / scale
        scores: Floats = distance + (energies(logits) - energy_centre) / energy_scale
        return scores.astype(np.float32)

    def to_bytes(self) -> bytes:
        """Give the score as a safetensors file."""
        return save({"reference": np.ascontiguousarray(self.reference), "scaling": self.scaling})

    @classmethod
    def from_bytes(cls, content: bytes) -> UnlikeScore:
        """Read a score.

        Raises
        ------
        ModelFolderError
            If it is none.
        """
        try:
            found = cls(**load(content))
            is_sound = (
                found.reference.dtype == np.float16
                and found.reference.ndim == 2
                and len(found.reference) > 0
                and found.scaling.dtype == np.float32
                and found.scaling.shape == (4,)
                and bool(np.isfinite(found.scaling).all())
            )
            if not is_sound:
                raise ValueError("its arrays are of other shapes or types")
        except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelFolderError(
                f"The model's score of unlike images cannot be used ({error}). Make the model "
                "folder again with: tenfold model --out RUN_FOLDER"
            ) from error
        return found


def energies(logits: Floats) -> Floats:
    """Give the energy of each row of logits, shape (N,): high where no class speaks up."""
    energy: Floats = -logsumexp(logits.astype(np.float64), axis=1).astype(np.float32)
    return energy


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = (vectors / np.maximum(length, 1e-12)).astype(np.float32)
    return unit


def unlike_record(held_out: Floats, tested: Floats | None = None) -> UnlikeRecord | None:
    """Find the threshold that keeps 95% of held-out images; None where there are too few.

    Parameters
    ----------
    held_out
        Scores, shape (N,), of images of the data set that training did not see.
    tested
        Scores, shape (M,), of test images, which are counted; None where there are none.
    """
    if len(held_out) < least_images(KEPT_SHARE):
        return None
    # As float32, which an exported file computes in.
    threshold = np.float32(conformal_quantile(held_out, KEPT_SHARE))
    test = None
    if tested is not None and len(tested):
        flagged = int((tested > threshold).sum())
        interval = wilson_interval(flagged, len(tested))
        test = UnlikeOnTest(count=len(tested), flagged=flagged, interval=interval)
    return UnlikeRecord(
        kept_share=KEPT_SHARE,
        threshold=float(threshold),
        held_out_count=len(held_out),
        held_out_quantiles=_quantiles(held_out),
        test=test,
    )


def _quantiles(scores: Floats) -> tuple[float, ...]:
    """Give the quantiles at 0, 0.01, ..., 1."""
    return tuple(np.quantile(scores.astype(np.float64), np.linspace(0, 1, _QUANTILES)).tolist())
