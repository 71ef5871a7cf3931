"""The facts about the test scores name the right classes and pairs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tenfold.report.findings.evaluation import (
    against_guessing,
    confused_pairs,
    guessing_accuracy,
    leaning,
    weakest_classes,
    weakest_first,
)

CLASSES = ("airplane", "bird", "cat", "dog", "ship")

CONFUSION = np.array(
    [
        [90, 5, 2, 1, 2],
        [4, 80, 10, 4, 2],
        [0, 8, 50, 40, 2],
        [1, 4, 25, 70, 0],
        [5, 1, 0, 0, 94],
    ]
)


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        ([[90, 10], [10, 90]], "better"),
        ([[50, 50], [50, 50]], "unclear"),
        ([[10, 90], [90, 10]], "worse"),
    ],
)
def test_accuracy_is_compared_with_guessing(
    builder: SimpleNamespace, confusion: Any, expected: str
) -> None:
    record = builder.evaluate_record(np.array(confusion), ("cat", "dog"))
    assert guessing_accuracy(record.scores) == 0.5
    assert against_guessing(record) == expected


def test_leaning_needs_more_than_chance(builder: SimpleNamespace) -> None:
    few = builder.scores_of(np.array([[2, 2], [0, 4]]), ("cat", "dog"))
    assert leaning(few) == (None, None)
    many = builder.scores_of(np.array([[200, 200], [0, 400]]), ("cat", "dog"))
    over, under = leaning(many)
    assert (over, under) == (many.classes[1], many.classes[0])


def test_most_confused_pairs_come_first(builder: SimpleNamespace) -> None:
    pairs = confused_pairs(builder.scores_of(CONFUSION, CLASSES), 2)
    assert [(p.true_name, p.predicted_name, p.images) for p in pairs] == [
        ("cat", "dog", 40),
        ("dog", "cat", 25),
    ]
    assert pairs[0].share == pytest.approx(0.4)


def test_weakest_classes_and_what_they_are_confused_with(builder: SimpleNamespace) -> None:
    cat, dog = weakest_classes(builder.evaluate_record(CONFUSION, CLASSES))
    assert (cat.scores.name, dog.scores.name) == ("cat", "dog")
    assert (cat.missed, cat.wrongly_named) == (50, 37)
    assert cat.taken_for == (("dog", 40), ("bird", 8), ("ship", 2))
    assert cat.mistaken == (("dog", 25), ("bird", 10), ("airplane", 2))


def test_two_classes_have_one_weakest(builder: SimpleNamespace) -> None:
    (dog,) = weakest_classes(builder.evaluate_record(np.array([[9, 1], [3, 7]]), ("cat", "dog")))
    assert dog.scores.name == "dog"
    assert (dog.taken_for, dog.mistaken) == ((("cat", 3),), (("cat", 1),))


def test_no_errors_no_weakest_class(builder: SimpleNamespace) -> None:
    record = builder.evaluate_record(np.eye(3, dtype=np.int64) * 5, ("a", "b", "c"))
    assert weakest_classes(record) == []
    assert confused_pairs(record.scores) == []


def test_a_class_never_predicted_and_a_class_without_cases(builder: SimpleNamespace) -> None:
    confusion = np.array([[10, 0, 0], [10, 0, 0], [0, 0, 0]])
    record = builder.evaluate_record(confusion, ("cat", "dog", "ape"))
    assert [scores.name for scores in weakest_first(record)] == ["dog", "cat"]
    assert weakest_classes(record)[0].wrongly_named == 0
