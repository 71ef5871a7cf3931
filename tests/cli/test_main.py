"""The command line as a whole: help, lists, studies, what stops them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tenfold.cli.main import main
from tenfold.core.settings import recipe_names, recipe_text
from tenfold.core.stages import stage_help
from tenfold.data.sources.source import SOURCES
from tenfold.study.stages.stage import STAGES, StageContext

STAGE_HELP = stage_help()
COMMANDS = ("run", *STAGE_HELP, "recipes", "models", "data", "export", "serve", "ablate")
ON_LINUX = sys.platform.startswith("linux")

Command = Callable[..., Any]


class TestHelp:
    def test_names_every_command(self, tenfold: Command) -> None:
        result = tenfold("--help")
        assert result.code == 0
        assert "From labelled images to a classifier and the report that proves it" in result.out
        for name in COMMANDS:
            assert re.search(rf"^ *{name}\b", result.out, re.MULTILINE), name

    @pytest.mark.parametrize("command", COMMANDS)
    def test_of_every_command(self, tenfold: Command, command: str) -> None:
        result = tenfold(command, "--help")
        assert result.code == 0
        assert result.out.startswith("Usage: ")
        assert result.err == ""
        if command in STAGE_HELP:
            assert STAGE_HELP[command] in result.out
            for option in (
                "--data",
                "--recipe",
                "--model",
                "--out",
                "--seed",
                "--device",
                "--set",
                "--debug",
            ):
                assert option in result.out

    def test_no_command_shows_the_help(self, tenfold: Command) -> None:
        result = tenfold()
        assert result.code == 2
        assert "Usage: " in result.out + result.err

    def test_version(self, tenfold: Command) -> None:
        from tenfold import __version__

        assert tenfold("--version").out == f"tenfold {__version__}\n"

    def test_the_module_is_the_command(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tenfold", "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.startswith("tenfold ")


class TestLists:
    def test_recipes(self, tenfold: Command) -> None:
        lines = tenfold("recipes").out.splitlines()
        assert [line.split()[0] for line in lines] == list(recipe_names())
        assert all(len(line.split()) > 3 for line in lines)

    def test_one_recipe_s_text(self, tenfold: Command) -> None:
        assert tenfold("recipes", "report").out == recipe_text("report")

    def test_an_unknown_recipe(self, tenfold: Command) -> None:
        result = tenfold("recipes", "raport")
        assert result.code == 2
        assert result.err.startswith("Error: There is no recipe named 'raport'. Did you mean")

    def test_data(self, tenfold: Command) -> None:
        lines = tenfold("data").out.splitlines()
        assert [line.split()[0] for line in lines[::2]] == list(SOURCES)
        assert all("on this machine: " in line for line in lines[1::2])

    @pytest.mark.cifar10
    def test_data_says_where_cifar10_is(
        self, tenfold: Command, cifar10_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "on this machine: no" in tenfold("data").out
        monkeypatch.setenv("TENFOLD_CIFAR10", str(cifar10_path))
        assert str(cifar10_path) in tenfold("data").out


class TestWrongArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--recipe", "fsat"], "There is no recipe named 'fsat'. Did you mean 'fast'?"),
            (["--recipe", "none.toml"], "There is no recipe file none.toml"),
            (["--data", "digit"], "Did you mean 'digits'?"),
            (["--data", "no/such/place"], "no file or folder named 'no/such/place'"),
            (["--model", "resent"], "There is no model named 'resent'. Did you mean 'resnet'?"),
            (["--set", "training.epochs"], "Write name=value, for example training.epochs=3."),
            (["--set", "training.epoch=3"], "Did you mean 'training.epochs'?"),
            (["--set", "training.epochs=0"], "'training.epochs' is not valid"),
            (["--set", "model.name=cnm"], "There is no model named 'cnm'. Did you mean 'cnn'?"),
            (["--set", "training.checkpoint_seconds=inf"], "should be a finite number, got inf"),
            (["--device", "gpu"], "There is no device named 'gpu'."),
            (["--out", "file"], "A file stands where a folder is needed."),
            (["--out", "file/run"], "A part of this path is a file, not a folder."),
            (["--out", "full"], "is not a run folder and not empty (it holds thesis.txt)"),
            (["--out", "broken"], "settings.json is not readable JSON"),
        ],
    )
    def test_are_one_message_and_nothing_is_lost(
        self, tenfold: Command, tmp_path: Path, arguments: list[str], message: str
    ) -> None:
        (tmp_path / "file").write_text("mine")
        for name, file in (("full", "thesis.txt"), ("broken", "settings.json")):
            (tmp_path / name).mkdir()
            (tmp_path / name / file).write_text("mine")
        result = tenfold("run", *arguments)
        assert result.code == 2
        assert message in result.err
        assert "Error: " in result.err
        assert "Traceback" not in result.err
        assert result.out == ""
        assert (tmp_path / "file").read_text() == "mine"
        assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"

    @pytest.mark.parametrize(
        "arguments",
        [
            ["rnu"],
            ["run", "--sed", "3"],
            ["run", "--seed", "-1"],
            ["run", "--seed", "x"],
            ["run", "3"],
        ],
    )
    def test_usage_errors_say_how(self, tenfold: Command, arguments: list[str]) -> None:
        result = tenfold(*arguments)
        assert result.code == 2
        assert "Usage: tenfold" in result.err
        assert "Traceback" not in result.err

    @pytest.mark.slow
    def test_debug_shows_the_trace(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tenfold", "run", "--recipe", "fsat", "--debug"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
            timeout=120,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("Traceback")
        assert "UnknownNameError: There is no recipe named 'fsat'" in done.stderr


class TestRun:
    @pytest.mark.slow
    def test_says_what_it_does_and_where_the_report_is(
        self, tenfold: Command, run_folder: str
    ) -> None:
        result = tenfold("run", "--out", run_folder)
        assert result.code == 0
        report = Path(run_folder).resolve() / "report" / "report.html"
        assert result.out == f"Report: {report}\n"
        assert report.is_file()
        lines = result.err.splitlines()
        assert lines[0].endswith(", as the run folder was made with.")
        assert lines[1] == f"Run folder: {run_folder}"
        done = [line.partition(": done in ")[0] for line in lines if ": done in " in line]
        assert done == list(STAGE_HELP)
        best = json.loads((Path(run_folder) / "tune" / "record.json").read_text())
        assert [line for line in lines if line.startswith("Best of 2 trials: ")]
        assert f"model.units={best['best_parameters']['model.units']}" in result.err

        again = tenfold("run", "--out", run_folder, "--quiet")
        assert (again.code, again.out, again.err) == (0, f"Report: {report}\n", "")

        one = tenfold("evaluate", "--out", run_folder)
        assert one.out == ""
        assert one.err.splitlines()[-1] == "evaluate: complete already"

    def test_a_stage_alone_runs_what_it_needs(self, tenfold: Command, run_folder: str) -> None:
        result = tenfold("explore", "--out", run_folder)
        first = [line.split()[0] for line in result.err.splitlines()]
        assert [word for word in first if word[:-1] in STAGE_HELP] == ["acquire:", "explore:"]

    def test_seed_and_settings_are_taken(self, tenfold: Command, image_folder: Path) -> None:
        result = tenfold(
            *("acquire", "--data", str(image_folder), "--recipe", "fast", "--seed", "7"),
            *("--set", "data.test_fraction=0.5", "--set", "training.epochs=1"),
        )
        assert result.code == 0
        assert f"Data: {image_folder}, read as folder" in result.err
        stored = json.loads(Path("runs/fast-folder/settings.json").read_text())
        assert (stored["seed"], stored["training"]["epochs"]) == (7, 1)
        record = json.loads(Path("runs/fast-folder/acquire/record.json").read_text())
        assert record["test_counts"] == [6, 6, 6]

    def test_other_settings_need_another_folder_or_update(
        self, tenfold: Command, run_folder: str
    ) -> None:
        tenfold("explore", "--out", run_folder)
        result = tenfold("explore", "--out", run_folder, "--seed", "1")
        assert result.code == 2
        assert "made by other settings:\n  seed: 0 -> 1\n" in result.err
        result = tenfold("explore", "--out", run_folder, "--seed", "1", "--update")
        assert result.code == 0
        assert "explore: done in" in result.err

    def test_corrections_are_taken_named_and_given_back(
        self, tenfold: Command, run_folder: str, tmp_path: Path
    ) -> None:
        assert tenfold("audit", "--out", run_folder, "--quiet").code == 0
        issues = Path(run_folder) / "audit" / "label_issues.csv"
        mine = tmp_path / "mine.csv"
        mine.write_text("id,action\ntrain/0,drop\ntest/1,drop\n")
        refused = tenfold("report", "--out", run_folder, "--corrections", str(mine))
        assert refused.code == 2
        assert "data.corrections" in refused.err
        arguments = ("--out", run_folder, "--update", "--quiet", "--corrections")
        assert tenfold("audit", *arguments, str(mine)).code == 0
        assert tenfold("report", "--out", run_folder).code == 0
        page = (Path(run_folder) / "report" / "report.html").read_text()
        assert "Labels were corrected by hand with mine.csv" in page
        assert "labels as the source gave them" in page
        assert tenfold("acquire", *arguments, str(issues)).code == 0
        mine.write_text("id,given,suggested,action\ntrain/0,,kat,relabel\n")
        wrong = tenfold("acquire", *arguments, str(mine))
        assert wrong.code == 2
        assert "line 2: There is no class 'kat'" in wrong.err
        assert tenfold("acquire", *arguments, "none").code == 0

    def test_strict_stops_at_a_bad_image(self, tenfold: Command, image_folder: Path) -> None:
        (image_folder / "gray" / "bad.png").write_bytes(b"no image")
        result = tenfold("acquire", "--data", str(image_folder), "--strict")
        assert result.code == 2
        assert "bad.png" in result.err


class TestDefaultData:
    def test_digits_where_cifar10_is_not_on_this_machine(self, tenfold: Command) -> None:
        result = tenfold("acquire")
        assert result.code == 0
        assert (
            "Data: scikit-learn's bundled digits, because CIFAR-10 is not on this machine. For "
            "CIFAR-10: tenfold run --data cifar10" in result.err
        )
        assert Path("runs/fast-digits/acquire/manifest.json").is_file()

    @pytest.mark.cifar10
    @pytest.mark.slow
    @pytest.mark.long
    def test_cifar10_where_it_is(
        self, tenfold: Command, cifar10_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TENFOLD_CIFAR10", str(cifar10_path))
        result = tenfold("acquire")
        assert result.code == 0
        assert f"because it is on this machine at {cifar10_path}" in result.err
        assert "tenfold run --data digits" in result.err
        record = json.loads(Path("runs/fast-cifar10/acquire/record.json").read_text())
        assert record["train_counts"] == [5000] * 10


class TestStopped:
    @pytest.mark.skipif(not ON_LINUX, reason="sends a Unix signal")
    @pytest.mark.slow
    def test_ctrl_c_says_how_to_go_on_and_that_works(
        self, tenfold: Command, run_folder: str
    ) -> None:
        command = ["explore", "--out", run_folder]
        code = (  # waits inside the stage's work, so that the signal surely comes in its midst
            "import time\nfrom tenfold.cli.main import main\n"
            "from tenfold.study.stages.stage import STAGES\n"
            "STAGES['explore'].run = lambda context: (print('in it', flush=True), time.sleep(99))\n"
            "main()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "in it\n"
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert err.splitlines()[-1] == (
            "Stopped. What is complete is kept; to go on, run again: "
            f"tenfold explore --out {run_folder}"
        )
        assert "Traceback" not in err
        assert "Aborted" not in err
        result = tenfold(*command)
        assert result.code == 0
        assert "acquire: complete already" in result.err
        assert "explore: done in" in result.err

    def test_another_process_in_the_folder(self, tenfold: Command, run_folder: str) -> None:
        from tenfold.core.run_folder import RunFolder

        with RunFolder(Path(run_folder)):
            result = tenfold("run", "--out", run_folder)
        assert result.code == 2
        assert "Error: Another process is working in" in result.err


class TestStorage:
    def test_a_full_disk_in_the_midst_of_a_stage(
        self, tenfold: Command, run_folder: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(context: StageContext) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setitem(vars(STAGES["explore"]), "run", full)
            result = tenfold("explore", "--out", run_folder)
        assert result.code == 2
        assert "The disk is full. Free some space and run the same command again" in result.err
        assert result.err.endswith(
            f"To go on afterwards, run again: tenfold explore --out {run_folder}\n"
        )
        assert "Traceback" not in result.err
        assert tenfold("explore", "--out", run_folder).code == 0

    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Iterator[Path]:
        """Give a folder on a file system of its own, of 64 KiB."""
        if not ON_LINUX or os.geteuid() != 0:
            pytest.skip("only root can mount a file system")
        place = tmp_path / "disk"
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("file systems cannot be mounted here")
        yield place
        subprocess.run(["umount", str(place)], check=True)

    def remount(self, place: Path, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)

    @pytest.mark.parametrize("free_kib", range(0, 56, 8))
    def test_a_really_full_disk(
        self, tenfold: Command, run_folder: str, small_disk: Path, free_kib: int
    ) -> None:
        """However little is free, there is a message, and with more room the same command ends."""
        out = small_disk / "run"
        shutil.copytree(run_folder, out)
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1024))
        os.truncate(ballast, ballast.stat().st_size - 1024 * free_kib)
        result = tenfold("evaluate", "--out", str(out))
        assert result.code == 2
        assert "The disk is full" in result.err
        assert "Traceback" not in result.err
        ballast.unlink()
        self.remount(small_disk, "size=1m")
        result = tenfold("evaluate", "--out", str(out))
        assert result.code == 0, result.err

    def test_a_read_only_disk(self, tenfold: Command, image_folder: Path, small_disk: Path) -> None:
        self.remount(small_disk, "ro")
        command = ["acquire", "--data", str(image_folder), "--out", str(small_disk / "run")]
        result = tenfold(*command)
        assert result.code == 2
        assert "The file system is read-only. Choose another folder with --out." in result.err
        self.remount(small_disk, "rw")
        assert tenfold(*command).code == 0


def test_a_closed_stream_takes_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    monkeypatch.setattr(sys, "argv", ["tenfold", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert sys.stdin.read() == ""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
