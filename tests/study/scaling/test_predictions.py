"""Predictions of many files are the same wherever blocks of them are predicted."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tenfold.cli import predictions
from tenfold.cli.predictions import predict_by
from tenfold.core.progress import SilentProgress
from tenfold.data.images.formats import DecodingLimits
from tenfold.serving import prediction
from tenfold.serving.prediction import (
    FoundImages,
    Predicted,
    find_images,
    load_model,
    predict_files,
)
from tenfold.serving.prediction_outputs import JsonOutput
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.packing import Values
from tenfold.study.scaling.processes import Processes
from tenfold.study.scaling.work import Driver, Place, Task, Work

if TYPE_CHECKING:
    from conftest import CommandResult

LIMITS = DecodingLimits(pixels=10_000)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Give a folder of 23 images, and what is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(23):
        pixels = rng.integers(0, 256, (9 + number, 12, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.{'png' if number % 2 else 'jpg'}")
    (folder / "7b.png").write_bytes((folder / "7.png").read_bytes()[:40])
    (folder / "8b.jpg").write_bytes(b"")
    Image.new("L", (200, 200)).save(folder / "9b.png")  # more pixels than the limit
    os.mkfifo(folder / "a.png")
    (folder / "gone.jpg").symlink_to("nowhere")
    return folder


@pytest.fixture(
    params=[
        "here",
        pytest.param("processes", marks=pytest.mark.slow),
        pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow]),
    ],
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    match request.param:
        case "here":
            yield Here()
        case "processes":
            yield Processes(2)
        case _:
            yield request.getfixturevalue("ray_place")


def _lines(results: list[Predicted], classes: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    output = JsonOutput(classes, len(classes), lines.append)
    for result in results:
        output.add(result)
    return lines


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "_LEAST_BLOCK", 4)
    monkeypatch.setattr(prediction, "_batch_size_for", lambda _: 4)


def _by(place: Place, path: Path, found: FoundImages) -> list[Predicted]:
    results: list[Predicted] = []
    loaded = load_model(path, device="cpu")
    predict_by(place, path, loaded, found, results.append, SilentProgress(), "cpu", LIMITS)
    return results


def test_each_place_gives_the_same_lines(
    place: Place,
    photos: Path,
    make_model_folder: Callable[..., Path],
    short_blocks: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make_model_folder()
    loaded = load_model(path, device="cpu")
    found = find_images([str(photos), str(photos / "missing.png")])
    assert len(found.files) == 29
    alone = list(predict_files(loaded.model, found, limits=LIMITS))
    monkeypatch.setattr(predictions, "_MOST_FILES_AT_A_TIME", 3)  # fewer than a block has
    lines = _lines(_by(place, path, found), loaded.classes)
    assert lines == _lines(alone, loaded.classes)
    assert sum('"error"' in line for line in lines) == 6


def test_results_come_in_order_and_as_soon_as_they_are_there(
    photos: Path, make_model_folder: Callable[..., Path], short_blocks: None
) -> None:
    class Backwards(Here):
        def run(self, work: Work, driver: Driver) -> None:
            do = work.function(_common(work))
            tasks: list[Task] = []
            while (task := driver.next_task()) is not None:
                tasks.append(task)
            for task in [*tasks[:0:-1], tasks[0]]:
                driver.on_done(task, do(task.inputs, _Desk(driver, task)))  # type: ignore[arg-type]

    path = make_model_folder()
    found = find_images([str(photos)])
    names = [one.name for one in _by(Backwards(), path, found)]
    assert names == [file.name for file in found.files]


@dataclass
class _Desk:
    driver: Driver
    task: Task

    def ask(self, question: Values) -> dict[str, Any]:
        return dict(self.driver.on_ask(self.task, question))


def _common(work: Work) -> Any:
    from tenfold.study.scaling.work import Common

    return Common(work.values, work.folders, work.device)


def test_an_image_on_standard_input(make_model_folder: Callable[..., Path]) -> None:
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "png")
    found = find_images(["-"], io.BytesIO(content.getvalue()))
    (result,) = _by(Here(), make_model_folder(), found)
    assert result.probabilities is not None


def test_no_more_is_held_than_is_sent_at_a_time(
    photos: Path,
    make_model_folder: Callable[..., Path],
    short_blocks: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Counting(Here):
        def run(self, work: Work, driver: Driver) -> None:
            def counted(task: Task, question: Values) -> Values:
                answer = driver.on_ask(task, question)
                sizes.append(len(answer["contents"]))
                return answer

            super().run(work, replace(driver, on_ask=counted))

    sizes: list[int] = []
    monkeypatch.setattr(predictions, "_MOST_BYTES_AT_A_TIME", 1)
    found = find_images([str(photos)])
    _by(Counting(), make_model_folder(), found)
    assert len(sizes) >= 23  # each file that has a byte alone
    assert max(sizes) <= max(path.stat().st_size for path in photos.glob("[0-9]*"))


@pytest.mark.slow
def test_the_command(
    photos: Path,
    make_model_folder: Callable[..., Path],
    tenfold: Callable[..., CommandResult],
    tmp_path: Path,
) -> None:
    path = make_model_folder()
    for name, options in {"one": (), "two": ("--jobs", 2)}.items():
        result = tenfold("predict", path, photos, "--csv", tmp_path / f"{name}.csv", *options)
        assert result.code == 1, result.err
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    result = tenfold("predict", path, photos, "--jobs", 2, "--explain", tmp_path / "page")
    assert result.code == 2
    assert "--explain is done in this process alone" in result.err
