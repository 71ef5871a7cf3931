"""What mended labels changed: one study before, one after, on the same test images."""

from __future__ import annotations

from tenfold.core.record import Interval, Record


class EffectUnder(Record):
    """Both models on the same test images, under one set of labels."""

    before: float
    """Accuracy of the model that was trained without the corrections."""
    after: float
    """Accuracy of the model that was trained with them."""
    difference: float
    """After less before."""
    interval: Interval
    """95%, of the difference (bootstrap over images)."""
    p_value: float
    """McNemar's exact test."""


class CorrectionEffect(Record):
    """What training with mended labels changed."""

    title: str
    images: int
    """Test images that both studies have."""
    dropped: int
    """Test images that the corrections left out: neither model is scored on them."""
    relabelled: int
    """Of `images`, those whose label the corrections changed."""
    train_relabelled: int
    train_dropped: int
    labels_before: EffectUnder
    labels_after: EffectUnder
    """Under the mended labels; the same where no test label changed."""
