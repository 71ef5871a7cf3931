"""The sentences about the folds, and the leak by its name."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from tenfold.core.records.cross_validate import CrossValidateRecord
from tenfold.reporting.interpretation_cross_validation import (
    comparison_sentences,
    protocol_sentences,
)


def _evaluate(builder: SimpleNamespace, right: int) -> object:
    wrong = 500 - right
    return builder.evaluate_record(np.array([[right, wrong], [wrong, right]]), ("cat", "dog"))


def test_agreement_with_the_test_split(builder: SimpleNamespace) -> None:
    protocol = builder.protocol_record("fresh", (0.66, 0.67, 0.65))
    near = " ".join(protocol_sentences(protocol, _evaluate(builder, 330)))
    assert "0.660 ± 0.010, from 0.650 to 0.670" in near
    assert "does not hang on one lucky split" in near
    far = " ".join(protocol_sentences(protocol, _evaluate(builder, 450)))
    assert "0.900 (+0.240), above what the spread" in far


def test_a_leaky_protocol_confirms_nothing(builder: SimpleNamespace) -> None:
    protocol = builder.protocol_record("warm-start", (0.66, 0.67, 0.65))
    text = " ".join(protocol_sentences(protocol, _evaluate(builder, 330)))
    assert "cannot confirm that the model is stable" in text


def test_both_protocols_are_compared(builder: SimpleNamespace) -> None:
    fresh = builder.protocol_record("fresh", (0.66, 0.67))
    warm = builder.protocol_record("warm-start", (0.72, 0.73))
    text = " ".join(comparison_sentences(CrossValidateRecord(folds=2, protocols=(fresh, warm))))
    assert "gives 0.725, the fresh protocol 0.665 (+0.060)" in text
    assert "part of that difference is the leak" in text
    assert comparison_sentences(CrossValidateRecord(folds=2, protocols=(fresh,))) == []
