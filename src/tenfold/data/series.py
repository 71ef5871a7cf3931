"""Series that nobody declared: bursts, frames of films, slices of one scan, one person's pictures.

Names that differ by a number only, and photographs that one camera took within minutes, propose:
neighbours in such an order may be of one series. But numbers are often no more than numbers, and
the frame after a cat may be a dog, so a proposed pair must look alike, and the proposed pairs of a
whole data set must look more alike than pairs of the same classes drawn at random: else there are
no series. docs/decisions/044-splits-that-cannot-flatter.md has what it was measured on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenfold.data.dataset import Grouping, Groups, Indices, Labels
from tenfold.data.descriptors import Vectors, pixel_descriptors
from tenfold.data.pixel_agreement import make_thumbnails
from tenfold.data.splits import groups_of_pairs
from tenfold.data.store import AnyImages, some_images

if TYPE_CHECKING:  # Pillow is not needed to look for series by names
    from tenfold.data.images.exif import Taken

_LAGS = (1, 2)  # One odd frame does not cut a series in two.
_LONGEST_PAUSE_SECONDS = 120
_TRIED_PAIRS = 300
"""Pairs that are looked at first: where these are no more alike than chance, the rest is spared."""
_TRIED_SPREADS = 2.5
_MOST_FALSE = 0.2
"""Of the pairs that are believed, that chance alone would have made as alike."""
_FEWEST_PAIRS = 20
"""Beyond those of chance; fewer are no pattern of a data set."""
_SPREADS = 4.0
_LEAST_LIKENESS = 0.5
_QUANTILES = np.array([0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995])
_CHANCE_PAIRS = 20_000
"""However few are proposed: the rare likeness of strangers is what is to be known well."""
_LARGEST_SHARE = 0.2
"""Of all images, that images with a common beginning of their names may be to be one series."""

_NUMBER = re.compile("[0-9]+")
_MOST_DIGITS = 18  # What fits 64 bits.


@dataclass(frozen=True)
class _Proposed:
    """Pairs of neighbours, and which images have the same name but for its last number."""

    first: Indices
    second: Indices
    prefix: Groups
    by: str


def find_series(
    images: AnyImages,
    labels: Labels,
    names: Sequence[str],
    taken: Mapping[int, Taken],
) -> Grouping | None:
    """Give the series among images; None if there are none.

    Parameters
    ----------
    images
        uint8, shape (N, H, W, C).
    labels
        int64, shape (N,).
    names
        Paths of the images below the data set.
    taken
        By which camera and when, by the images' places.
    """
    proposed = _propose(labels, names, taken)
    if len(proposed.first) < _FEWEST_PAIRS:
        return None
    rng = np.random.default_rng(0)
    if len(proposed.first) > 2 * _TRIED_PAIRS:
        drawn = np.sort(rng.choice(len(proposed.first), _TRIED_PAIRS, replace=False))
        tried = _Likeness.of(images, labels, proposed.first[drawn], proposed.second[drawn], rng)
        if not tried.may_hold_series:
            return None
    likeness = _Likeness.of(images, labels, proposed.first, proposed.second, rng)
    least = likeness.least
    if least is None:
        return None
    is_alike = likeness.proposed >= least
    first, second = proposed.first[is_alike], proposed.second[is_alike]
    whole = _whole_prefixes(proposed, is_alike)
    place = np.arange(len(labels))
    groups = groups_of_pairs(
        len(labels), np.concatenate([first, place]), np.concatenate([second, whole])
    )
    return Grouping(groups, proposed.by, is_found=True)


@dataclass(frozen=True)
class _Likeness:
    """How alike proposed pairs are, and pairs of the same classes that were drawn at random."""

    proposed: npt.NDArray[np.float32]
    chance: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls,
        images: AnyImages,
        labels: Labels,
        first: Indices,
        second: Indices,
        rng: np.random.Generator,
    ) -> _Likeness:
        rows = np.unique(np.concatenate([first, second]))
        vectors, _ = pixel_descriptors(make_thumbnails(some_images(images, rows)))
        one, other = np.searchsorted(rows, first), np.searchsorted(rows, second)
        drawn = np.resize(rng.permutation(len(one)), _CHANCE_PAIRS)
        stranger = _of_same_class(labels[rows], other[drawn], rng)
        is_apart = ~np.isin(
            _pair_numbers(one[drawn], stranger, len(rows)),
            _pair_numbers(one, other, len(rows)),
        ) & (one[drawn] != stranger)
        return cls(_cosine(vectors, one, other), _cosine(vectors, one[drawn], stranger)[is_apart])

    @property
    def may_hold_series(self) -> bool:
        """Say whether more of the proposed pairs are alike than chance makes."""
        if len(self.chance) < _FEWEST_PAIRS:
            return False
        for quantile in (0.9, 0.95, 0.99):
            expected = (1 - quantile) * len(self.proposed)
            found = int((self.proposed > np.quantile(self.chance, quantile)).sum())
            if found > expected + _TRIED_SPREADS * max(expected, 1.0) ** 0.5:
                return True
        return False

    @property
    def least(self) -> float | None:
        """Give how alike a pair must be to be believed; None if none is to be."""
        if len(self.chance) < _FEWEST_PAIRS:
            return None
        tried = np.maximum(np.quantile(self.chance, _QUANTILES), _LEAST_LIKENESS)
        for least in np.unique(tried).tolist():
            found = int((self.proposed >= least).sum())
            expected = float((self.chance >= least).mean()) * len(self.proposed)
            excess = found - expected
            if expected <= _MOST_FALSE * found and excess >= max(
                _FEWEST_PAIRS, _SPREADS * (expected + 1) ** 0.5
            ):
                return float(least)
        return None


def _pair_numbers(one: Indices, other: Indices, count: int) -> Indices:
    result: Indices = np.minimum(one, other) * count + np.maximum(one, other)
    return result


def _cosine(vectors: Vectors, one: Indices, other: Indices) -> npt.NDArray[np.float32]:
    result: npt.NDArray[np.float32] = np.einsum("pd,pd->p", vectors[one], vectors[other])
    return result


def _of_same_class(labels: Labels, places: Indices, rng: np.random.Generator) -> Indices:
    """Draw for each place another of the same label."""
    order = np.argsort(labels, kind="stable")
    numbers, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    own = np.searchsorted(numbers, labels[places])
    result: Indices = order[starts[own] + rng.integers(counts[own])]
    return result


def _propose(labels: Labels, names: Sequence[str], taken: Mapping[int, Taken]) -> _Proposed:
    """Give neighbours by name and by time."""
    by_name, prefix = _neighbours_by_name(labels, names)
    by_time = list(_neighbours_by_time(taken))
    pairs = np.array([*by_name, *by_time], np.int64).reshape(-1, 2)
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    kinds = [
        kind
        for kind, found in (
            ("names that differ by a number only", by_name),
            ("times in EXIF", by_time),
        )
        if found
    ]
    return _Proposed(pairs[:, 0], pairs[:, 1], prefix, " and ".join(kinds))


def _neighbours_by_name(
    labels: Labels, names: Sequence[str]
) -> tuple[list[tuple[int, int]], Groups]:
    """Give neighbours in the order of their numbers, and groups by what is before the last one.

    Numbers may run through all folders, through those of a class (``train/cat``, ``test/cat``), or
    begin anew in each; the first of these in which each stands once is taken.
    """
    numbered: dict[str, list[tuple[tuple[int, ...], int]]] = {}
    for place, name in enumerate(names):
        file = name.rpartition("/")[2]
        numbers = tuple(int(found[:_MOST_DIGITS]) for found in _NUMBER.findall(file))
        if numbers:
            numbered.setdefault(_NUMBER.sub("#", file).casefold(), []).append((numbers, place))
    pairs: list[tuple[int, int]] = []
    first_of: dict[object, int] = {}
    prefix = np.arange(len(names))
    for template, members in numbered.items():
        for part, run in _runs(members, labels, names):
            ordered = sorted(run)
            for numbers, place in ordered:
                if len(numbers) > 1:
                    prefix[place] = first_of.setdefault((template, part, numbers[:-1]), place)
            for lag in _LAGS:
                pairs += [
                    (one, other)
                    for (numbers, one), (later, other) in zip(ordered, ordered[lag:], strict=False)
                    if numbers[:-1] == later[:-1]
                ]
    return pairs, _by_first_place(prefix)


def _runs(
    members: list[tuple[tuple[int, ...], int]], labels: Labels, names: Sequence[str]
) -> Iterator[tuple[object, list[tuple[tuple[int, ...], int]]]]:
    """Cut images of one kind of name where their numbers begin anew."""

    def parts(key: int) -> dict[object, list[tuple[tuple[int, ...], int]]]:
        found: dict[object, list[tuple[tuple[int, ...], int]]] = {}
        for numbers, place in members:
            part = ("", int(labels[place]), names[place].rpartition("/")[0])[key]
            found.setdefault(part, []).append((numbers, place))
        return found

    for key in (0, 1, 2):
        found = parts(key)
        if key == 2 or all(
            len({numbers for numbers, _ in run}) == len(run) for run in found.values()
        ):
            yield from found.items()
            return


def _by_first_place(groups: Groups) -> Groups:
    """Number groups by the place of their first image."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    result: Groups = first[inverse].astype(np.int64)
    return result


