"""``tenfold models`` and ``tenfold predict``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from tenfold.cli.main import app
from tenfold.cli.using import parse_image_size
from tenfold.core.errors import ImageShapeError, SettingsError, TenfoldError
from tenfold.models.model import MODELS
from tenfold.models.summary import ModelSummary


def models(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["models", *arguments])
    if isinstance(result.exception, TenfoldError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


class TestList:
    def test_has_a_line_for_each(self) -> None:
        lines = models().splitlines()
        assert [line.split()[0] for line in lines] == list(MODELS.names())
        assert all(MODELS[line.split()[0]].summary in line for line in lines)

    def test_as_json(self) -> None:
        assert json.loads(models("--json")) == {name: MODELS[name].summary for name in MODELS}


class TestOneModel:
    def test_shows_layers_shapes_parameters_and_multiply_adds(self) -> None:
        lines = [line.split() for line in models("cnn").splitlines()]
        assert next(line for line in lines if line[:1] == ["blocks.0.convolution"])[:-1] == [
            "blocks.0.convolution",
            "Conv2d",
            "64",
            "×",
            "28",
            "×",
            "28",
            "1,728",
        ]
        assert ["Total", "169,130", "4,157,696"] in lines

    def test_shows_settings_with_ranges_and_explains_the_parts(self) -> None:
        shown = " ".join(models("resnet").split())
        assert "has_zero_last_scale false" in shown
        assert "20 to 56, step 6" in shown
        assert "- Residual sum adds a block's input" in shown
        assert "Multiply-adds are the multiplications" in shown
        assert "or [model] in a recipe" in shown

    def test_takes_images_classes_and_settings(self) -> None:
        text = models(
            *("resnet", "--image-size", "16x20x1", "--classes", "3", "--json"),
            *("--set", "model.depth=8", "--set", "model.width=0.5"),
        )
        summary = ModelSummary.model_validate_json(text)
        assert summary.image_shape == (16, 20, 1)
        assert summary.settings["depth"] == 8
        assert summary.layers[0].output_shape == (16, 16, 20)
        assert summary.layers[-1].output_shape == (3,)
        assert summary.layers[-1].parameters == 3 * 33

    def test_takes_a_place_in_a_list(self) -> None:
        text = models("inception", "--json", "--set", "model.blocks.1=1")
        assert ModelSummary.model_validate_json(text).settings["blocks"] == [2, 1, 2]

    @pytest.mark.parametrize("name", MODELS.names())
    def test_works_for_every_model(self, name: str) -> None:
        text = models(name, "--image-size", "40x48x1")
        assert text.startswith(f"{name}: {MODELS[name].summary}.\nFor images of 40 × 48 pixels")


class TestWrongArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["resent"], "There is no model named 'resent'. Did you mean 'resnet'"),
            (["resnet", "--set", "model.dept=8"], r"Did you mean 'model\.depth'"),
            (["resnet", "--set", "model.depth=9"], r"8 or 14 instead of 9"),
            (["resnet", "--set", "training.epochs=8"], "does not name a setting of a model"),
            (["resnet", "--set", "model.name=cnn"], "tenfold models NAME"),
            (["resnet", "--set", "depth=8"], "Write model.SETTING=value"),
            (["resnet", "--image-size", "big"], "'big' is not an image size. Write HEIGHTx"),
        ],
    )
    def test_are_clear_errors(self, arguments: list[str], message: str) -> None:
        with pytest.raises(SettingsError, match=message):
            models(*arguments)

    def test_images_too_small_for_the_model(self) -> None:
        with pytest.raises(ImageShapeError, match=r"data\.image_size_px"):
            models("resnet", "--image-size", "2x2")


class TestImageSize:
    @pytest.mark.parametrize(
        ("text", "shape"),
        [
            ("32x32x3", (32, 32, 3)),
            (" 28X20x1 ", (28, 20, 1)),
            ("224×200", (224, 200, 3)),
            ("64", (64, 64, 3)),
            ("1x4096x4", (1, 4096, 4)),
        ],
    )
    def test_is_read(self, text: str, shape: tuple[int, int, int]) -> None:
        assert parse_image_size(text) == shape

    @pytest.mark.parametrize(
        "text", ["", "x", "0x1x1", "32x32x0", "32x32x5", "32x32x3x1", "4097", "-3", "3.5", "３２"]
    )
    def test_is_refused(self, text: str) -> None:
        with pytest.raises(SettingsError, match="is not an image size"):
            parse_image_size(text)

    @given(st.text(max_size=12))
    def test_whatever_it_is_it_is_taken_or_refused(self, text: str) -> None:
        try:
            height, width, channels = parse_image_size(text)
        except SettingsError:
            return
        assert 1 <= min(height, width) <= max(height, width) <= 4096
        assert 1 <= channels <= 4


FolderMaker = Callable[..., Path]


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, tenfold: Callable[..., Any]) -> Callable[..., Any]:
    monkeypatch.setattr("tenfold.training.device.available_cores", lambda: 1)
    return partial(tenfold, "predict")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_a_table_with_the_best_three(
    predict: Callable[..., Any], make_model_folder: FolderMaker, photos: Path
) -> None:
    result = predict(make_model_folder(), photos)
    assert result.code == 0
    lines = result.out.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"(\w+ +\d+\.\d%   ){3}\S+0\.png", lines[0])
    assert predict(make_model_folder(), photos, "--top", "1").out.count("%") == 3


def test_json_of_standard_input(
    predict: Callable[..., Any], make_model_folder: FolderMaker, photos: Path
) -> None:
    model = make_model_folder()
    given = predict(model, "-", "--json", stdin=(photos / "0.png").read_bytes())
    named = predict(model, photos / "0.png", "--json")
    first, second = json.loads(given.out), json.loads(named.out)
    assert first.pop("image") == "-"
    assert second.pop("image") == str(photos / "0.png")
    assert first == second
    assert len(first["top"]) == 3


def test_unreadable_images_are_reported_and_the_rest_goes_on(
    predict: Callable[..., Any], make_model_folder: FolderMaker, photos: Path
) -> None:
    (photos / "1.png").write_bytes(b"broken")
    model = make_model_folder()
    result = predict(model, photos, "missing.png")
    assert result.code == 1
    assert len(result.out.splitlines()) == 2
    assert "1.png: not an image of a known format" in result.err
    assert "missing.png: no such file." in result.err
    result = predict(model, photos, "--json")
    assert result.code == 1
    assert "error" in json.loads(result.out.splitlines()[1])


def test_csv_takes_the_table_s_place(
    predict: Callable[..., Any], make_model_folder: FolderMaker, photos: Path, tmp_path: Path
) -> None:
    result = predict(make_model_folder(), photos, "--csv", tmp_path / "out.csv", "--top", "2")
    assert result.code == 0
    assert result.out == ""
    assert "3 images: " in result.err
    assert len((tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()) == 4


def test_explanations_are_a_page(
    predict: Callable[..., Any], make_model_folder: FolderMaker, photos: Path, tmp_path: Path
) -> None:
    result = predict(make_model_folder(), photos, "--explain", tmp_path / "why")
    assert result.code == 0
    assert "Explanations: " in result.err
    page = (tmp_path / "why" / "index.html").read_text()
    assert page.count("<section") == 3
    for source in re.findall(r'src="([^"]+)"', page):
        assert (tmp_path / "why" / source).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "--csv", "x.csv"], "--json and --csv were both given"),
        (["--device", "tpu"], "no device named 'tpu'"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_read(
    arguments: list[str],
    message: str,
    predict: Callable[..., Any],
    make_model_folder: FolderMaker,
    photos: Path,
) -> None:
    result = predict(make_model_folder(), photos, *arguments)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""


def test_no_model_and_no_image_are_said(
    predict: Callable[..., Any], make_model_folder: FolderMaker, photos: Path, tmp_path: Path
) -> None:
    assert "is no model folder" in predict(photos, photos).err
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    result = predict(make_model_folder(), tmp_path / "empty")
    assert result.code == 2
    assert "There is no image in" in result.err
    assert "by their name: 1" in result.err
