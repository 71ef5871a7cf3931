"""Figures of an original report to compare with, and manifests."""

from __future__ import annotations

from tenfold.core.record import Reference
from tenfold.core.run_folder import Manifest

ORIGINAL_VALIDATION_ACCURACY = (
    *(0.3996, 0.5658, 0.5896, 0.5950, 0.6018, 0.6140, 0.6036, 0.5026, 0.6186, 0.6316),
    *(0.6746, 0.5948, 0.5762, 0.6836, 0.6916, 0.6660, 0.6572, 0.6400, 0.4770, 0.6680),
)


def references() -> tuple[Reference, ...]:
    """Give the original report's figures."""
    pixels = "Cannot be had from the data as described: over all its pixels it is 0.5583."
    return (
        Reference(
            label="Average pixel value of airplane",
            measure="explore.class.airplane.mean",
            value=0.64153,
            where="Table 1",
            note=pixels,
        ),
        Reference(
            label="Channel means",
            measure="explore.channel_means",
            value=(0.49140, 0.48216, 0.44653),
            where="Table 1",
        ),
        Reference(
            label="Best validation accuracy of the search",
            measure="tune.best_validation_accuracy",
            value=0.6162,
            where="Section 4.2",
        ),
        Reference(
            label="Best settings",
            measure="tune.best_settings",
            value="conv_layers=2, filters_0=64, filters_1=32, units=128, optimizer=rmsprop",
            where="Section 4.3",
        ),
        Reference(
            label="Duration of the search", measure="tune.seconds", value=384.0, where="Section 4.2"
        ),
        Reference(
            label="Validation accuracy of each epoch",
            measure="train.validation_accuracy_curve",
            value=ORIGINAL_VALIDATION_ACCURACY,
            where="Figure 3",
        ),
        Reference(
            label="Test accuracy", measure="evaluate.accuracy", value=0.6576, where="Table 2"
        ),
        Reference(
            label="Macro precision",
            measure="evaluate.macro_precision",
            value=0.689,
            where="Table 2",
        ),
        Reference(
            label="Weakest classes",
            measure="evaluate.weakest_classes",
            value="dog and deer",
            where="Section 6.4",
        ),
        Reference(
            label="Predictions as deer",
            measure="evaluate.class.deer.total_predictions",
            value=792.0,
            where="Section 6.4",
        ),
        Reference(
            label="5-fold accuracy (warm start)",
            measure="cross_validate.warm-start.accuracy",
            value=0.656,
            where="Table 3",
            note="The original's protocol leaks: each fold starts from the trained model.",
        ),
    )


def manifests(*stages: str) -> dict[str, Manifest]:
    """Give one manifest a stage."""
    return {
        stage: Manifest(
            stage=stage,
            fingerprint=f"{place:x}" * 64,
            settings={},
            inputs={},
            files={},
            versions={"tenfold": "0.1.0", "torch": "2.13.0", "numpy": "2.3.1"},
            device="cpu",
            started=f"2026-02-07T10:{place:02d}:00+00:00",
            seconds=12.5 * (place + 1),
            attempts=2 if stage == "train" else 1,
        )
        for place, stage in enumerate(stages)
    }
