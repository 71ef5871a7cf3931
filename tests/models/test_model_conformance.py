"""What every registered architecture must do, whatever it is.

Whether it can be exported and served is asked in ``tests/serving/test_every_recipe.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from tenfold.core.errors import ImageShapeError
from tenfold.core.records.tuning import SearchDimension
from tenfold.core.settings import with_values
from tenfold.models.model import MODELS, NetworkBody
from tenfold.training.linear_probe import FeatureSet, fit_layer

SHAPES = [
    (16, 16, 3),
    (16, 16, 1),
    (32, 32, 3),
    (32, 32, 2),
    (28, 20, 1),
    (19, 33, 4),
    (64, 64, 4),
    (96, 128, 1),
    (224, 224, 3),
]

TEST_SETTINGS: dict[str, dict[str, Any]] = {
    # Images as large as its weights want would take minutes, and it has no weights here.
    "pretrained": {"input_size_px": 32, "keeps_statistics": False},
}

every_model = pytest.mark.parametrize("name", MODELS.names())


def build(
    name: str,
    image_shape: tuple[int, int, int] = (16, 16, 3),
    *,
    classes: int = 4,
    seed: int = 0,
    settings: Any = None,
) -> nn.Module:
    model = MODELS[name]
    return model.build(
        model.settings_type.parse(TEST_SETTINGS.get(name, {})) if settings is None else settings,
        image_shape=image_shape,
        class_count=classes,
        generator=torch.Generator().manual_seed(seed),
    )


def random_images(count: int, image_shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    height, width, channels = image_shape
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, channels, height, width, generator=generator)
    return images.contiguous(memory_format=torch.channels_last)


def test_the_models_of_this_package_are_registered() -> None:
    assert {"cnn", "fast", "inception", "resnet"} <= set(MODELS.names())


@every_model
def test_it_is_known_by_its_own_name_and_says_what_it_is(name: str) -> None:
    assert MODELS[name].name == name
    assert MODELS[name].summary.strip()
    assert "\n" not in MODELS[name].summary


@every_model
@pytest.mark.parametrize("image_shape", SHAPES, ids=str)
def test_logits_have_one_row_an_image_and_one_column_a_class(
    name: str, image_shape: tuple[int, int, int]
) -> None:
    for classes in (2, 7):
        network = build(name, image_shape, classes=classes).eval()
        logits = network(random_images(3, image_shape))
        assert logits.shape == (3, classes)
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()


@every_model
def test_an_image_is_judged_alone_in_evaluation_mode(name: str) -> None:
    network = build(name).eval()
    images = random_images(5, (16, 16, 3))
    alone = torch.cat([network(images[row : row + 1]) for row in range(5)])
    torch.testing.assert_close(network(images), alone, rtol=1e-5, atol=1e-6)


@every_model
def test_gradients_reach_every_parameter(name: str) -> None:
    network = build(name).train()
    logits = network(random_images(16, (16, 16, 3)))
    functional.cross_entropy(logits, torch.arange(16) % 4).backward()  # type: ignore[no-untyped-call]
    for parameter_name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.count_nonzero() > 0, parameter_name


@every_model
@pytest.mark.parametrize("image_shape", [(8, 8, 1), (16, 16, 3)], ids=str)
def test_a_batch_of_one_image_can_be_trained_on(
    name: str, image_shape: tuple[int, int, int]
) -> None:
    try:
        network = build(name, image_shape).train()
    except ImageShapeError:
        pytest.skip("takes no such small images")
    loss = functional.cross_entropy(network(random_images(1, image_shape)), torch.tensor([1]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert network.eval()(random_images(2, image_shape)).isfinite().all()


@every_model
def test_the_generator_is_the_only_source_of_the_weights(name: str) -> None:
    weights = []
    for global_seed, seed in [(1, 5), (2, 5), (1, 6)]:
        torch.manual_seed(global_seed)
        weights.append(build(name, seed=seed).state_dict())
    first, same, other = weights
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@every_model
def test_it_learns_a_small_set(name: str) -> None:
    rng = np.random.default_rng(0)
    labels = torch.arange(60) % 3
    images = torch.from_numpy(rng.normal(0, 0.5, (60, 3, 16, 16)).astype(np.float32))
    for row, label in enumerate(labels.tolist()):
        images[row, :, 5 * label : 5 * label + 5] += 1.5
    network = build(name, classes=3).train()
    if network.frozen is not None:  # its head learns, from features that stay
        with torch.no_grad():
            features = network.eval().features(images)
            layer = fit_layer(FeatureSet(features, labels), 0.01, class_count=3)
            network.head.weight.copy_(layer.weight)
            network.head.bias.copy_(layer.bias)
            assert (network(images).argmax(1) == labels).double().mean() > 0.9
        return
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    torch.manual_seed(0)  # of the dropout masks, which no generator was bound to
    accuracy = 0.0
    for _ in range(5):
        for _ in range(5):
            optimizer.zero_grad()
            functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            accuracy = (network.eval()(images).argmax(1) == labels).double().mean().item()
        if accuracy > 0.9:
            break
        network.train()
    assert accuracy > 0.9


@every_model
def test_stored_weights_give_the_same_logits(name: str, tmp_path: Path) -> None:
    images = random_images(4, (16, 16, 3))
    network = build(name, seed=1)
    network.train()(images)  # moves running statistics, where there are any
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    other = build(name, seed=2)
    assert not torch.equal(other.eval()(images), network.eval()(images))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other.eval()(images), network.eval()(images))


@every_model
def test_what_a_training_asks_is_declared(name: str) -> None:
    model = MODELS[name]
    network = build(name)
    assert isinstance(network, NetworkBody)
    assert network.frozen in {None, network}
    assert set(network.learning_rate_factors()) <= {key for key, _ in network.named_parameters()}
    settings = model.settings_type()
    assert model.suited_to(settings, mirror_keeps_class=True) == settings
    assert isinstance(model.suited_to(settings, mirror_keeps_class=False), model.settings_type)


@every_model
def test_default_settings_are_valid_and_survive_json(name: str) -> None:
    kind = MODELS[name].settings_type
    assert kind.parse(kind().plain()) == kind()


@every_model
def test_the_search_space_ranges_over_settings_that_exist(name: str) -> None:
    model = MODELS[name]
    names = [dimension.name for dimension in model.search_space]
    assert len(set(names)) == len(names)
    for dimension in model.search_space:
        assert dimension.name.startswith("model.")
        assert dimension.only_if is None or dimension.only_if.name in names
        for value in _ends(dimension):
            # An unknown name or a value out of the setting's range raises SettingsError.
            plain = with_values({"model": model.settings_type().plain()}, {dimension.name: value})
            settings = model.settings_type.parse(plain["model"], where="model")
            assert build(name, (32, 32, 3), settings=settings)


@every_model
def test_ranges_of_the_search_space_are_ranges(name: str) -> None:
    for dimension in MODELS[name].search_space:
        if dimension.choices is not None:
            assert len(set(dimension.choices)) == len(dimension.choices) > 1
            assert (dimension.low, dimension.high, dimension.step) == (None, None, None)
            continue
        assert dimension.low is not None
        assert dimension.high is not None
        assert dimension.low < dimension.high
        assert not dimension.is_log or (dimension.low > 0 and dimension.step is None)
        if dimension.step is not None:
            steps = (dimension.high - dimension.low) / dimension.step
            assert steps == pytest.approx(round(steps)), "the upper end is never tried"


@every_model
def test_images_of_one_pixel_are_taken_or_refused_with_advice(name: str) -> None:
    try:
        network = build(name, (1, 1, 3))
    except ImageShapeError as error:
        message = str(error)
    else:
        message = ""
        assert network.eval()(torch.zeros(2, 3, 1, 1)).shape == (2, 4)
    assert not message or "Images of 1×1 pixels are too small" in message
    assert not message or "data.image_size_px" in message


def _ends(dimension: SearchDimension) -> list[Any]:
    if dimension.choices is not None:
        return list(dimension.choices)
    is_whole = dimension.step is not None and float(dimension.step).is_integer()
    return [
        int(end) if is_whole else end for end in (dimension.low, dimension.high) if end is not None
    ]
