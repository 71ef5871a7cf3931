"""What the page and the terminal say about runs with other seeds."""

from __future__ import annotations

from types import SimpleNamespace

from tenfold.report.findings.reliability import leading_score, repeats_text
from tenfold.report.wording import words


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
