"""Scores that rest on few images, or on images that training has the like of: the page says so."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tenfold.core.records.data import GroupingRecord
from tenfold.core.records.evaluation import PartScores, SeriesScores
from tenfold.evaluation.intervals import wilson_interval
from tenfold.report.findings.evaluation import honest_part
from tenfold.report.formats import cases, few_images, on_few
from tenfold.report.records import StudyRecords


def _part(right: int, images: int) -> PartScores:
    share = right / images
    return PartScores(
        images=images,
        accuracy=share,
        interval=wilson_interval(right, images),
        balanced_accuracy=share,
        macro_f1=share,
    )


def _with_series(
    study: StudyRecords, held_out: PartScores | None, p_value: float | None = 0.002
) -> StudyRecords:
    assert study.evaluate is not None
    grouping = GroupingRecord(by="names", is_found=True, groups=50, images=200, largest=4)
    return dataclasses.replace(
        study,
        acquire=study.acquire.model_copy(update={"grouping": grouping}),
        evaluate=study.evaluate.model_copy(
            update={
                "series": SeriesScores(held_out=held_out, shared=_part(99, 100), p_value=p_value)
            }
        ),
    )


def test_the_page_leads_with_whole_series_held_out(real_study: StudyRecords, section: Any) -> None:
    study = _with_series(real_study, _part(71, 100))
    header = section("header", study)
    assert "whole series held out 71.0%" in header
    assert header.index("71.0%") < header.index("99.0%")
    assert "flatters" in header
    assert "Macro F1, held out likewise 0.710" in header
    evaluation = section("evaluation", study)
    assert "Whole series held out of the training 100 0.710" in evaluation
    assert "Training has images of the same series 100 0.990" in evaluation
    assert "(71.0% on 100 test images" in section("conclusions", study)


@pytest.mark.parametrize(
    ("p_value", "said"),
    [
        (0.0005, "the second flatters (p < 0.001, permutation test over whole series)"),
        (0.049, "the second flatters (p = 0.049"),
        (0.05, "not clearly apart (p = 0.050"),
        (None, "was not tested"),
    ],
)
def test_what_flatters_is_tested(
    real_study: StudyRecords, section: Any, p_value: float | None, said: str
) -> None:
    study = _with_series(real_study, _part(71, 100), p_value)
    assert said in " ".join(section("header", study).split())


@pytest.mark.parametrize("held_out", [None, _part(20, 29)])
def test_too_few_held_out_images_do_not_lead(
    real_study: StudyRecords, section: Any, held_out: PartScores | None
) -> None:
    study = _with_series(real_study, held_out)
    assert study.evaluate is not None
    assert honest_part(study.evaluate) is None
    header = section("header", study)
    assert "whole series held out" not in header
    assert "may flatter" in header
    assert ("29 (few)" in section("evaluation", study)) == (held_out is not None)


@pytest.mark.parametrize(
    ("count", "shown", "warning"),
    [
        (0, "0", ""),
        (1, "1 (few)", "only 1 image"),
        (29, "29 (few)", "only 29 images"),
        (30, "30", ""),
        (1234, "1,234", ""),
    ],
)
def test_few_images_say_so(count: int, shown: str, warning: str) -> None:
    assert (cases(count), few_images(count)) == (shown, warning)
    assert on_few("0.917", count) == ("0.917 (few)" if warning else "0.917")


def test_every_number_of_few_images_says_so(real_study: StudyRecords, section: Any) -> None:
    """The real study has classes of ten test images; here its whole test is as small."""
    assert real_study.evaluate is not None
    scores = real_study.evaluate.scores.model_copy(update={"count": 20})
    robustness = real_study.evaluate.robustness
    assert robustness is not None
    few = real_study.evaluate.model_copy(
        update={"scores": scores, "robustness": robustness.model_copy(update={"count": 20})}
    )
    study = dataclasses.replace(real_study, evaluate=few)
    header = section("header", study)
    assert "The test rests on only 20 images" in header
    assert header.count("only 20 images") == 3
    text = section("evaluation", study)
    assert "Every score of this section rests on only 20 images" in text
    assert "Every accuracy of this table rests on only 20 images" in text
    assert "Validation rests on only 13 images" in section("training", study)
    assert "The test rests" not in section("header", real_study)


def test_trials_folds_and_runs_of_few_images_say_so(real_study: StudyRecords, section: Any) -> None:
    """The real study chose by 13 validation images; its runs were tested on 44."""
    tune, repeats = real_study.tune, real_study.repeats
    assert tune is not None
    assert repeats is not None
    text = section("modeling", real_study)
    assert f"{tune.best_value:.4f} (few)" in text
    assert "rests on fewer than 30 validation images" in text
    many = dataclasses.replace(real_study, tune=tune.model_copy(update={"validation_count": 30}))
    assert "few" not in section("modeling", many).partition("The trials and their")[2]
    marked = f"{repeats.runs[0].accuracy:.4f} (few)"
    assert marked not in section("evaluation", real_study)
    few = dataclasses.replace(real_study, repeats=repeats.model_copy(update={"test_count": 29}))
    assert marked in section("evaluation", few)
