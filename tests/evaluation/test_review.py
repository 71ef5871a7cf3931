from __future__ import annotations

import pytest

from tenfold.evaluation.intervals import wilson_interval
from tenfold.evaluation.review import BLOCK, review_agreement, review_yield


def test_wrong_labels_by_rank() -> None:
    verdicts = ["relabel"] * 30 + ["drop"] * 5 + ["unsure"] * 5 + ["keep"] * 10
    verdicts += [*["keep"] * 20, *[None] * 30, "keep"]
    found = review_yield(verdicts)
    assert (found.seen, found.wrong, found.unsure) == (71, 35, 5)
    assert [(one.first, one.last, one.seen, one.wrong) for one in found.blocks] == [
        (1, 50, 50, 35),
        (51, 100, 20, 0),
        (101, 101, 1, 0),
    ]
    assert found.blocks[0].interval == wilson_interval(35, 50)
    assert found.last is not None
    assert (found.last.first, found.last.last, found.last.seen, found.last.wrong) == (
        22,
        101,
        50,
        14,
    )


def test_nothing_is_said_of_the_last_fifty_before_there_are_fifty() -> None:
    assert review_yield(["keep"] * (BLOCK - 1)).last is None
    last = review_yield(["keep"] * BLOCK).last
    assert last is not None
    assert last.wrong == 0
    assert last.interval is not None
    assert last.interval.high == pytest.approx(0.071, abs=0.001)
    assert review_yield([None] * 4).blocks == ()


def test_agreement_beyond_chance() -> None:
    # Cohen's table of two judges in two categories: 20, 5, 10, 15.
    pairs = [("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15
    found = review_agreement("ann", "ben", pairs)
    assert found.share == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)
    assert review_agreement("ann", "ben", [("a", "a")] * 3).kappa is None
    assert review_agreement("ann", "ben", []).share is None
