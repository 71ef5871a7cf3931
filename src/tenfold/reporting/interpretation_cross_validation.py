"""What the folds show: whether the test result agrees with them."""

from __future__ import annotations

import math

from tenfold.core.records.evaluation import CrossValidateRecord, EvaluateRecord, ProtocolRecord


def honest_protocol(record: CrossValidateRecord) -> ProtocolRecord | None:
    """Give the protocol whose folds are new to their models, if it was run."""
    return next((protocol for protocol in record.protocols if not protocol.is_leaky), None)


def leaky_protocol(record: CrossValidateRecord) -> ProtocolRecord | None:
    """Give the protocol whose models had seen their folds, if it was run."""
    return next((protocol for protocol in record.protocols if protocol.is_leaky), None)


def accuracy_margin(protocol: ProtocolRecord, evaluate: EvaluateRecord) -> float:
    """Give two standard errors of the difference between the test and a single fold's accuracy."""
    accuracy, count = evaluate.scores.accuracy, max(evaluate.scores.count, 1)
    test_variance = accuracy * (1 - accuracy) / count
    spread = protocol.standard_deviations["accuracy"]
    return 2 * math.sqrt(spread**2 + test_variance)
