from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tenfold.data.splits import stratified_split


@given(
    labels=st.lists(st.integers(0, 4), max_size=60),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
)
def test_every_image_is_in_one_split_and_every_class_in_both(
    labels: list[int], fraction: float, seed: int
) -> None:
    array = np.array(labels, dtype=np.int64)
    train, test = stratified_split(array, fraction, np.random.default_rng(seed))
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(labels)))
    for label in set(labels):
        count = labels.count(label)
        in_test = int((array[test] == label).sum())
        assert in_test <= max(count - 1, 0)
        assert (in_test >= 1) == (count >= 2)
        assert abs(in_test - count * fraction) <= 1.0 or in_test in (1, count - 1)
