"""Validation images that the data set itself sets aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.records.tuning import TuneRecord
from tenfold.data.dataset import read_split, read_validation
from tenfold.study.recipe import StudySettings
from tenfold.study.study import Study

COUNTS = {"train": 10, "valid": 3, "test": 4}


class Said:
    """Keeps the lines that a terminal would show."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)

    def task(self, *arguments: Any, **options: Any) -> Any:
        from tenfold.core.progress import SilentProgress

        return SilentProgress().task(*arguments, **options)


@pytest.fixture
def three_splits(tmp_path: Path) -> Path:
    """Give a folder of two classes in three splits; validation images are darkest."""
    generator = np.random.default_rng(3)
    for split, count in COUNTS.items():
        for name in ("cat", "dog"):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                low = 0 if split == "valid" else 100
                pixels = generator.integers(low, low + 90, (8, 8), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def run(
    three_splits: Path, tiny_settings: Callable[..., StudySettings], tmp_path: Path
) -> Callable[..., tuple[Path, Said]]:
    """Give a function that runs a stage on the three splits: its folder, and what was said."""

    def make(
        stage: str, changes: Mapping[str, Any] | None = None, *, out: str = "run"
    ) -> tuple[Path, Said]:
        said = Said()
        settings = tiny_settings({"data.location": str(three_splits), **(changes or {})})
        list(Study(settings, tmp_path / out, progress=said).run(stage))
        return tmp_path / out / stage, said

    return make


def test_the_given_validation_images_are_those_of_search_and_training(
    run: Callable[..., tuple[Path, Said]],
) -> None:
    folder, _ = run("train")
    record = TrainRecord.read(folder / "record.json")
    assert (record.train_count, record.validation_count) == (20, 6)
    assert record.temperature is not None
    tune = TuneRecord.read(folder.parent / "tune" / "record.json")
    assert (tune.train_count, tune.validation_count) == (20, 6)
    acquire = folder.parent / "acquire"
    assert AcquireRecord.read(acquire / "record.json").validation_count == 6
    is_validation = read_validation(acquire)
    assert is_validation is not None
    means = read_split(acquire, "train").images[:].mean((1, 2, 3))
    assert means[is_validation].max() < 100 < means[~is_validation].min()


def test_without_validation_all_images_are_trained_on(
    run: Callable[..., tuple[Path, Said]],
) -> None:
    changes = {"tune.is_enabled": False, "training.validation_fraction": 0}
    record = TrainRecord.read(run("train", changes)[0] / "record.json")
    assert (record.train_count, record.validation_count) == (26, 0)


def test_the_terminal_says_what_is_which_and_what_was_not_used(
    run: Callable[..., tuple[Path, Said]], three_splits: Path
) -> None:
    copy = next((three_splits / "train" / "cat").iterdir())
    (three_splits / "valid" / "cat" / "copy.png").write_bytes(copy.read_bytes())
    (three_splits / "train" / "cat" / "broken.png").write_bytes(b"no image")
    (three_splits / "train" / "eel").mkdir()
    (three_splits / "train" / "eel" / "1.ico").touch()
    (three_splits / "more").mkdir()
    (three_splits / "more" / "1.png").touch()
    (three_splits / "list.txt").touch()
    folder, said = run("acquire")
    text = "\n".join(said.lines)
    for fact in (
        "train/ for training (20 images), valid/ for validation (7 images), test/ for testing (8",
        "more/ (1 image)",
        ".ico 1, .txt 1",
        "eel (1 file, no image by its name: .ico 1)",
        "1 image could not be read, left out: 1 × ",
        "broken.png",
        "1 of the 7 validation images have a near-copy",
        "few to judge by",
    ):
        assert fact in text
    notes = AcquireRecord.read(folder / "record.json").notes
    assert sum(note in said.lines for note in notes) == len(notes) > 3


def test_a_run_folder_in_the_data_does_not_make_the_study_stale(
    run: Callable[..., tuple[Path, Said]], three_splits: Path
) -> None:
    folder, _ = run("acquire", out="photos/train/runs/one")
    made = (folder / "manifest.json").stat().st_mtime_ns
    figures = folder.parent / "report" / "figures"
    figures.mkdir(parents=True)
    (figures / "1.png").write_bytes((three_splits / "test" / "cat" / "0.png").read_bytes())
    _, said = run("acquire", out="photos/train/runs/one")
    assert (folder / "manifest.json").stat().st_mtime_ns == made
    other, said = run("acquire", out="other")
    assert AcquireRecord.read(other / "record.json").classes == ("cat", "dog")
    assert any("What tenfold itself wrote was not read: train/runs/one" in s for s in said.lines)
