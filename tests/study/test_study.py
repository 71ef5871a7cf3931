"""Stages in order; what is complete, changed, cut off or lost."""

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
    ImageShapeError,
    RunFolderBusyError,
    RunFolderError,
    SettingsError,
    StorageError,
    TrainingError,
    UnknownNameError,
)
from tenfold.core.progress import SilentProgress
from tenfold.core.records.data import AcquireRecord
from tenfold.core.run_folder import Manifest, RunFolder
from tenfold.core.stages import stage_order
from tenfold.data.corrections import corrections_settings
from tenfold.report.records import read_study_records
from tenfold.study.comparison import compare_runs
from tenfold.study.recipe import StudySettings
from tenfold.study.runner import StageRunner
from tenfold.study.stages.stage import STAGES, StageContext
from tenfold.study.study import Study
from tenfold.training.model_folder import outdated_notice, read_model_folder

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


def contents(folder: Path) -> dict[str, bytes]:
    """Give the content of all files but hidden ones and those in hidden folders."""
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(name): (folder / name).read_bytes()
        for name in names
        if not any(part.startswith(".") for part in name.parts)
    }


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


class TestOrder:
    @pytest.mark.slow
    def test_a_whole_study_runs_every_stage_once_in_order(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        outcomes = list(Study(tiny_settings(), out).run())
        assert tuple(outcome.name for outcome in outcomes) == stage_order()
        assert all(outcome.was_run and outcome.seconds > 0 for outcome in outcomes)
        assert outcomes[0].sentence().startswith("acquire: done in ")
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

    def test_an_unknown_stage_is_refused_before_anything_ismade(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'evaluate'"):
            run(tiny_settings(), out, "evaluat")
        assert not out.exists()

    def test_the_manifest_says_how_it_wasmade(self, tiny_settings: Settings, out: Path) -> None:
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

    def test_what_no_longer_fits_stays_but_is_not_current(
        self, tiny_settings: Settings, out: Path
    ) -> None:
        run(tiny_settings(), out)
        settings = tiny_settings({"training.epochs": 1})
        assert run(settings, out, "train", update=True) == ["tune", "train"]
        assert (out / "evaluate" / "record.json").is_file()
        runner = StageRunner(settings, RunFolder(out), SilentProgress())
        assert runner.current_stages() == {"acquire", "explore", "tune", "train"}
        assert RunFolder(out).outdated() == {"evaluate", "cross-validate"}
        records = read_study_records(out)
        assert records.evaluate is None, "never beside another training"


class Killed(BaseException):
    """What nothing catches, as a kill is."""


def run_killed_at(stage: str, settings: StudySettings, out: Path, *stages: str) -> None:
    """Run stages of an update; the process is killed in one of them."""

    def kill(context: StageContext) -> None:
        (context.folder / "half.txt").write_text("half")
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(STAGES[stage], "run", kill)
        with pytest.raises(Killed):
            run(settings, out, *stages, update=True)


@pytest.fixture
def in_colour(tmp_path: Path) -> Path:
    """Give images of the classes of `image_folder` and one more, of another size."""
    for shade, name in enumerate(("dark", "gray", "light", "purple")):
        (tmp_path / "colour" / name).mkdir(parents=True)
        for number in range(8):
            image = Image.new("RGB", (9, 9), (60 * shade, number, 90))
            image.save(tmp_path / "colour" / name / f"{number}.png")
    return tmp_path / "colour"


class TestNothingIsLost:
    @pytest.fixture
    def settings(self, tiny_settings: Settings) -> Settings:
        cheap = {"tune.is_enabled": False, "evaluate.robustness_images": 0}
        return lambda changes=None: tiny_settings(cheap | dict(changes or {}))

    @pytest.mark.parametrize(
        "content",
        [
            b"id,action\ntrain/0,relable\n",
            b"id,action\nof/other,keep\n",
            b"\x00\xff\xfegarbage",
            b"",
            b"id,action\ntest/99,drop\n",
        ],
    )
    def test_corrections_that_cannot_be_used(
        self, settings: Settings, out: Path, content: bytes
    ) -> None:
        run(settings(), out, "evaluate")
        before = contents(out)
        changes = {"data.corrections": corrections_settings(Path("c.csv"), content).plain()}
        with pytest.raises(DataError):
            run(settings(changes), out, "evaluate", update=True, corrections=content)
        assert contents(out) == before
        assert run(settings(), out, "evaluate") == []

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"data.image_size_px": 1, "model.name": "resnet"}, ImageShapeError),
            ({"data.location": "one-class"}, DataError),
            ({"data.location": "empty"}, DataError),
            ({"audit.label_method": "cleanlab", "seed": 3}, SettingsError),
        ],
    )
    def test_what_cannot_be_done_with_the_data(
        self,
        settings: Settings,
        out: Path,
        monkeypatch: pytest.MonkeyPatch,
        change: dict[str, Any],
        error: type[Exception],
    ) -> None:
        tmp_path = out.parent
        run(settings(), out, "evaluate")
        before = contents(out)
        Image.new("L", (8, 8)).save(made(tmp_path / "one-class" / "a") / "a.png")
        made(tmp_path / "empty" / "a")
        monkeypatch.chdir(tmp_path)
        for name in ("cleanlab", "cleanlab.filter"):  # which another test may have imported
            monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(error):
            run(settings().with_changes(change), out, "evaluate", "audit", update=True)
        assert contents(out) == before
        assert run(settings(), out, "evaluate") == []

    def test_a_kill_at_any_stage_of_an_update_leaves_a_way_on(
        self, settings: Settings, out: Path, in_colour: Path
    ) -> None:
        run(settings(), out, "model")
        model = contents(out / "model")
        changed = settings({"data.location": str(in_colour)})
        for stage in ("train", "evaluate", "model"):
            run_killed_at(stage, changed, out, "model")
            assert contents(out / "model") == model
            read_model_folder(out)
            shown = read_study_records(out)
            assert len(shown.acquire.classes) == 4
            assert (shown.train is None) == (stage == "train")
            assert (shown.evaluate is None) == (stage != "model")
        assert RunFolder(out).outdated() == {"model"}
        assert outdated_notice(out) is not None
        assert run(changed, out, "model") == ["model"]
        assert outdated_notice(out) is None

    def test_going_back_finds_what_was_not_replaced(
        self, settings: Settings, out: Path, in_colour: Path
    ) -> None:
        run(settings(), out, "evaluate")
        run_killed_at("train", settings({"training.epochs": 9}), out, "evaluate")
        assert run(settings(), out, "evaluate") == [], "settings are taken with the first result"
        run_killed_at("train", settings({"data.location": str(in_colour)}), out, "evaluate")
        assert run(settings(), out, "evaluate", update=True) == ["acquire"]

    def test_an_edited_list_of_labels_is_kept(self, settings: Settings, out: Path) -> None:
        no_folds = {"cross_validate.is_enabled": False}
        run(settings(no_folds), out, "audit")
        edited = out / "audit" / "label_issues.csv"
        edited.write_text(edited.read_text() + "train/1,dark,light,0.1,drop\n")
        (out / "audit" / "my notes.txt").write_text("mine")
        content = edited.read_bytes()
        (out / "audit" / "my notes.txt").rename(out / "notes.txt")
        assert run(settings(no_folds), out, "audit") == []
        assert edited.read_bytes() == content
        (out / "notes.txt").rename(out / "audit" / "my notes.txt")
        assert run(settings(no_folds), out, "audit") == ["audit"]
        assert (out / "edited" / "audit" / "label_issues.csv").read_bytes() == content
        assert (out / "edited" / "audit" / "my notes.txt").read_text() == "mine"
        assert run(settings(no_folds), out, "audit") == []


