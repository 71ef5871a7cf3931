"""Comparing studies: the same test images, image by image, or a clear error."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.cli.main import main
from tenfold.core.errors import DataError, RunFolderError
from tenfold.data.dataset import read_arrays, read_split
from tenfold.study.comparison import compare_runs
from tenfold.study.recipe import StudySettings
from tenfold.study.study import Study


@pytest.fixture
def run(tiny_settings: Callable[..., StudySettings], tmp_path: Path) -> Callable[..., Path]:
    """Give a function that makes a run folder, evaluated unless another stage is named."""

    def make(
        name: str, changes: Mapping[str, Any] | None = None, *, stage: str = "evaluate"
    ) -> Path:
        cheap = {"tune.is_enabled": False, "evaluate.robustness_images": 0}
        list(Study(tiny_settings(cheap | dict(changes or {})), tmp_path / name).run(stage))
        return tmp_path / name

    return make


def correct(folder: Path) -> np.ndarray:
    predictions = read_arrays(folder / "evaluate" / "predictions.npz")
    is_right: np.ndarray = predictions["probabilities"].argmax(axis=1) == predictions["labels"]
    return is_right


def test_counts_images_that_only_one_gets_right(run: Callable[..., Path]) -> None:
    folders = [run("a"), run("b", {"model.units": 16, "training.epochs": 9}), run("c/a")]
    comparison = compare_runs(folders)
    assert [one.name for one in comparison.runs] == ["/".join(f.parts[-2:]) for f in folders]
    assert len(comparison.pairs) == 3
    first, second = correct(folders[0]), correct(folders[1])
    pair = comparison.pairs[0]
    assert pair.only_first == (first & ~second).sum()
    assert pair.only_second == (second & ~first).sum()
    assert pair.difference == pytest.approx(first.mean() - second.mean())
    assert pair.interval.holds(pair.difference)
    assert pair.adjusted_p_value >= pair.p_value
    same = comparison.pairs[1]  # the first and the third are the same study in two folders
    assert (same.only_first, same.only_second, same.p_value) == (0, 0, 1)


def test_other_test_images_cannot_be_compared(run: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="were tested on different images") as raised:
        compare_runs([run("a", {"seed": 1}), run("b", {"seed": 2})])
    assert "the same --seed" in str(raised.value)
    assert str(raised.value).count(" test images, SHA-256 ") == 2


def test_a_given_test_split_is_compared_whatever_the_seed(
    run: Callable[..., Path], image_folder: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    for split in ("train", "test"):
        shutil.copytree(image_folder, given / split)
    at = {"data.location": str(given)}
    folders = [run("a", at | {"seed": 1}), run("b", at | {"seed": 2})]
    orders = [[row.tobytes() for row in read_split(f / "acquire", "test").images] for f in folders]
    assert orders[0] != orders[1]
    by_image = [dict(zip(o, correct(f), strict=True)) for o, f in zip(orders, folders, strict=True)]
    first, second = (np.array([one[image] for image in sorted(one)]) for one in by_image)
    (pair,) = compare_runs(folders).pairs
    assert pair.only_first == (first & ~second).sum()
    assert pair.only_second == (second & ~first).sum()


def test_one_run_twice_is_no_comparison(run: Callable[..., Path]) -> None:
    folder = run("a")
    with pytest.raises(DataError, match="named twice"):
        compare_runs([folder, folder.parent / "a" / ".." / "a"])
    with pytest.raises(DataError, match="at least two run folders, got 1"):
        compare_runs([folder])


def test_a_run_that_was_not_evaluated_names_the_command(run: Callable[..., Path]) -> None:
    complete, half = run("a"), run("half", stage="train")
    with pytest.raises(RunFolderError, match=f"tenfold evaluate --out {half}"):
        compare_runs([complete, half])


def test_a_folder_without_a_study(run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not a run folder"):
        compare_runs([run("a"), tmp_path])


def test_the_command_prints_a_table_and_writes_a_page(
    run: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders = [str(run("a")), str(run("b", {"model.units": 16}))]
    page = tmp_path / "out" / "comparison.html"
    monkeypatch.setattr("sys.argv", ["tenfold", "compare", *folders, "--out", str(page)])
    with pytest.raises(SystemExit, match="0"):
        main()
    printed = capsys.readouterr().out
    assert "a − b" in printed
    assert "on this test set" in printed
    assert "</html>" in page.read_text()


def test_another_ending_is_refused_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["tenfold", "compare", "x", "y", "--out", "z.pdf"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "must end in .html or .svg, got 'z.pdf'" in capsys.readouterr().err
