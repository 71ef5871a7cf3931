"""Random numbers that depend on (seed, epoch, sample) alone, never on batches or processes."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

# SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195): the increment is 2**64
# divided by the golden ratio, made odd; the two multipliers are its finaliser's.
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53  # float64 has 53 bits of mantissa


def derive_seed(seed: int, *path: str | int) -> int:
    """Give a child seed for a named purpose.

    Parameters
    ----------
    seed
        The study's seed.
    path
        What it is for: ``("fold", 3)``. Other paths give unrelated seeds.

    Returns
    -------
    int
        0 to 2**63 - 1, the same on every machine: from SHA-256.
    """
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in path)])
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def sample_uniforms(
    seed: int,
    epoch: int,
    indices: npt.NDArray[np.int64],
    count: int,
    *,
    stream: str = "augmentation",
) -> npt.NDArray[np.float64]:
    """Give `count` uniform random numbers for each sample.

    A counter-based generator: the number is a hash of (seed, stream, epoch, sample, draw), so it is
    the same whatever the batch, the order or the number of processes.

    Parameters
    ----------
    seed, epoch, stream
        Key of the generator.
    indices
        Sample indices, shape (N,), each below 2**40.
    count
        Numbers a sample, below 2**24.

    Returns
    -------
    array
        float64, shape (N, count), in [0, 1).
    """
    key = np.uint64(derive_seed(seed, stream, epoch))
    draws = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is what is meant
        samples = _mix(key + indices.astype(np.uint64) * _INCREMENT)
        bits = _mix(samples[:, None] + draws[None, :] * _INCREMENT)
    uniforms: npt.NDArray[np.float64] = (bits >> np.uint64(11)).astype(np.float64) * _UNIT
    return uniforms


def _mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread every input bit over all output bits (SplitMix64's finaliser)."""
    state = (state ^ (state >> np.uint64(30))) * _MULTIPLIER_1
    state = (state ^ (state >> np.uint64(27))) * _MULTIPLIER_2
    return state ^ (state >> np.uint64(31))