class TestChangedSource:
    def test_a_report_stays_with_the_data_of_the_model(
        self, tiny_settings: Settings, out: Path, image_folder: Path
    ) -> None:
        settings = tiny_settings({"tune.is_enabled": False, "evaluate.robustness_images": 0})
        run(settings, out, "evaluate", "report")
        made(image_folder / "new")
        for number in range(6):
            Image.new("L", (8, 8), number).save(image_folder / "new" / f"{number}.png")
        assert run(settings, out, "report") == ["report"]
        page = (out / "report" / "report.html").read_text()
        assert "The data have changed since this study read them" in page
        assert f"tenfold run --out {out}" in page
        assert len(read_study_records(out).acquire.classes) == 3
        assert run(settings, out, "report") == []
        assert run(settings, out, "evaluate") == []
        shutil.rmtree(image_folder)
        image_folder.mkdir()
        assert run(settings, out, "train") == []

    def test_stages_of_earlier_data_are_not_shown(
        self, tiny_settings: Settings, out: Path, image_folder: Path
    ) -> None:
        settings = tiny_settings({"tune.is_enabled": False, "evaluate.robustness_images": 0})
        run(settings, out, "evaluate", "explore")
        shutil.rmtree(out / "explore")  # whatever brought the folder into this state
        train = out / "train" / "manifest.json"
        digest = manifest(out, "train").inputs["acquire"]
        train.write_text(train.read_text().replace(digest, "0" * 64))
        assert run(settings, out, "report") == ["report"]
        page = (out / "report" / "report.html").read_text()
        assert "Made with earlier data or settings, so not shown: train, evaluate" in page
        with pytest.raises(RunFolderError, match="Bring it up to date: tenfold run --out"):
            compare_runs([out, out.parent / "other"])


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


class TestOddData:
    @pytest.mark.slow
    def test_two_images_a_class_give_a_model_and_a_report(
        self, tiny_settings: Settings, out: Path, image_folder: Path
    ) -> None:
        for path in image_folder.glob("*/*"):
            if int("".join(filter(str.isdigit, path.stem)) or 0) > 1:
                path.unlink()
        settings = tiny_settings({"training.early_stopping_patience": 3})
        assert tuple(run(settings, out, *stage_order())) == stage_order()
        read_model_folder(out)
        page = (out / "report" / "report.html").read_text()
        for sentence in (
            "Cross-validation was left out",
            "The search was left out",
            "none was held",
        ):
            assert sentence in page

    @pytest.mark.slow
    def test_a_stage_that_fails_takes_no_other_with_it(
        self, tiny_settings: Settings, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(context: StageContext) -> None:
            raise TrainingError("The training diverged.")

        settings = tiny_settings({"tune.is_enabled": False})
        with monkeypatch.context() as patch:
            patch.setattr(STAGES["cross-validate"], "run", fail)
            outcomes = []
            with pytest.raises(TrainingError):
                outcomes.extend(Study(settings, out).run())
        page = (out / "report" / "report.html").read_text()
        assert "cross-validate could not be completed: The training diverged." in page
        assert (out / "audit" / "record.json").is_file()
        assert (out / "model" / "model.json").is_file()
        again = [outcome.name for outcome in Study(settings, out).run() if outcome.was_run]
        assert again == ["cross-validate", "audit", "model", "report"]


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
