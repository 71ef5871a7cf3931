"""``tenfold predict``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

FolderMaker = Callable[..., Path]


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, tenfold: Callable[..., Any]) -> Callable[..., Any]:
    monkeypatch.setattr("tenfold.core.machine.available_cores", lambda: 1)
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
