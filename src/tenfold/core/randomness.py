"""Random numbers that depend on what they are for, not on when they are drawn.

A generator with a state gives other numbers when batches are cut, ordered or resumed differently.
Here a number is a hash of its place (seed, stream, epoch, sample, draw), so it is the same however
one gets there.
"""

from __future__ import annotations

import hashlib
import json
import operator

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import SettingsError

# SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
# The increment is 2**64 divided by the golden ratio; the multipliers are Stafford's variant 13.
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)


def derive_seed(seed: int, *path: str | int) -> int:
    """Give a child seed: the same for the same seed and path, unrelated for any other.

    Parameters
    ----------
    seed
        The parent's seed.
    path
        What the child is for, for example ``"fold", 3``. ``3`` and ``"3"`` are not the same.

    Returns
    -------
    int
        63 bits of SHA-256, at least 0: fits every generator and a signed 64-bit integer.
    """
    place = [part if isinstance(part, str) else operator.index(part) for part in (seed, *path)]
    digest = hashlib.sha256(json.dumps(place).encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def sample_uniforms(
    seed: int,
    epoch: int,
    indices: npt.NDArray[np.int64],
    count: int,
    *,
    stream: str = "augmentation",
) -> npt.NDArray[np.float64]:
    """Give uniform random numbers for samples, each a function of its own place alone.

    Parameters
    ----------
    seed, epoch
        Of the training.
    indices
        Indices of the samples in the training split, shape (N,), in any order.
    count
        Numbers a sample.
    stream
        What the numbers are for; other streams are independent.

    Returns
    -------
    ndarray
        float64, shape (N, count), 0 included, 1 excluded, multiples of 2**-53.
    """
    key = np.uint64(derive_seed(seed, stream, epoch))
    samples = np.asarray(indices, dtype=np.int64).astype(np.uint64)
    draws = np.arange(1, count + 1, dtype=np.uint64)
    # Each sample has a SplitMix64 sequence of its own, begun at a hash of its index.
    starts = _mixed(key + (samples + np.uint64(1)) * _INCREMENT)
    bits = _mixed(starts[:, None] + draws * _INCREMENT)  # (N, count)
    # A float64 holds 53 bits: the upper ones, divided by 2**53, never round to 1.
    return (bits >> np.uint64(11)).astype(np.float64) * np.float64(2**-53)


def _mixed(states: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Apply the finaliser of SplitMix64, in place; multiplication wraps at 64 bits on purpose."""
    states ^= states >> np.uint64(30)
    states *= _MULTIPLIER_1
    states ^= states >> np.uint64(27)
    states *= _MULTIPLIER_2
    states ^= states >> np.uint64(31)
    return states


def seed_from(random_state: object) -> int:
    """Give a seed from scikit-learn's idea of a random state."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, int | np.integer) and random_state >= 0:
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    raise SettingsError(
        "random_state must be a whole number of at least 0, a numpy.random.RandomState or None; "
        f"received {random_state!r}."
    )
