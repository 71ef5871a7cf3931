"""`tenfold review` without its page: adding files, training again, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from tenfold.study.study import Study


@pytest.fixture
def run(tiny_settings: Any, tmp_path: Path) -> Path:
    out = tmp_path / "run"
    changes = {"cross_validate.is_enabled": False, "evaluate.robustness_images": 0}
    list(Study(tiny_settings(changes), out).run("audit"))
    return out


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["id,given,suggested,action", *lines, ""]))
    return path


def given(run: Path, place: int) -> str:
    import numpy as np

    classes = json.loads((run / "acquire" / "record.json").read_text())["classes"]
    return str(classes[np.load(run / "acquire" / "train_labels.npy")[place]])


@pytest.mark.slow
def test_two_files_that_disagree_and_training_again(
    tenfold: Any, run: Path, tmp_path: Path
) -> None:
    nothing = tenfold("review", run, "--retrain")
    assert nothing.code == 2
    assert "Nothing was decided" in nothing.err
    other = "light" if given(run, 0) != "light" else "dark"
    ann = write(
        tmp_path / "ann.csv", f"train/0,,{other},relabel", "train/1,,,keep", "test/0,,,drop"
    )
    ben = write(tmp_path / "ben.csv", "train/0,,,drop", "test/0,,,drop")
    added = tenfold("review", run, "--add", ann, "--reviewer", "ann")
    assert added.code == 0, added.err
    assert "2 decisions, 2 of them new to ann" in added.out
    assert "0 of them new" in tenfold("review", run, "--add", ann, "--reviewer", "ann").out
    both = tenfold("review", run, "--add", ben, "--reviewer", "ben")
    assert "disagree about 1 image" in both.out
    result = tenfold("review", run, "--retrain")
    assert result.code == 0, result.err
    assert "0 training labels changed, 0 training images dropped" in result.out
    assert "0 test labels changed, 1 test image dropped" in result.out
    assert (tmp_path / "run-mended" / "evaluate").is_dir()
    refused = tenfold("review", run, "--retrain", "--out", run)
    assert refused.code == 2
    assert "is the study itself" in refused.err


@pytest.mark.slow
def test_files_that_cannot_be_used_change_nothing(tenfold: Any, run: Path, tmp_path: Path) -> None:
    for line, problem in (
        ("train/0,,horse,relabel", "There is no class 'horse'"),
        ("train/0,zebra,,drop", "was made for other data"),
        ("train/9999,,,drop", "There is no image train/9999"),
    ):
        result = tenfold("review", run, "--add", write(tmp_path / "a.csv", line, "test/0,,,drop"))
        assert result.code == 2
        assert problem in result.err
        assert "Traceback" not in result.err
    assert not list((run / "review").glob("*"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--resolve", "--retrain"), "at a time"),
        (("--resolve", "--reviewer", "ann"), "Leave --reviewer out"),
        (("--out", "x"), "--out is the folder of --retrain"),
        (("--reviewer", "a/b"), "cannot be a file's name"),
        ((), "is not a run folder"),
    ],
)
def test_what_does_not_go_together(
    tenfold: Any, tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    result = tenfold("review", tmp_path / "nothing", "--port", "0", *options)
    assert result.code == 2
    assert problem in result.err
