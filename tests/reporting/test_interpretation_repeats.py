"""What the page and the terminal say about runs with other seeds."""

from __future__ import annotations

from types import SimpleNamespace

from tenfold.reporting.headline import tiles
from tenfold.reporting.interpretation_repeats import repeats_sentences
from tenfold.reporting.repeats_text import repeats_text


def test_says_what_the_spread_means(builder: SimpleNamespace) -> None:
    text = " ".join(repeats_sentences(builder.repeats_record(0.90, 0.92, 0.94)))
    assert "Over 3 runs the accuracy on the test split is 92.00% ± 2.00" in text
    assert "from 90.00% to 94.00%" in text
    assert "the spread is luck of the training alone" in text
    assert "by more than 12.17 percentage points" in text  # 4.303 · √2 · 2
    assert "3 runs know the standard deviation itself only roughly" in text


def test_equal_runs_claim_nothing_about_a_spread(builder: SimpleNamespace) -> None:
    text = " ".join(repeats_sentences(builder.repeats_record(1.0, 1.0)))
    assert "too few runs, or too few test images" in text
    assert "Student" not in text
    assert "0.00 percentage points" not in text


def test_runs_against_the_clock_differ_in_more_than_their_seed(builder: SimpleNamespace) -> None:
    record = builder.repeats_record(0.90, 0.92)
    assert "how far each came" not in " ".join(repeats_sentences(record))
    timed = record.model_copy(update={"has_time_budget": True})
    assert "how far each came in its time" in " ".join(repeats_sentences(timed))


def test_of_an_imbalanced_set_balanced_accuracy_is_told(builder: SimpleNamespace) -> None:
    record = builder.repeats_record(0.90, 0.92).model_copy(update={"is_imbalanced": True})
    assert "Over 2 runs the balanced accuracy" in repeats_sentences(record)[0]


def test_terminal_has_a_row_a_run(builder: SimpleNamespace) -> None:
    lines = repeats_text(builder.repeats_record(0.90, 0.92, 0.94)).splitlines()
    assert [line.split()[0] for line in lines[2:7]] == ["1", "2", "3", "mean", "±"]
    assert lines[5].split()[1:] == ["0.9200"] * 3


def test_headline_has_the_mean(builder: SimpleNamespace) -> None:
    assert "mean of 3 runs 68.17% ± 0.55" in tiles(builder.cifar_study())[1].detail
