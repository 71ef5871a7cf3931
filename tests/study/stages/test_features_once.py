"""Stages in processes of their own compute the features of an image once between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenfold.models import pretrained
from tenfold.study import kept_features, runner
from tenfold.study.recipe import load_recipe
from tenfold.study.stages import evaluate
from tenfold.study.study import Study
from tenfold.training import inference
from tenfold.training.feature_store import FeatureStore
from tiny_backbone import TinyBackbone


def test_features_are_computed_once_for_all_stages(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.training.device.available_cores", lambda: 1)
    monkeypatch.setattr(pretrained, "build_backbone", lambda *_args, **_kw: TinyBackbone())
    monkeypatch.setattr(inference, "LEAST_KEPT_IMAGES", 1)
    settings = load_recipe("transfer").with_changes(
        {
            "data.source": "folder",
            "data.location": str(image_folder),
            "data.mirror_keeps_class": True,
            "evaluate.robustness_images": 0,
            "cross_validate.folds": 2,
        }
    )
    counts = []
    for stage in ("train", "cross-validate", "evaluate", "audit", "model"):
        store = FeatureStore()  # as in another process
        for module in (inference, kept_features, runner, evaluate):
            monkeypatch.setattr(module, "feature_store", lambda store=store: store)
        TinyBackbone.computed = 0
        list(Study(settings, tmp_path / "run").run(stage))
        counts.append(TinyBackbone.computed)
    images_and_mirror_images, image_of_the_summary = 2 * 36, 1
    assert sum(counts[:3]) == images_and_mirror_images + image_of_the_summary
    # But for single images: looking for them takes longer than to compute them.
    assert max(counts[3:]) <= 1
