"""Plausible records of what trains several times: folds and seeds."""

from __future__ import annotations

import numpy as np

from tenfold.core.records.evaluation import FoldScores, ProtocolRecord, RepeatedRun, RepeatsRecord
from tenfold.evaluation.differences import Spread, nadeau_bengio_intervals
from tenfold.report.findings.evaluation import MACRO_SCORES


def protocol_record(name: str, accuracies: tuple[float, ...]) -> ProtocolRecord:
    """Give a protocol whose folds have these accuracies."""
    folds = tuple(
        FoldScores(
            fold=place + 1,
            train_count=40000,
            validation_count=10000,
            epochs=20,
            accuracy=accuracy,
            macro_precision=accuracy + 0.02,
            macro_recall=accuracy,
            macro_f1=accuracy - 0.008,
            seconds=88.0,
        )
        for place, accuracy in enumerate(accuracies)
    )
    columns = {score: [getattr(fold, score) for fold in folds] for score in MACRO_SCORES}
    is_leaky = name == "warm-start"
    return ProtocolRecord(
        name=name,
        is_leaky=is_leaky,
        description=(
            "Every fold starts from the trained model."
            if is_leaky
            else "A new model for each fold."
        ),
        epochs=5 if is_leaky else 20,
        batch_size=64,
        optimizer="adam" if is_leaky else "rmsprop",
        augmentation="report" if is_leaky else "none",
        folds=folds,
        means={score: float(np.mean(values)) for score, values in columns.items()},
        standard_deviations={
            score: float(np.std(values, ddof=1)) for score, values in columns.items()
        },
        intervals={} if is_leaky else nadeau_bengio_intervals(folds),
        seconds=440.0,
    )


def repeats_record(*accuracies: float) -> RepeatsRecord:
    """Give runs of so many accuracies; the other scores are the same."""
    names = ("accuracy", "balanced_accuracy", "macro_f1")
    spread = Spread.of(accuracies)
    return RepeatsRecord(
        test_count=10000,
        is_imbalanced=False,
        has_time_budget=False,
        runs=tuple(
            RepeatedRun(
                run=run, seed=run - 1, training_seconds=100, **dict.fromkeys(names, accuracy)
            )
            for run, accuracy in enumerate(accuracies, start=1)
        ),
        means=dict.fromkeys(names, spread.mean),
        intervals=dict.fromkeys(names, spread.interval),
        standard_deviations=dict.fromkeys(names, spread.deviation),
        deviation_intervals=dict.fromkeys(names, spread.deviation_interval),
        least_differences=dict.fromkeys(names, spread.least_difference),
        evaluate_digest="ab" * 32,
    )
