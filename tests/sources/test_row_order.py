from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tenfold.data.sources.folder import reorder_rows


@given(order=st.integers(0, 12).flatmap(lambda count: st.permutations(range(count))))
def test_rows_move_as_indexing_would(order: list[int]) -> None:
    rows = np.arange(len(order) * 4, dtype=np.uint8).reshape(len(order), 2, 2)
    expected = rows[order] if order else rows.copy()
    reorder_rows(rows, np.array(order, dtype=np.intp))
    assert np.array_equal(rows, expected)
