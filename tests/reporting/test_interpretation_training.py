"""The sentences about training follow its history."""

from __future__ import annotations

from types import SimpleNamespace

from tenfold.core.records.train import BudgetRecord
from tenfold.reporting.interpretation_training import (
    budget_sentences,
    convergence_sentences,
    fit_sentences,
    fluctuation_sentences,
    length_text,
    validation_sentences,
    weights_sentences,
)
from tenfold.reporting.training_course import course_of

RISING = tuple(0.3 + 0.03 * epoch for epoch in range(10))


def test_best_epochs_of_the_original(builder: SimpleNamespace) -> None:
    record = builder.train_record((0.6,) * 20, builder.ORIGINAL_VALIDATION_ACCURACY)
    text = " ".join(validation_sentences(record))
    assert "highest after epoch 15 (0.692) and epoch 14 (0.684)" in text
    assert "After the last epoch it was 0.668, 0.024 lower." in text


def test_fluctuation_of_the_original_is_more_than_chance(builder: SimpleNamespace) -> None:
    record = builder.train_record((0.6,) * 20, builder.ORIGINAL_VALIDATION_ACCURACY)
    text = " ".join(fluctuation_sentences(record))
    assert "0.163, from epoch 18 to epoch 19" in text
    assert course_of(record).fluctuates


def test_small_falls_on_few_images_are_chance(builder: SimpleNamespace) -> None:
    record = builder.train_record((0.6, 0.6, 0.6), (0.6, 0.55, 0.6), validation_count=100)
    assert "no sign of instability" in " ".join(fluctuation_sentences(record))


def test_overfitting_and_its_loss(builder: SimpleNamespace) -> None:
    record = builder.train_record(
        (0.6, 0.8, 0.95, 0.99, 0.99),
        (0.55, 0.6, 0.6, 0.6, 0.6),
        validation_losses=(1.3, 1.0, 1.2, 1.5, 2.0),
    )
    text = " ".join(fit_sentences(record))
    assert "It over-fits." in text
    assert "100% above its lowest value" in text


def test_underfitting(builder: SimpleNamespace) -> None:
    text = " ".join(fit_sentences(builder.train_record((0.5, 0.6, 0.6), (0.6, 0.62, 0.62))))
    assert "it under-fits" in text
    assert "measured with dropout on" in text


def test_still_improving(builder: SimpleNamespace) -> None:
    record = builder.train_record(RISING, RISING)
    assert course_of(record).is_still_improving
    assert "still improving" in " ".join(validation_sentences(record))
    flat = builder.train_record(RISING, (0.6,) * 10)
    assert not course_of(flat).is_still_improving


def test_convergence(builder: SimpleNamespace) -> None:
    level = builder.train_record((0.3, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6), (0.5,) * 8)
    assert "training converged" in " ".join(convergence_sentences(level))
    falling = builder.train_record(RISING, RISING)
    assert "up in 9 of 9 steps" in " ".join(convergence_sentences(falling))
    assert "had not fully converged" in " ".join(convergence_sentences(falling))
    stuck = builder.train_record((0.1, 0.1, 0.1), (0.1, 0.1, 0.1))
    assert "did not learn" in " ".join(convergence_sentences(stuck))


def test_one_epoch_without_validation(builder: SimpleNamespace) -> None:
    record = builder.train_record((0.6,), None)
    assert "no course to judge" in " ".join(convergence_sentences(record))
    assert "No images were held out" in " ".join(validation_sentences(record))
    assert fluctuation_sentences(record) == []
    assert fit_sentences(record) == []


def test_one_epoch_with_validation(builder: SimpleNamespace) -> None:
    record = builder.train_record((0.6,), (0.5,))
    assert validation_sentences(record) == ["The validation accuracy after this epoch was 0.500."]
    assert fluctuation_sentences(record) == []


def test_a_time_budget_is_told_and_a_part_of_an_epoch_counts_as_one(
    builder: SimpleNamespace,
) -> None:
    whole = builder.train_record((0.5, 0.6), None)
    assert length_text(whole) == "2 epochs"
    assert budget_sentences(whole) == []
    last = whole.history[1].model_copy(update={"share": 0.4})
    budget = BudgetRecord(
        seconds=90,
        size="M",
        model_settings={},
        training_settings={},
        expected_epochs=1.5,
        sentence="Size M should serve best.",
    )
    timed = whole.model_copy(update={"history": (whole.history[0], last), "budget": budget})
    assert length_text(timed) == "1.4 epochs"
    assert "a time budget of 1 min 30 s" in budget_sentences(timed)[0]
    assert budget_sentences(timed)[1] == "Size M should serve best."


def test_averaged_weights_and_an_early_end_are_told(builder: SimpleNamespace) -> None:
    record = builder.train_record((0.5, 0.6, 0.7, 0.7), (0.5, 0.6, 0.4, 0.4))
    assert weights_sentences(record) == []
    averaged = record.model_copy(update={"averaging": "swa"})
    assert "the mean of the weights over the end of the training (SWA)" in " ".join(
        weights_sentences(averaged)
    )
    stopped = record.model_copy(update={"stopped_early": True})
    assert weights_sentences(stopped) == [
        "The training ended early: validation accuracy had not improved for 2 epochs."
    ]
