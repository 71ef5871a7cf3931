"""Plausible records and studies for the report's tests."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import builders
from tenfold.core.records.train import PenaltyRecord, ProbeRecord


@pytest.fixture(scope="session")
def builder() -> SimpleNamespace:
    """Give what builds records and studies (tests/support/builders)."""
    return SimpleNamespace(**{name: getattr(builders, name) for name in builders.__all__})


@pytest.fixture
def probe() -> ProbeRecord:
    """Give how a head was fitted to frozen features, without fine-tuning."""
    tried = ((1.0, 0.62), (0.3, 0.51), (0.1, 0.55))
    return ProbeRecord(
        feature_count=2024,
        is_mirrored=True,
        penalty=0.3,
        tried=tuple(PenaltyRecord(penalty=p, log_loss=loss) for p, loss in tried),
        judged_by="the 5,000 validation images",
        fine_tune_epochs=0,
        feature_seconds=200,
        fit_seconds=30,
    )
