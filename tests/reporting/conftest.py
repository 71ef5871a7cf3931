"""Plausible records and studies for the report's tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tenfold.core.records.train import PenaltyRecord, ProbeRecord


@pytest.fixture(scope="session")
def builder() -> SimpleNamespace:
    """Give what builds records and studies; the two modules lie beside this file."""
    records, studies = _load("records_builder"), _load("studies_builder")
    return SimpleNamespace(**{**vars(records), **vars(studies)})


def _load(name: str) -> ModuleType:
    """Import a module of this folder, which is no package and not on the import path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # the second module imports the first by this name
    spec.loader.exec_module(module)
    return module


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
