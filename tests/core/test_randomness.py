"""Random numbers by place: uniform, independent, and the same however they are asked for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tenfold.core.randomness import derive_seed, sample_uniforms

EVERYONE = np.arange(50_000)


def test_numbers_stay_the_same_across_releases() -> None:
    # A change here changes every published result: it needs an entry in the changelog.
    assert derive_seed(0) == 7520536977032167579
    assert derive_seed(7, "fold", 3) == 2808327670026679550
    np.testing.assert_array_equal(
        sample_uniforms(1, 2, np.array([3, 49_999]), 2),
        [[0.9817589387084349, 0.24086484808319975], [0.46374908805486925, 0.2769320648646214]],
    )


def test_shape_type_and_range() -> None:
    uniforms = sample_uniforms(0, 0, EVERYONE, 8)
    assert uniforms.shape == (50_000, 8)
    assert uniforms.dtype == np.float64
    assert uniforms.min() >= 0
    assert uniforms.max() < 1
    assert sample_uniforms(0, 0, EVERYONE[:0], 3).shape == (0, 3)
    assert sample_uniforms(0, 0, EVERYONE[:3], 0).shape == (3, 0)


@given(
    order=st.permutations(range(12)),
    cut=st.integers(0, 12),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 10_000),
)
def test_numbers_do_not_depend_on_order_or_batches(
    order: list[int], cut: int, seed: int, epoch: int
) -> None:
    whole = sample_uniforms(seed, epoch, np.arange(12), 3)
    indices = np.array(order)
    batches = [sample_uniforms(seed, epoch, part, 3) for part in np.split(indices, [cut])]
    np.testing.assert_array_equal(np.concatenate(batches), whole[indices])


def test_asking_for_more_numbers_keeps_the_first_ones() -> None:
    few, many = (sample_uniforms(5, 1, EVERYONE[:20], count) for count in (2, 7))
    np.testing.assert_array_equal(few, many[:, :2])


def test_indices_are_not_changed() -> None:
    indices = np.array([4, 2, 9])
    sample_uniforms(0, 0, indices, 2)
    assert indices.tolist() == [4, 2, 9]


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
@pytest.mark.parametrize("epoch", [0, 1, 100])
def test_every_draw_is_uniform(seed: int, epoch: int) -> None:
    uniforms = sample_uniforms(seed, epoch, EVERYONE, 4)
    for column in uniforms.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
        counts, _ = np.histogram(column, bins=256, range=(0, 1))
        assert stats.chisquare(counts).pvalue > 1e-4


def test_one_sample_is_uniform_over_its_epochs() -> None:
    over_epochs = np.concatenate(
        [sample_uniforms(3, epoch, np.array([17]), 1)[0] for epoch in range(5_000)]
    )
    assert stats.kstest(over_epochs, "uniform").pvalue > 1e-4


def test_pairs_of_draws_fill_the_square_evenly() -> None:
    uniforms = sample_uniforms(11, 4, EVERYONE, 4)
    for first, second in itertools.combinations(uniforms.T, 2):
        counts, _, _ = np.histogram2d(first, second, bins=16, range=((0, 1), (0, 1)))
        assert stats.chisquare(counts.ravel()).pvalue > 1e-4


def test_neighbours_are_not_correlated() -> None:
    uniforms = sample_uniforms(0, 0, EVERYONE, 4)
    pairs = {
        "indices": (uniforms[:-1, 0], uniforms[1:, 0]),
        "every other index": (uniforms[:-2, 0], uniforms[2:, 0]),
        "draws": (uniforms[:, 0], uniforms[:, 1]),
        "next index and next draw": (uniforms[:-1, 1], uniforms[1:, 0]),
        "epochs": (uniforms[:, 0], sample_uniforms(0, 1, EVERYONE, 1)[:, 0]),
        "seeds": (uniforms[:, 0], sample_uniforms(1, 0, EVERYONE, 1)[:, 0]),
        "streams": (uniforms[:, 0], sample_uniforms(0, 0, EVERYONE, 1, stream="other")[:, 0]),
    }
    for what, (one, other) in pairs.items():
        # Five standard errors of a correlation of 50,000 independent pairs.
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(50_000), what


def test_no_number_comes_twice() -> None:
    uniforms = sample_uniforms(0, 0, EVERYONE, 8)
    assert len(np.unique(uniforms)) == uniforms.size


@given(st.integers(), st.lists(st.one_of(st.integers(), st.text()), max_size=4))
def test_a_derived_seed_fits_63_bits_and_is_stable(seed: int, path: list[str | int]) -> None:
    child = derive_seed(seed, *path)
    assert 0 <= child < 2**63
    assert derive_seed(seed, *path) == child


def test_derived_seeds_of_different_paths_differ() -> None:
    paths: list[tuple[str | int, ...]] = [
        (),
        (0,),
        ("0",),
        (0, 0),
        ("0,0",),
        ("fold", 1),
        ("fold1",),
        ("fold", "1"),
        (1, "fold"),
        ("a", "b"),
        ("ab",),
    ]
    children = {derive_seed(seed, *path) for path in paths for seed in (0, 1)}
    assert len(children) == 2 * len(paths)


def test_a_numpy_integer_is_the_integer_it_holds() -> None:
    assert derive_seed(np.int64(3), np.int32(4)) == derive_seed(3, 4)  # type: ignore[arg-type]


def test_a_number_that_is_not_whole_is_refused() -> None:
    with pytest.raises(TypeError):
        derive_seed(0, 1.5)  # type: ignore[arg-type]
