"""How far the scores can be relied on, as facts and in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tenfold.core.records.evaluation import CrossValidateRecord, EvaluateRecord
from tenfold.report.findings.reliability import (
    accuracy_margin,
    agreement,
    honest_protocol,
    leading_score,
    leaky_protocol,
    repeats_text,
)
from tenfold.report.wording import words


def _evaluate(builder: SimpleNamespace, right: int) -> EvaluateRecord:
    wrong = 500 - right
    record: EvaluateRecord = builder.evaluate_record(
        np.array([[right, wrong], [wrong, right]]), ("cat", "dog")
    )
    return record


def test_the_margin_by_hand(builder: SimpleNamespace) -> None:
    protocol = builder.protocol_record("fresh", (0.66, 0.67, 0.65))
    margin = accuracy_margin(protocol, _evaluate(builder, 330))
    assert margin == pytest.approx(2 * (0.01**2 + 0.66 * 0.34 / 1000) ** 0.5)


@pytest.mark.parametrize(
    ("right", "accuracies", "epochs", "expected"),
    [
        (330, (0.66, 0.67, 0.65), 20, "agrees"),
        (450, (0.66, 0.67, 0.65), 20, "differs"),
        (330, (0.2, 0.95), 20, "agrees"),
        (450, (0.2, 0.95), 20, "few images"),
        (330, (0.66, 0.67, 0.65), 31, "other length"),
        (330, (0.66, 0.67, 0.65), 13, "other length"),
    ],
)
def test_agreement_with_the_test_split(
    builder: SimpleNamespace, right: int, accuracies: Any, epochs: int, expected: str
) -> None:
    protocol = builder.protocol_record("fresh", accuracies)  # of 20 epochs
    train = builder.train_record((0.7,) * epochs, None)
    assert agreement(protocol, _evaluate(builder, right), train) == expected


def test_the_leak_is_told_apart(builder: SimpleNamespace) -> None:
    fresh = builder.protocol_record("fresh", (0.66, 0.67))
    warm = builder.protocol_record("warm-start", (0.72, 0.73))
    both = CrossValidateRecord(folds=2, protocols=(warm, fresh))
    assert (honest_protocol(both), leaky_protocol(both)) == (fresh, warm)
    alone = CrossValidateRecord(folds=2, protocols=(fresh,))
    assert leaky_protocol(alone) is None


def test_terminal_has_a_row_a_run_and_the_meaning(builder: SimpleNamespace) -> None:
    lines = repeats_text(builder.repeats_record(0.90, 0.92, 0.94)).splitlines()
    assert [line.split()[0] for line in lines[2:7]] == ["1", "2", "3", "mean", "±"]
    assert lines[5].split()[1:] == ["0.9200"] * 3
    assert "92.00% ± 2.00" in lines[8]
    assert "more than 12.17 percentage points" in lines[11]  # 4.303 · √2 · 2


def test_equal_runs_claim_nothing_about_a_spread(builder: SimpleNamespace) -> None:
    text = repeats_text(builder.repeats_record(1.0, 1.0))
    assert "too few runs" in text
    assert "Student" not in text
    assert "percentage points" not in text


def test_runs_against_the_clock_differ_in_more_than_their_seed(builder: SimpleNamespace) -> None:
    record = builder.repeats_record(0.90, 0.92)
    timed = record.model_copy(update={"has_time_budget": True})
    said = [words("repeats", "what_varies", one) for one in (record, timed)]
    assert ["the machine's load" in text for text in said] == [False, True]


def test_of_an_imbalanced_set_balanced_accuracy_is_told(builder: SimpleNamespace) -> None:
    record = builder.repeats_record(0.90, 0.92)
    assert leading_score(record) == "accuracy"
    uneven = record.model_copy(update={"is_imbalanced": True})
    assert leading_score(uneven) == "balanced_accuracy"
    assert "Over 2 runs the balanced accuracy" in repeats_text(uneven)
