"""What all tests share."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

if TYPE_CHECKING:
    from tenfold.study.recipe import StudySettings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background with Ctrl-C ignored, and the commands that tests
    # start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cifar10_path() -> Path:
    """Give the folder of CIFAR-10's binary version, for tests marked ``cifar10``."""
    place = os.environ.get("TENFOLD_CIFAR10")
    if not place:
        pytest.skip("needs CIFAR-10: set TENFOLD_CIFAR10 to the folder of its binary version")
    return Path(place)


@pytest.fixture(scope="session")
def photos_path() -> Path:
    """Give a folder of photographs in train/ and test/, for tests marked ``photos``."""
    place = os.environ.get("TENFOLD_PHOTOS")
    if not place:
        pytest.skip("needs photographs: set TENFOLD_PHOTOS to a folder with train/ and test/")
    return Path(place)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Give a folder of 3 classes × 12 gray images of 8×8 pixels, no two the same."""
    from PIL import Image

    generator = np.random.default_rng(5)
    folder = tmp_path / "images"
    for brightness, name in enumerate(("dark", "gray", "light")):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = generator.integers(80 * brightness, 80 * brightness + 90, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture
def tiny_settings(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., StudySettings]:
    """Give a function that makes a study of `image_folder` so small that it ends in a second.

    It takes changes by dotted name. Everything is computed on one core: such small networks gain
    nothing from more, and lose much where others use them.
    """
    from tenfold.study.recipe import load_recipe

    monkeypatch.setattr("tenfold.training.device.available_cores", lambda: 1)
    tiny: dict[str, Any] = {
        "data.source": "folder",
        "data.location": str(image_folder.resolve()),
        "explore.samples_per_class": 2,
        "explore.augmented_samples": 2,
        "model.conv_layers": 1,
        "model.filters": [2],
        "model.units": 4,
        "training.epochs": 2,
        "training.batch_size": 8,
        "training.precision": "float32",
        "tune.trials": 2,
        "tune.epochs": 1,
        "tune.batch_size": 8,
        "tune.space": [{"name": "model.units", "low": 2, "high": 64, "step": 2}],
        "cross_validate.folds": 2,
        "cross_validate.warm_start.epochs": 1,
        "cross_validate.warm_start.batch_size": 8,
    }

    def make(changes: Mapping[str, Any] | None = None) -> StudySettings:
        return load_recipe("cnn").with_changes(tiny | dict(changes or {}))

    return make


@pytest.fixture
def make_model_folder(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes the model folder of an untrained network.

    Classes, image shape, whether training images are kept, and changes to its record are given.
    """
    import torch

    from tenfold.core.records.training import ModelData
    from tenfold.evaluation.explanations import NeighbourIndex
    from tenfold.models.model import NetworkPlan
    from tenfold.training.device import Device
    from tenfold.training.inference import features_and_logits
    from tenfold.training.model_folder import PackagedModel, describe_model, write_model_folder
    from tenfold.training.settings import TrainingSettings

    def make(
        classes: tuple[str, ...] = ("dark", "gray", "light"),
        image_shape: tuple[int, int, int] = (8, 8, 3),
        *,
        kept_images: int = 12,
        name: str = "model",
        **changes: Any,
    ) -> Path:
        plan = NetworkPlan.parse(
            "cnn",
            {"conv_layers": 1, "filters": [4], "units": 6},
            image_shape=image_shape,
            class_count=len(classes),
        )
        channels = image_shape[2]
        network = plan.build(
            seed=1,
            mean=torch.full((channels,), 120.0),
            standard_deviation=torch.full((channels,), 60.0),
        )
        weights = network.state_dict()
        values: dict[str, Any] = {
            "title": "A test's model",
            "plan": plan,
            "weights": weights,
            "training": TrainingSettings(),
            "classes": classes,
            "temperature": 0.5,
            "precision": "float32",
            "mirror_keeps_class": True,
            "data": ModelData(
                title="Noise",
                source="folder",
                description="",
                train_counts=(4,) * len(classes),
                test_counts=(1,) * len(classes),
                train_sha256="a" * 64,
                test_sha256="b" * 64,
            ),
        }
        neighbours = None
        if kept_images:
            images = np.random.default_rng(2).integers(
                0, 256, (kept_images, *image_shape), dtype=np.uint8
            )
            features, _ = features_and_logits(network, images, device=Device("cpu", "", 1))
            labels = np.arange(kept_images) % len(classes)
            places = np.arange(kept_images)
            neighbours = NeighbourIndex.build(features, images, labels, places).to_bytes()
        folder = tmp_path / name
        record = describe_model(**{**values, **changes})
        write_model_folder(folder, PackagedModel(record, weights, "# A card\n", neighbours))
        return folder

    return make


@dataclass(frozen=True)
class CommandResult:
    """What a command left: its exit status, standard output and standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def tenfold(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., CommandResult]:
    """Give a function that runs the command line, in a folder and with a cache of its own."""
    from tenfold.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TENFOLD_CIFAR10", raising=False)
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))

    def run(*arguments: Any, stdin: bytes | None = None) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["tenfold", *map(str, arguments)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return CommandResult(code, *capfd.readouterr())

    return run


@pytest.fixture
def run_folder(tiny_settings: Callable[..., StudySettings], tmp_path: Path) -> str:
    """Give the folder of a tiny study that nothing was run of yet, for --out."""
    out = tmp_path / "tiny"
    out.mkdir()
    (out / "settings.json").write_text(json.dumps(tiny_settings().flat()))
    return str(out)


Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def scenes() -> Callable[..., Pixels]:
    """Give a function that draws `count` images of random ellipses, uint8 (N, 40, 40, 3)."""

    def draw(count: int, seed: int = 0, side: int = 40) -> Pixels:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:side, :side] / side
        images = np.empty((count, side, side, 3), np.uint8)
        for image in images:
            image[:] = rng.integers(0, 256, 3)
            for _ in range(12):
                cx, cy = rng.random(2)
                rx, ry = rng.uniform(0.05, 0.4, 2)
                inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
                image[inside] = rng.integers(0, 256, 3)
        return images

    return draw


@pytest.fixture(scope="session")
def cropped() -> Callable[..., Pixels]:
    """Give a function that cuts 32 × 32 pixels out of images at a place, zoomed."""

    def cut(images: Pixels, top: int, left: int, side: int = 36) -> Pixels:
        part = torch.from_numpy(images[:, top : top + side, left : left + side].copy())
        resized = nn.functional.interpolate(
            part.permute(0, 3, 1, 2).float(), (32, 32), mode="bilinear", antialias=True
        )
        return resized.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()

    return cut


@pytest.fixture(scope="session")
def edited() -> Callable[..., Pixels]:
    """Give a function that changes contrast, brightness and noise."""

    def edit(images: Pixels, seed: int = 1) -> Pixels:
        noise = np.random.default_rng(seed).normal(0, 6, images.shape)
        return (images * 0.7 + 50 + noise).round().clip(0, 255).astype(np.uint8)

    return edit
