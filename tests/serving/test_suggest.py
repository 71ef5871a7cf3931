"""``tenfold suggest``: what to label next, as paths, as a table and as copies."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.usefixtures("one_core")

FolderMaker = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / ("deep" if number % 2 else ".") / f"={number}.PNG")
    return folder


def test_prints_paths_and_goes_on_after_an_unreadable_image(
    tenfold: Callable[..., Any], make_model_folder: FolderMaker, photos: Path
) -> None:
    (photos / "broken.png").write_bytes(b"broken")
    result = tenfold("suggest", make_model_folder(), photos, "--count", "3")
    assert result.code == 1
    assert "broken.png: not an image" in result.err
    lines = result.out.splitlines()
    assert len(set(lines)) == 3
    assert all(Path(line).is_file() for line in lines)
    again = tenfold("suggest", make_model_folder(), photos, "--count", "3")
    assert again.out == result.out


@pytest.mark.parametrize("method", ["badge", "clusters", "margin"])
def test_copies_with_filled_in_labels_are_a_data_set(
    tenfold: Callable[..., Any],
    make_model_folder: FolderMaker,
    photos: Path,
    tmp_path: Path,
    method: str,
) -> None:
    place, table = tmp_path / "to-label", tmp_path / "table.csv"
    result = tenfold(
        *("suggest", make_model_folder(), photos, "--count", "6", "--method", method),
        *("--copy-to", place, "--csv", table),
    )
    assert result.code == 0
    rows = list(csv.DictReader((place / "labels.csv").read_text().splitlines()))
    assert [row["file_name"] for row in rows] == [f"000{rank}.png" for rank in range(1, 7)]
    assert {row["label"] for row in rows} == {""}
    originals = [row["file_name"] for row in csv.DictReader(table.read_text().splitlines())]
    for row, original in zip(rows, originals, strict=True):
        assert (place / row["file_name"]).read_bytes() == Path(original).read_bytes()
    unfilled = tenfold("acquire", "--data", place / "labels.csv", "--out", tmp_path / "run")
    assert unfilled.code == 2
    assert "label" in unfilled.err
    text = (place / "labels.csv").read_text()
    for rank in range(1, 7):
        text = text.replace(f"000{rank}.png,,", f"000{rank}.png,{'ab'[rank % 2]},")
    (place / "labels.csv").write_text(text)
    filled = tenfold("acquire", "--data", place / "labels.csv", "--out", tmp_path / "run")
    assert filled.code == 0, filled.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("{model}.onnx", "{photos}"), "exported file"),
        (("{model}", "{photos}", "--method", "best"), "badge"),
        (("{model}", "{photos}", "--copy-to", "{photos}"), "not empty"),
        (("{model}", "{empty}"), "no image"),
    ],
)
def test_what_cannot_be_done_is_said(  # noqa: PLR0917 -- fixtures
    tenfold: Callable[..., Any],
    make_model_folder: FolderMaker,
    photos: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    (tmp_path / "empty").mkdir()
    names = {"model": make_model_folder(), "photos": photos, "empty": tmp_path / "empty"}
    result = tenfold("suggest", *(text.format(**names) for text in arguments))
    assert result.code == 2
    assert expected in result.err
    assert len(list(photos.rglob("*.PNG"))) == 8
