"""What commands share: how a study is run, and how names from outside are printed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tenfold.cli import options
from tenfold.cli.options import run_study
from tenfold.cli.terminal import TerminalProgress
from tenfold.core.records.training import TrainRecord
from tenfold.core.text import csv_cell_text
from tenfold.study.recipe import StudySettings
from tenfold.study.request import StudyRequest
from tenfold.study.study import Study

CLASSES = (b"\xff\xfe", b"\x1b]0;pwned\x07\n[red]", "=1+1 \u202e→😀".encode(), b"-x")
STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def evil_folder(tmp_path: Path) -> Path:
    """Give a data folder whose name, classes and files are no text or steer a terminal."""
    folder = tmp_path / os.fsdecode(b"d\xe9 \x1b[31m")
    generator = np.random.default_rng(1)
    for place, name in enumerate(CLASSES):
        (folder / os.fsdecode(name)).mkdir(parents=True)
        for number in range(6):
            pixels = generator.integers(50 * place, 50 * place + 60, (8, 8), np.uint8)
            path = folder / os.fsdecode(name) / os.fsdecode(b"\x1b[5m\xe9 %d.png" % number)
            Image.fromarray(pixels).save(path)
    (folder / "-x" / os.fsdecode(b"\x1b[2Jbad\xe9.png")).write_bytes(b"broken")
    return folder


def narrow(monkeypatch: pytest.MonkeyPatch, encoding: str) -> Callable[[], str]:
    """Let standard output be of an encoding; give what reads it."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)

    def written() -> str:
        stream.flush()
        return stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]

    return written


def test_every_command_prints_through_one_function() -> None:
    paths = list(Path(options.__file__).parent.glob("*.py"))
    assert len(paths) > 4
    for path in paths:
        text = path.read_text("utf-8").replace("console.print(", "")
        assert not re.search(r"typer\.echo|click\.|\bprint\(", text), path


def test_progress_shows_names_instead_of_obeying_them() -> None:
    file = io.StringIO()
    progress = TerminalProgress(Console(file=file, force_terminal=True, color_system=None))
    progress.say("\x1b[2J[red]x[/red] \u202e")
    assert file.getvalue() == "\\x1b[2J[red]x[/red] \\u202e\n"
    with progress.task("\x1b]0;pwned\x07", 2) as bar:
        bar.advance(1, detail="\x1b[5m")
    assert "\x1b]0;" not in file.getvalue()
    assert "\x1b[5m" not in file.getvalue()


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_predictions_of_names_that_are_no_text(
    encoding: str,
    tenfold: Callable[..., Any],
    make_model_folder: Callable[..., Path],
    evil_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tenfold.training.device.available_cores", lambda: 1)
    classes = ("\x1b[31m→", "=1+1", "\u202e😀é")
    model = make_model_folder(classes)
    table = narrow(monkeypatch, encoding)
    result = tenfold("predict", model, evil_folder)
    assert result.code == 1
    assert len(table().splitlines()) == 24
    assert not STEERING.search(table() + result.err)
    assert "bad\\xe9.png: not an image" in result.err

    lines = narrow(monkeypatch, encoding)
    assert tenfold("predict", model, evil_folder, "--json").code == 1
    assert not STEERING.search(lines())
    answers = [json.loads(line) for line in lines().splitlines()]
    assert {best["class"] for line in answers if "top" in line for best in line["top"]} == {
        *classes
    }

    assert tenfold("predict", model, evil_folder, "--csv", "out.csv").code == 1
    with Path("out.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 25
    assert {csv_cell_text(row["class_3"]) for row in rows} <= {*classes, ""}
    assert "=" not in {row[f"class_{place}"][:1] for row in rows for place in (1, 2, 3)}


@pytest.mark.slow
def test_a_study_of_names_that_are_no_text(
    tenfold: Callable[..., Any], evil_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tenfold.training.device.available_cores", lambda: 1)
    out = tmp_path / os.fsdecode(b"\xff run \x1b[1m")
    small = ("conv_layers=1", "filters=[2]", "units=4")
    settings = [f"--set=model.{setting}" for setting in small]
    settings += ["--set=training.epochs=1", "--set=training.batch_size=8"]
    settings += ["--set=cross_validate.folds=2"]
    arguments = ("--data", evil_folder, "--out", out, "--recipe", "cnn", *settings)
    written = narrow(monkeypatch, "latin-1")
    result = tenfold("audit", *arguments)
    assert (result.code, STEERING.search(result.err + written())) == (0, None), result.err
    classes = json.loads((out / "acquire" / "record.json").read_text("utf-8"))["classes"]
    assert "\\xff\\xfe" in classes
    assert tenfold("audit", *arguments).err.endswith("audit: complete already\n")

    issues = (out / "audit" / "label_issues.csv").read_text("utf-8")
    (tmp_path / "mine.csv").write_text(issues.replace(",keep\n", ",relabel\n", 1), "utf-8")
    changed = tenfold("acquire", *arguments, "--update", "--corrections", tmp_path / "mine.csv")
    assert changed.code == 0, changed.err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_a_command_begins_with_its_process() -> None:
    script = (
        "import time; time.sleep(0.5); before = time.monotonic(); "
        "from tenfold.cli.options import _process_start; print(before - _process_start())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) >= 0.45


def test_a_budget_counts_from_the_commands_start(
    tmp_path: Path, tiny_settings: Callable[..., StudySettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start took longer than the budget: one step is done, no more."""
    settings = tiny_settings({"training.budget_seconds": 50.0, "training.epochs": 100})
    study = Study(settings, tmp_path / "run", started_at=time.monotonic() - 60)
    list(study.run("train"))
    record = TrainRecord.read(tmp_path / "run/train/record.json")
    assert sum(epoch.share for epoch in record.history) < 1


@pytest.mark.parametrize(("budget", "is_said"), [("5s", True), (None, False)])
def test_a_budget_says_that_folds_are_left_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    budget: str | None,
    is_said: bool,
) -> None:
    monkeypatch.setattr(Study, "run", lambda _study, *_stages, **_options: iter(()))
    request = StudyRequest(data="digits", recipe="fast", budget=budget, out=tmp_path / "run")
    run_study(request, device="cpu", is_update=False, is_offline=True, is_quiet=False)
    assert ("tenfold cross-validate --out" in capsys.readouterr().err) == is_said
