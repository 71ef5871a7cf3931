"""The sentences about a head that was fitted to features."""

from __future__ import annotations

from types import SimpleNamespace

from tenfold.core.records.train import ProbeRecord
from tenfold.reporting.interpretation_probe import probe_sentences
from tenfold.reporting.interpretation_training import convergence_sentences, validation_sentences


def test_a_trained_network_has_no_such_sentences(builder: SimpleNamespace) -> None:
    assert probe_sentences(builder.train_record((0.6,), (0.5,))) == []


def test_a_probe_says_what_was_fitted_to_what(builder: SimpleNamespace, probe: ProbeRecord) -> None:
    record = builder.train_record((0.9,), (0.88,)).model_copy(update={"probe": probe})
    text = " ".join(probe_sentences(record))
    assert "2,024 features" in text
    assert "and of their mirror images" in text
    assert "Of 3 penalties on its weights 0.3 had the lowest log loss" in text
    assert "on the 5,000 validation images: 0.510, against 0.620 with 1." in text
    assert "own weights stayed as they were" in text
    words = " ".join((*convergence_sentences(record), *validation_sentences(record)))
    assert "found, not approached epoch by epoch" in words
    assert "The validation accuracy of that layer was 0.880." in words


def test_fine_tuning_is_told(builder: SimpleNamespace, probe: ProbeRecord) -> None:
    tuned = probe.model_copy(update={"fine_tune_epochs": 2, "tried": (), "is_mirrored": False})
    record = builder.train_record((0.9, 0.92, 0.95), (0.88, 0.9, 0.91))
    text = " ".join(probe_sentences(record.model_copy(update={"probe": tuned})))
    assert "all weights were trained for 2 epochs" in text
    assert "mirror" not in text
    assert "penalties" not in text
