from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tenfold.core.errors import (
    DataError,
    RunFolderBusyError,
    RunFolderError,
    StorageError,
    UnknownNameError,
)
from tenfold.core.records.acquire import AcquireRecord
from tenfold.core.records.manifest import Manifest
from tenfold.core.run_folder import RunFolder
from tenfold.recipe import StudySettings
from tenfold.stages.stage import STAGES, StageContext, stage_order
from tenfold.study import Study

ALL_BUT_REPORT = ("explore", "evaluate", "cross-validate")
"""With what they need, every stage but the page, which takes the longest."""

Settings = Callable[..., StudySettings]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def run(settings: StudySettings, out: Path, *stages: str, **options: Any) -> list[str]:
    """Run stages; give the names of those that were not complete already."""
    outcomes = list(Study(settings, out, **options).run(*(stages or ALL_BUT_REPORT)))
    return [outcome.name for outcome in outcomes if outcome.was_run]


def manifest(out: Path, stage: str) -> Manifest:
    return Manifest.read(out / stage / "manifest.json")


def times(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(out.rglob("*")) if path.is_file()}


class TestOrder:
    @pytest.mark.slow
    def test_a_whole_study_runs_every_stage_once_in_order(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        outcomes = list(Study(tiny_settings(), out).run())
        assert tuple(outcome.name for outcome in outcomes) == stage_order()
        assert all(outcome.was_run and outcome.seconds > 0 for outcome in outcomes)
        assert outcomes[0].sentence().startswith("acquire: done in 0.")
        assert (out / "report" / "report.html").is_file()
        assert not list(out.glob(".*.partial"))
        assert not list(out.rglob(".work"))

        before = times(out)
        outcomes = list(Study(tiny_settings(), out).run())
        assert {outcome.sentence() for outcome in outcomes} == {
            f"{name}: complete already" for name in stage_order()
        }
        assert times(out) == before

    def test_a_stage_runs_with_what_it_needs_alone(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        assert run(tiny_settings(), out, "tune") == ["acquire", "tune"]
        assert run(tiny_settings(), out, "evaluate") == ["train", "evaluate"]

    def test_without_a_search_there_is_no_tune_stage(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        settings = tiny_settings({"tune.is_enabled": False})
        ran = run(settings, out)
        assert ran == ["acquire", "explore", "train", "evaluate", "cross-validate"]

    def test_work_left_in_a_complete_stage_is_removed(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        run(tiny_settings(), out, "explore")
        (out / "explore" / ".work").mkdir()
        (out / "explore" / ".work" / "attempts.json").write_text("{}")
        assert run(tiny_settings(), out, "explore") == []
        assert not (out / "explore" / ".work").exists()

    def test_an_unknown_stage_is_refused_before_anything_is_made(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'evaluate'"):
            run(tiny_settings(), out, "evaluat")
        assert not out.exists()

    def test_the_manifest_says_how_it_was_made(self, tiny_settings: Settings, out: Path) -> None:
        settings = tiny_settings()
        run(settings, out, "evaluate")
        train = manifest(out, "train")
        assert train.stage == "train"
        assert train.settings == STAGES["train"].settings_used(settings)
        assert set(train.inputs) == {"acquire", "tune"}
        assert {"tenfold", "python", "torch", "numpy"} <= set(train.versions)
        assert train.device
        assert train.attempts == 1
        assert set(manifest(out, "acquire").inputs) == {"source"}


class TestOtherSettings:
    def test_are_refused_with_the_differences_and_nothing_changes(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        run(tiny_settings(), out)
        before = times(out)
        with pytest.raises(RunFolderError, match=r"training\.epochs: 2 -> 3"):
            run(tiny_settings({"training.epochs": 3}), out)
        assert times(out) == before

    @pytest.mark.parametrize(
        ("change", "again"),
        [
            ({"cross_validate.folds": 3}, ["cross-validate"]),
            ({"explore.samples_per_class": 3}, ["explore"]),
            ({"training.precision": "auto"}, ["tune", "train", "evaluate", "cross-validate"]),
            ({"recipe.title": "Another"}, []),
            (
                {"seed": 1},
                ["acquire", "explore", "tune", "train", "evaluate", "cross-validate"],
            ),
        ],
    )
    def test_update_runs_again_what_they_touch(
        self,
        tiny_settings: Settings,
        out: Path,
        change: Mapping[str, Any],
        again: list[str],
    ) -> None:
        run(tiny_settings(), out)
        assert run(tiny_settings(change), out, update=True) == again
        assert run(tiny_settings(change), out) == []

    def test_update_removes_at_once_what_no_longer_fits(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        run(tiny_settings(), out)
        # Otherwise a report of the new settings could show the old cross-validation.
        ran = run(tiny_settings({"training.epochs": 1}), out, "train", update=True)
        assert ran == ["tune", "train"]
        assert not (out / "evaluate").exists()
        assert not (out / "cross-validate").exists()
        assert (out / "explore").exists()


class TestChangedFiles:
    def test_a_changed_byte_makes_the_stage_run_again(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        run(tiny_settings(), out)
        history = out / "train" / "history.csv"
        history.write_text(history.read_text().replace("epoch", "Epoch"))
        # The new training took other seconds, so what is built on it is made again too.
        assert run(tiny_settings(), out) == ["train", "evaluate"]
        assert run(tiny_settings(), out) == []

    def test_what_comes_out_the_same_touches_nothing_else(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        run(tiny_settings(), out)
        images = out / "acquire" / "train_images.npy"
        content = bytearray(images.read_bytes())
        content[-1] ^= 1
        images.write_bytes(content)
        assert run(tiny_settings(), out) == ["acquire"]

    @pytest.mark.parametrize("name", ["manifest.json", "predictions.npz"])
    def test_a_missing_file_makes_the_stage_run_again(
        self, tiny_settings: Settings, out: Path, name: str
    ) -> None:
        run(tiny_settings(), out, "evaluate")
        (out / "evaluate" / name).unlink()
        assert run(tiny_settings(), out, "evaluate") == ["evaluate"]

    def test_a_newer_version_of_a_stage_runs_again(
        self, tiny_settings: Settings, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(tiny_settings(), out, "explore")
        monkeypatch.setattr(STAGES["explore"], "version", 99, raising=True)
        assert run(tiny_settings(), out, "explore") == ["explore"]


class TestSource:
    def test_changed_files_are_acquired_again(
        self, tiny_settings: Settings, out: Path, image_folder: Path
    ) -> None:
        run(tiny_settings(), out)
        Image.new("L", (8, 8), 250).save(image_folder / "light" / "new.png")
        ran = run(tiny_settings(), out)
        assert ran == ["acquire", "explore", "tune", "train", "evaluate", "cross-validate"]
        record = AcquireRecord.read(out / "acquire" / "record.json")
        assert sum(record.train_counts) + sum(record.test_counts) == 37

    def test_files_that_are_gone_are_no_matter_once_acquired(
        self, tiny_settings: Settings, out: Path, image_folder: Path
    ) -> None:
        run(tiny_settings(), out, "acquire")
        shutil.rmtree(image_folder)
        ran = run(tiny_settings(), out)
        assert ran == ["explore", "tune", "train", "evaluate", "cross-validate"]

    def test_files_that_are_gone_before_are_a_clear_error(
        self, tiny_settings: Settings, out: Path, image_folder: Path
    ) -> None:
        settings = tiny_settings()
        shutil.rmtree(image_folder)
        with pytest.raises(RunFolderError, match="images is not there any more, and was not read"):
            run(settings, out)


class TestOneAtATime:
    def test_a_second_process_is_refused(self, tiny_settings: Settings, out: Path) -> None:
        code = (
            "import sys, pathlib\n"
            "from tenfold.core.run_folder import RunFolder\n"
            "with RunFolder(pathlib.Path(sys.argv[1])):\n"
            "    print('held', flush=True)\n"
            "    sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            with pytest.raises(RunFolderBusyError, match=f"Another process is working in {out}"):
                run(tiny_settings(), out)
            assert not (out / "settings.json").exists()
            holder.communicate()
        assert run(tiny_settings(), out, "acquire") == ["acquire"]

    def test_leaving_a_study_half_way_frees_the_folder(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        steps = Study(tiny_settings(), out).run("explore")
        assert next(steps).name == "acquire"
        with pytest.raises(RunFolderBusyError), RunFolder(out):
            pass
        steps.close()  # type: ignore[attr-defined]
        with RunFolder(out):
            pass


@pytest.fixture
def hidden_test_split(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a function that takes the test split's files away while the named stages run."""

    def hide(*names: str) -> None:
        for name in names:
            monkeypatch.setattr(STAGES[name], "run", _without_test_split(STAGES[name].run))

    return hide


def _without_test_split(work: Callable[[StageContext], None]) -> Callable[[StageContext], None]:
    def run_without(context: StageContext) -> None:
        acquired = context.run_folder / "acquire"
        files = list(acquired.glob("test_*.npy"))
        assert len(files) == 2
        for file in files:
            file.rename(context.run_folder.parent / file.name)
        try:
            work(context)
        finally:
            for file in files:
                (context.run_folder.parent / file.name).rename(file)

    return run_without


class TestTestSplit:
    @pytest.mark.slow
    def test_no_stage_but_evaluate_and_audit_needs_it(
        self, tiny_settings: Settings, out: Path, hidden_test_split: Callable[..., None]
    ) -> None:
        hidden_test_split(*(set(stage_order()) - {"acquire", "evaluate", "audit"}))
        settings = tiny_settings({"cross_validate.protocols": ["fresh", "warm-start"]})
        assert tuple(run(settings, out, *stage_order())) == stage_order()

    def test_evaluate_does(
        self, tiny_settings: Settings, out: Path, hidden_test_split: Callable[..., None]
    ) -> None:
        hidden_test_split("evaluate")
        with pytest.raises(RunFolderError, match=r"test_images\.npy cannot be read"):
            run(tiny_settings(), out, "evaluate")


def _full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class TestStorage:
    @pytest.mark.parametrize("stage", stage_order())
    def test_a_full_disk_stops_the_stage_and_a_later_run_completes(
        self, tiny_settings: Settings, out: Path, monkeypatch: pytest.MonkeyPatch, stage: str
    ) -> None:
        settings = tiny_settings()
        with monkeypatch.context() as patch:
            work = STAGES[stage].run

            def run_on_a_full_disk(context: StageContext) -> None:
                with monkeypatch.context() as inner:
                    inner.setattr("tenfold.core.files.os.fsync", _full_disk)
                    work(context)

            patch.setattr(STAGES[stage], "run", run_on_a_full_disk)
            with pytest.raises(StorageError, match=r"Cannot write .*The disk is full"):
                run(settings, out, stage)
        assert not (out / stage).exists()
        assert run(settings, out, stage)[-1] == stage
        assert manifest(out, stage).attempts == 2

    def test_a_read_only_place_is_a_clear_error(
        self, tiny_settings: Settings, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(Path, "mkdir", refuse)
        with pytest.raises(StorageError, match=r"read-only\. Choose another folder with --out"):
            run(tiny_settings(), out)

    def test_seconds_and_attempts_count_what_was_stopped(
        self, tiny_settings: Settings, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop(context: StageContext) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(STAGES["acquire"], "run", stop)
            for _ in range(2):
                with pytest.raises(KeyboardInterrupt):
                    run(tiny_settings(), out, "acquire")
        run(tiny_settings(), out, "acquire")
        assert manifest(out, "acquire").attempts == 3


def test_bad_data_leave_no_complete_stage(
    tiny_settings: Settings, out: Path, image_folder: Path
) -> None:
    for name in ("gray", "light"):
        shutil.rmtree(image_folder / name)
    with pytest.raises(DataError):
        run(tiny_settings(), out)
    assert not (out / "acquire").exists()


@pytest.fixture(autouse=True)
def _stages_as_they_were() -> Iterator[None]:
    """Stages are module-level objects: what a test puts on one must not stay."""
    before = {name: dict(vars(STAGES[name])) for name in STAGES}
    yield
    for name, attributes in before.items():
        vars(STAGES[name]).clear()
        vars(STAGES[name]).update(attributes)
