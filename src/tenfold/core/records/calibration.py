"""Whether the model's probabilities can be taken at their word."""

from __future__ import annotations

from tenfold.core.records.interval import Interval
from tenfold.core.records.record import Record


class ReliabilityBin(Record):
    """Images of about the same probability of their predicted class."""

    count: int
    confidence: float
    """Mean probability of the predicted class."""
    accuracy: float
    interval: Interval
    """Of the accuracy: 95%, Wilson."""


class CalibrationScores(Record):
    """How far probabilities are from what happens."""

    expected_calibration_error: float
    """Mean over the images of ``|accuracy - confidence|`` of their bin."""
    log_loss: float
    brier_score: float
    """Mean of the squared distances between probabilities and truth, summed over the classes: 0 is
    best, 2 is worst (Brier 1950)."""
    mean_confidence: float
    bins: tuple[ReliabilityBin, ...]
    """From the least to the most confident; as many images in each."""


class CoveragePoint(Record):
    """How often the model is right on the images that it is surest of."""

    coverage: float
    """Share of the test images, the surest first."""
    accuracy: float
    least_confidence: float
    """The lowest probability of a predicted class among them."""


class CalibrationRecord(Record):
    """Calibration on the test split, before and after temperature scaling."""

    temperature: float | None
    """What the logits are divided by, fitted on validation images; None where there were none."""
    before: CalibrationScores
    after: CalibrationScores
    """Of the probabilities that are stored and used; the same as before without a temperature."""
    chance_calibration_error: float
    """95% quantile of the expected calibration error that a perfectly calibrated model with the
    same confidences would show on so many images."""
    coverage: tuple[CoveragePoint, ...]
