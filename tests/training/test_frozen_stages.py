"""Fine-tuning the last stages alone: what the others give is computed once a view, and kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tenfold.core.errors import SettingsError
from tenfold.core.progress import SilentProgress
from tenfold.core.records.training import EpochRecord
from tenfold.data.augmentation import POLICIES
from tenfold.data.dataset import ImageSplit
from tenfold.models.backbones import LiteBackbone
from tenfold.models.model import NetworkPlan
from tenfold.training import frozen_stages as module
from tenfold.training.batches import TrainingBatches
from tenfold.training.checkpoint import Checkpoint
from tenfold.training.device import Device
from tenfold.training.fit import FittedNetwork, check_fit, fit_network
from tenfold.training.frozen_stages import FrozenStages
from tenfold.training.loop import Trainer
from tenfold.training.settings import TrainingSettings

CPU = Device("cpu", "a processor", 1)
COUNT = 40
TRAINED = 2


@pytest.fixture(autouse=True)
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Give the numbers of images that the lower stages saw; weights are as they were drawn."""
    counts: list[int] = []
    lower = LiteBackbone.lower

    def counted(self: LiteBackbone, images: Tensor) -> tuple[Tensor, Tensor]:
        counts.append(len(images))
        return lower(self, images)

    monkeypatch.setattr(LiteBackbone, "lower", counted)
    monkeypatch.setattr(LiteBackbone, "load_pretrained", lambda _self: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield counts
    torch.set_num_threads(threads)


@pytest.fixture
def split() -> ImageSplit:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, 20, 20, 3), dtype=np.uint8)
    return ImageSplit(images, np.arange(COUNT) % 2)


def plan(**settings: Any) -> NetworkPlan:
    chosen = {"input_size_px": 32, "fine_tune_epochs": 3, "fine_tune_views": 2, **settings}
    chosen = {"fine_tune_stages": TRAINED, "uses_mirrored": False, **chosen}
    return NetworkPlan.parse("pretrained", chosen, image_shape=(20, 20, 3), class_count=2)


def training_settings(**settings: Any) -> TrainingSettings:
    own = {"augmentation": "large-resized-crop+colour", "batch_size": 16, "optimizer": "adamw"}
    others = {"learning_rate": 1e-3, "precision": "float32", "schedule": "one-cycle"}
    return TrainingSettings.parse({**own, **others, **settings})


def fit(split: ImageSplit, *, settings: Any = None, **others: Any) -> FittedNetwork:
    trainer = Trainer(training_settings(**(settings or {})), **{"seed": 1, "device": CPU, **others})
    return fit_network(trainer, plan(), split)


def frozen_stages(split: ImageSplit, folder: Path | None = None) -> FrozenStages:
    batches = TrainingBatches(split, 16, POLICIES["large-resized-crop"], True, 0, CPU.torch_device)
    return FrozenStages(
        plan().build_any(),
        batches,
        device=CPU,
        precision=torch.float32,
        folder=folder,
        progress=SilentProgress(),
        title="any",
    )


@pytest.mark.parametrize("trained", [1, 3, 7])
@torch.no_grad()
def test_lower_and_upper_stages_give_the_features_together(trained: int) -> None:
    network = plan(fine_tune_stages=trained, pooled_maps=5).build_any().eval()
    body = network.body.frozen
    assert body is not None
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(body.upper(*body.lower(images)), body.features(images))


def test_the_last_stages_move_and_the_others_are_computed_once_a_view(
    split: ImageSplit, computed: list[int]
) -> None:
    before = plan().build(seed=1, mean=torch.zeros(3), standard_deviation=torch.ones(3))
    fitted = fit(split)
    assert sum(computed) == 2 * COUNT + 1  # one to learn the maps' shape
    trained = ("backbone.network.stages.5.", "backbone.network.stages.6.", "backbone.network.head.")
    for name, tensor in before.body.state_dict().items():
        is_moved = not torch.equal(tensor, fitted.last_weights[f"body.{name}"])
        is_trained = name.startswith((*trained, "head.")) and "running" not in name
        assert is_moved == is_trained, name


def test_it_goes_on_after_a_kill_bit_for_bit(split: ImageSplit, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(epoch: EpochRecord) -> None:
        if epoch.epoch == 3:
            raise Killed

    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    with pytest.raises(Killed):
        fit(split, settings={"checkpoint_seconds": 0}, checkpoint=checkpoint, on_epoch=kill)
    assert list((tmp_path / "state.views").iterdir())
    resumed = fit(split, settings={"checkpoint_seconds": 0}, checkpoint=checkpoint)
    assert not (tmp_path / "state.views").exists()
    whole = fit(split)
    for name, tensor in whole.last_weights.items():
        assert torch.equal(resumed.last_weights[name], tensor), name


def test_what_an_earlier_attempt_kept_is_not_computed_again(
    split: ImageSplit, tmp_path: Path, computed: list[int]
) -> None:
    for _ in range(2):
        batches = list(frozen_stages(split, tmp_path).epoch(0))
    assert sum(computed) == COUNT + 2
    assert sum(len(shown) for shown, _ in batches) == COUNT


def test_what_does_not_fit_is_computed_whenever_it_is_shown(
    split: ImageSplit, computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, labels = next(frozen_stages(split).epoch(1))
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    stages = frozen_stages(split)
    assert stages.views == 0
    computed.clear()
    shown = list(stages.epoch(1))
    assert sum(computed) == COUNT
    assert torch.equal(shown[0][1], labels)
    torch.testing.assert_close(kept.maps, shown[0][0].maps, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(kept.means, shown[0][0].means)


def test_a_view_that_the_time_does_not_suffice_for_is_left(
    split: ImageSplit, computed: list[int]
) -> None:
    stages = frozen_stages(split)
    first = torch.cat([shown.maps for shown, _ in stages.epoch(0)])
    computed.clear()
    again = torch.cat([shown.maps for shown, _ in stages.epoch(1, is_over=lambda: True)])
    assert not computed
    sums = [sorted(maps.sum((1, 2, 3)).tolist()) for maps in (first, again)]
    assert sums[0] == pytest.approx(sums[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augmentation": "crop-flip+mixup"}, r"training\.augmentation is 'crop-flip\+mixup'"),
        ({"low_resolution_share": 0.5}, r"training\.low_resolution_share is 0\.5"),
    ],
)
def test_what_is_no_view_of_one_image_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message + r".*leave out model\.fine_tune_stages"):
        check_fit(
            plan(), training_settings(**settings), has_validation=False, mirror_keeps_class=True
        )


def test_a_backbone_of_timm_is_trained_as_a_whole() -> None:
    with pytest.raises(SettingsError, match=r"fine_tune_stages has to be left out"):
        plan(backbone="timm:resnet18")
