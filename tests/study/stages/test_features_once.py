"""Stages in processes of their own compute the features of an image once between them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tenfold.models import pretrained
from tenfold.study import runner
from tenfold.study.recipe import load_recipe
from tenfold.study.stages import evaluate
from tenfold.study.study import Study
from tenfold.training import inference
from tenfold.training.feature_store import FeatureStore


class TinyBackbone(nn.Module):
    """Tells brightness, and counts the images."""

    feature_count = 3
    image_size_px = 32
    mean = (100.0, 110.0, 120.0)
    standard_deviation = (50.0, 50.0, 50.0)
    computed = 0

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def features(self, images: Tensor) -> Tensor:
        TinyBackbone.computed += len(images)
        features: Tensor = self.layer(images.mean((2, 3)))
        return features

    def load_pretrained(self) -> None:
        with torch.no_grad():
            nn.init.eye_(self.layer.weight)
            nn.init.zeros_(self.layer.bias)

    def keep_statistics(self) -> None:
        pass


def test_features_are_computed_once_for_all_stages(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.training.device.available_cores", lambda: 1)
    monkeypatch.setattr(pretrained, "build_backbone", lambda *_args, **_kw: TinyBackbone())
    monkeypatch.setattr(inference, "LEAST_KEPT_IMAGES", 2)
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
        for module in (inference, runner, evaluate):
            monkeypatch.setattr(module, "feature_store", lambda store=store: store)
        TinyBackbone.computed = 0
        list(Study(settings, tmp_path / "run").run(stage))
        counts.append(TinyBackbone.computed)
    images_and_mirror_images = 2 * 36
    assert sum(counts[:3]) == images_and_mirror_images
    # But for single images: looking for them takes longer than to compute them.
    assert max(counts[3:]) <= 1
