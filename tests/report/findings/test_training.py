"""The facts about a training follow its history, and the page says them."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from tenfold.core.records.training import BudgetRecord, ProbeRecord, TrainRecord
from tenfold.report.findings.training import course_of
from tenfold.report.page import render_page
from tenfold.report.wording import words

RISING = tuple(0.3 + 0.03 * epoch for epoch in range(10))


def test_the_original(builder: SimpleNamespace) -> None:
    course = course_of(builder.train_record((0.6,) * 20, builder.ORIGINAL_VALIDATION_ACCURACY))
    assert course.best == ((15, 0.6916), (14, 0.6836))
    assert course.last_validation_accuracy == 0.668
    assert course.largest_fall == pytest.approx(0.163, abs=0.001)
    assert course.fall_epoch == 19
    assert course.fluctuates


def test_small_falls_on_few_images_are_chance(builder: SimpleNamespace) -> None:
    record = builder.train_record((0.6, 0.6, 0.6), (0.6, 0.55, 0.6), validation_count=100)
    course = course_of(record)
    assert course.largest_fall == pytest.approx(0.05)
    assert not course.fluctuates


def test_overfitting_and_its_loss(builder: SimpleNamespace) -> None:
    course = course_of(
        builder.train_record(
            (0.6, 0.8, 0.95, 0.99, 0.99),
            (0.55, 0.6, 0.6, 0.6, 0.6),
            validation_losses=(1.3, 1.0, 1.2, 1.5, 2.0),
        )
    )
    assert course.fit == "over"
    assert course.gap == pytest.approx(0.39)
    assert course.loss_growth == pytest.approx(1)


@pytest.mark.parametrize(
    ("train", "validation", "fit"),
    [(0.6, 0.62, "under"), (0.65, 0.62, "a little over"), (0.97, 0.965, "well")],
)
def test_other_fits(builder: SimpleNamespace, train: float, validation: float, fit: str) -> None:
    assert course_of(builder.train_record((0.5, train), (0.5, validation))).fit == fit


def test_still_improving(builder: SimpleNamespace) -> None:
    assert course_of(builder.train_record(RISING, RISING)).is_still_improving
    assert not course_of(builder.train_record(RISING, (0.6,) * 10)).is_still_improving


@pytest.mark.parametrize(
    ("accuracies", "end", "rises"),
    [
        ((0.3, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6), "level", 2),
        (RISING, "falling", 9),
        ((0.1, 0.1, 0.1), "nothing learned", 0),
        ((0.1, 0.2), "too short", 1),
    ],
)
def test_convergence(
    builder: SimpleNamespace, accuracies: tuple[float, ...], end: str, rises: int
) -> None:
    course = course_of(builder.train_record(accuracies, None))
    assert (course.end, course.rises) == (end, rises)


def test_one_epoch_without_validation(builder: SimpleNamespace) -> None:
    record = builder.train_record((0.6,), None)
    course = course_of(record)
    assert (course.best, course.fit, course.largest_fall) == ((), None, None)
    assert "no course to judge" in words("training", "convergence", record, course)
    assert "No images were held out" in words("training", "validation", record, course)


def _page(builder: SimpleNamespace, train: TrainRecord, **changes: object) -> str:
    """Give the page of a study with this training, each run of white space as one space."""
    records = dataclasses.replace(builder.two_class_study(), train=train.model_copy(update=changes))
    return " ".join(render_page(records).split())


def test_a_time_budget_is_told_and_a_part_of_an_epoch_counts_as_one(
    builder: SimpleNamespace,
) -> None:
    whole = builder.train_record((0.5, 0.6), None)
    assert course_of(whole).length == 2
    last = whole.history[1].model_copy(update={"share": 0.4})
    budget = BudgetRecord(
        seconds=90,
        size="M",
        model_settings={},
        training_settings={},
        expected_epochs=1.5,
        sentence="Size M should serve best.",
    )
    page = _page(builder, whole, history=(whole.history[0], last), budget=budget)
    assert "trained for 1.4 epochs" in page
    assert "a time budget of 1 min 30 s" in page
    assert "Size M should serve best." in page


def test_averaged_weights_and_an_early_end_are_told(builder: SimpleNamespace) -> None:
    record = builder.train_record((0.5, 0.6, 0.7, 0.7), (0.5, 0.6, 0.4, 0.4))
    page = _page(builder, record, averaging="swa", stopped_early=True)
    assert "along the training" not in page
    assert "(SWA), not the newest weights" in page
    assert "had not improved for 2 epochs" in page


def test_a_probe_says_what_was_fitted_to_what(builder: SimpleNamespace, probe: ProbeRecord) -> None:
    page = _page(builder, builder.train_record((0.9,), (0.88,)), probe=probe)
    assert "2,024 features" in page
    assert "and of their mirror images" in page
    assert "Of 3 penalties on its weights 0.3" in page
    assert "on the 5,000 validation images: 0.510, against 0.620 with 1." in page
    assert "own weights stayed as they were" in page
    assert "found, not approached epoch by epoch" in page
    assert "The validation accuracy of that layer was 0.880." in page


def test_fine_tuning_is_told(builder: SimpleNamespace, probe: ProbeRecord) -> None:
    tuned = probe.model_copy(update={"fine_tune_epochs": 2, "tried": (), "is_mirrored": False})
    page = _page(builder, builder.train_record((0.9, 0.92), (0.88, 0.9)), probe=tuned)
    assert "all weights were trained for 2 epochs" in page
    assert "of their mirror images" not in page
    assert "penalties" not in page
