"""The sentences about the test scores name the right classes and pairs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tenfold.reporting.interpretation_evaluation import (
    accuracy_sentences,
    confused_pairs,
    leaning_sentence,
    weakest_insights,
)
from tenfold.reporting.measures import weakest_first

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


def test_weakest_classes_and_their_numbers(builder: SimpleNamespace) -> None:
    insights = weakest_insights(builder.evaluate_record(CONFUSION, CLASSES))
    assert [insight.scores.name for insight in insights] == ["cat", "dog"]
    cat = insights[0]
    assert (cat.scores.total_cases, cat.scores.total_predictions, cat.scores.correct) == (
        100,
        87,
        50,
    )
    text = " ".join(cat.sentences)
    assert "Of 100 images of cat, 50 were missed, taken mostly for dog (40) and bird (8)." in text
    assert "Of 87 images named cat, 37 show another class, mostly dog (25) and bird (10)." in text


def test_most_confused_pairs_come_first(builder: SimpleNamespace) -> None:
    pairs = confused_pairs(builder.scores_of(CONFUSION, CLASSES), 2)
    assert [(p.true_name, p.predicted_name, p.images) for p in pairs] == [
        ("cat", "dog", 40),
        ("dog", "cat", 25),
    ]
    assert pairs[0].share == pytest.approx(0.4)


def test_two_classes_have_one_weakest(builder: SimpleNamespace) -> None:
    record = builder.evaluate_record(np.array([[9, 1], [3, 7]]), ("cat", "dog"))
    insights = weakest_insights(record)
    assert [insight.scores.name for insight in insights] == ["dog"]
    assert "Of 10 images of dog, 3 were missed, taken for cat (3)." in insights[0].sentences[0]
    assert "1 shows another class, cat (1)" in insights[0].sentences[1]


def test_no_errors_no_weakest_class(builder: SimpleNamespace) -> None:
    record = builder.evaluate_record(np.eye(3, dtype=np.int64) * 5, ("a", "b", "c"))
    assert weakest_insights(record) == []
    assert confused_pairs(record.scores) == []


def test_a_class_never_predicted_and_a_class_without_cases(builder: SimpleNamespace) -> None:
    confusion = np.array([[10, 0, 0], [10, 0, 0], [0, 0, 0]])
    record = builder.evaluate_record(confusion, ("cat", "dog", "ape"))
    assert [scores.name for scores in weakest_first(record)] == ["dog", "cat"]
    assert "The model never named dog." in weakest_insights(record)[0].sentences


def test_accuracy_is_compared_with_guessing(builder: SimpleNamespace) -> None:
    good = accuracy_sentences(builder.evaluate_record(CONFUSION, CLASSES))
    assert "always naming the largest class would give 20.0%" in good[1]
    useless = builder.evaluate_record(np.array([[50, 50], [50, 50]]), ("cat", "dog"))
    assert "not clearly better than no model" in accuracy_sentences(useless)[1]


def test_leaning_needs_more_than_chance(builder: SimpleNamespace) -> None:
    few = builder.scores_of(np.array([[2, 2], [0, 4]]), ("cat", "dog"))
    assert leaning_sentence(few) == ""
    many = builder.scores_of(np.array([[200, 200], [0, 400]]), ("cat", "dog"))
    assert leaning_sentence(many) == (
        "The model names dog too often (600 times for 400 images) and names cat too rarely "
        "(200 times for 400 images)."
    )
