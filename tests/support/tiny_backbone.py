"""A backbone that counts what it computes, and tasks that may not compute with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tenfold.models import pretrained
from tenfold.study.ablation import ablation_worker
from tenfold.study.image_tasks import network_worker
from tenfold.study.scaling.work import Common, DoTask
from tenfold.study.search.trials import trial_worker
from tenfold.study.stages.cross_validate import fold_worker
from tenfold.training import inference


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


class LazyBackbone(TinyBackbone):
    """Has to be told all features."""

    def features(self, images: Tensor) -> Tensor:
        raise AssertionError(f"{len(images)} images were computed again")


def lazy_folds(common: Common) -> DoTask:
    """Get ready to train folds without computing features."""
    _be_lazy()
    return fold_worker(common)


def lazy_trials(common: Common) -> DoTask:
    """Get ready to run trials without computing features."""
    _be_lazy()
    return trial_worker(common)


def lazy_ablation(common: Common) -> DoTask:
    """Get ready for the trainings of an ablation without computing features."""
    _be_lazy()
    return ablation_worker(common)


def busy_network(common: Common) -> DoTask:
    """Get ready to compute blocks of images."""
    pretrained.build_backbone = lambda *_args, **_kw: TinyBackbone()
    return network_worker(common)


def _be_lazy() -> None:
    """Change this process, which is a worker's own."""
    pretrained.build_backbone = lambda *_args, **_kw: LazyBackbone()
    inference.LEAST_KEPT_IMAGES = 1