def _neighbours_by_time(taken: Mapping[int, Taken]) -> Iterator[tuple[int, int]]:
    """Give neighbours in the order in which a camera took them, without a pause."""
    by_camera: dict[str, list[tuple[float, int]]] = {}
    for place, said in taken.items():
        try:
            moment = datetime.strptime(said.time, "%Y:%m:%d %H:%M:%S")
        except ValueError:
            continue
        seconds = (moment - datetime(1970, 1, 1)).total_seconds()
        by_camera.setdefault(said.camera, []).append((seconds, place))
    for shots in by_camera.values():
        shots.sort()
        for lag in _LAGS:
            for (begun, one), (later, other) in zip(shots, shots[lag:], strict=False):
                if later - begun <= lag * _LONGEST_PAUSE_SECONDS:
                    yield one, other


def _whole_prefixes(proposed: _Proposed, is_alike: npt.NDArray[np.bool_]) -> Groups:
    """Give the groups of ``scene12_1``, ``scene12_2``, ... of which most neighbours are alike."""
    prefix = proposed.prefix
    count = len(prefix)
    inside = prefix[proposed.first] == prefix[proposed.second]
    own = prefix[proposed.first[inside]]
    neighbours = np.bincount(own, minlength=count)
    alike = np.bincount(own, is_alike[inside], minlength=count)
    sizes = np.bincount(prefix, minlength=count)
    is_whole = (2 * alike >= neighbours) & (neighbours > 0) & (sizes <= _LARGEST_SHARE * count)
    result: Groups = np.where(is_whole[prefix], prefix, np.arange(count))
    return result
