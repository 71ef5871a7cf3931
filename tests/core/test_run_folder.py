"""Recorded versions."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tenfold.core.errors import RunFolderBusyError, RunFolderError, StorageError
from tenfold.core.files import set_aside
from tenfold.core.run_folder import (
    MANIFEST,
    WORK,
    Manifest,
    RunFolder,
    StageFolder,
    recorded_versions,
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.fixture
def stage(tmp_path: Path) -> StageFolder:
    return RunFolder(tmp_path).stage("train")


def manifest(fingerprint: str = "abc") -> Manifest:
    return Manifest(
        stage="train",
        fingerprint=fingerprint,
        settings={},
        inputs={},
        files={},
        versions={},
        device="cpu",
        started="2026-01-01T00:00:00+00:00",
        seconds=1.0,
        attempts=1,
    )


def completed(stage: StageFolder, fingerprint: str = "abc") -> StageFolder:
    stage.begin(fingerprint)
    (stage.partial / "weights.bin").write_bytes(b"weights")
    (stage.partial / "figures").mkdir()
    (stage.partial / "figures" / "a.svg").write_text("<svg/>")
    (stage.partial / WORK / "checkpoint.bin").write_bytes(b"work")
    stage.finish(manifest(fingerprint))
    return stage


class TestLock:
    def test_a_second_holder_is_refused_until_the_first_is_done(self, folder: RunFolder) -> None:
        with folder:
            other = RunFolder(folder.path)
            with pytest.raises(RunFolderBusyError, match=r"Another process .* --out"), other:
                pass
        with RunFolder(folder.path):
            pass

    def test_an_error_inside_frees_the_folder(self, folder: RunFolder) -> None:
        with pytest.raises(KeyError), folder:
            raise KeyError
        with RunFolder(folder.path):
            pass

    def test_a_killed_process_leaves_no_lock_behind(self, folder: RunFolder) -> None:
        code = (
            "import sys, pathlib\n"
            "from tenfold.core.run_folder import RunFolder\n"
            "with RunFolder(pathlib.Path(sys.argv[1])):\n"
            "    print('held', flush=True)\n"
            "    sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(folder.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(RunFolderBusyError), folder:
                pass
            holder.kill()
            holder.wait()
            with folder:
                pass

    def test_a_file_in_the_way_is_a_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        for place in (tmp_path / "file", tmp_path / "file" / "run"):
            with pytest.raises(StorageError, match="--out"), RunFolder(place):
                pass
        assert (tmp_path / "file").read_text() == "mine"


class TestSettings:
    def test_are_written_into_a_new_folder(self, folder: RunFolder) -> None:
        with folder:
            assert folder.settings() is None
            folder.adopt_settings({"seed": 1})
            assert folder.settings() == {"seed": 1}

    def test_the_same_settings_change_nothing(self, folder: RunFolder) -> None:
        with folder:
            folder.adopt_settings({"seed": 1})
            before = (folder.path / "settings.json").stat().st_mtime_ns
            folder.adopt_settings({"seed": 1})
            assert (folder.path / "settings.json").stat().st_mtime_ns == before

    def test_other_settings_are_refused_with_the_differences(self, folder: RunFolder) -> None:
        with folder:
            folder.adopt_settings({"seed": 1, "training": {"epochs": 2, "batch_size": 8}})
            with pytest.raises(RunFolderError) as caught:
                folder.adopt_settings({"seed": 1, "training": {"epochs": 3, "batch_size": 8}})
            assert "  training.epochs: 2 -> 3\nChoose" in str(caught.value)
            assert "--update" in str(caught.value)
            assert folder.settings() == {"seed": 1, "training": {"epochs": 2, "batch_size": 8}}

    def test_settings_that_came_later_are_no_ones_choice(self, folder: RunFolder) -> None:
        with folder:
            folder.adopt_settings({"seed": 0})
        with pytest.raises(RunFolderError, match="made by an earlier version") as caught:
            folder.check_settings({"seed": 0, "limit": 250})
        assert "limit: not set -> 250" in str(caught.value)
        with pytest.raises(RunFolderError, match="made by other settings"):
            folder.check_settings({"seed": 1, "limit": 250})
        folder.check_settings({"seed": 0, "label_column": None})  # not given: as before

    def test_at_most_eight_differences_are_shown(self, folder: RunFolder) -> None:
        with folder:
            folder.adopt_settings({f"name{number}": 0 for number in range(11)})
            with pytest.raises(RunFolderError, match="and 3 more"):
                folder.adopt_settings({f"name{number}": 1 for number in range(11)})

    def test_update_takes_the_new(self, folder: RunFolder) -> None:
        with folder:
            folder.adopt_settings({"seed": 1})
            folder.adopt_settings({"seed": 2}, update=True)
            assert folder.settings() == {"seed": 2}

    @pytest.mark.parametrize("content", ["", "{", "[1]", "3", "\x00"])
    def test_a_damaged_file_is_a_clear_error(self, folder: RunFolder, content: str) -> None:
        with folder:
            (folder.path / "settings.json").write_text(content)
            with pytest.raises(RunFolderError, match="not readable JSON"):
                folder.settings()

    def test_a_folder_with_other_things_is_refused(self, folder: RunFolder) -> None:
        folder.path.mkdir()
        for name in ("a", "b", "c", "d"):
            (folder.path / name).write_text("mine")
        with (
            folder,
            pytest.raises(RunFolderError, match=r"not empty \(it holds a, b, c and 1 more\)"),
        ):
            folder.adopt_settings({})
        assert not (folder.path / "settings.json").exists()


class TestStageFolder:
    def test_is_complete_only_when_finished(self, stage: StageFolder) -> None:
        assert stage.manifest() is None
        stage.begin("abc")
        (stage.partial / "weights.bin").write_bytes(b"weights")
        assert not stage.is_complete("abc")
        assert not stage.path.exists()
        stage.finish(manifest())
        assert stage.is_complete("abc")
        assert not stage.is_complete("other")
        assert not stage.partial.exists()

    def test_the_manifest_names_every_file_but_the_work(self, stage: StageFolder) -> None:
        stored = completed(stage).manifest()
        assert stored is not None
        assert set(stored.files) == {"weights.bin", "figures/a.svg"}
        assert not (stage.path / WORK).exists()

    @pytest.mark.parametrize("change", ["byte", "more", "fewer", "moved"])
    def test_any_change_of_the_files_makes_it_incomplete(
        self, stage: StageFolder, change: str
    ) -> None:
        completed(stage)
        file = stage.path / "figures" / "a.svg"
        if change == "byte":
            file.write_text("<svG/>")
        elif change == "more":
            (stage.path / "b.svg").write_text("")
        elif change == "fewer":
            file.unlink()
        else:
            file.rename(stage.path / "a.svg")
        assert not stage.is_complete("abc")

    def test_the_digest_follows_the_files_alone(self, tmp_path: Path) -> None:
        one = completed(RunFolder(tmp_path / "one").stage("train"), "abc")
        two = completed(RunFolder(tmp_path / "two").stage("train"), "other")
        assert one.digest() == two.digest()
        (two.path / "weights.bin").write_bytes(b"Weights")
        two.path.rename(two.partial)
        two.finish(manifest())
        assert one.digest() != two.digest()

    def test_a_second_beginning_keeps_what_the_first_left(self, stage: StageFolder) -> None:
        assert stage.begin("abc").count == 1
        (stage.partial / WORK / "checkpoint").write_text("half way")
        attempt = stage.begin("abc")
        assert attempt.count == 2
        assert (stage.partial / WORK / "checkpoint").read_text() == "half way"

    def test_seconds_of_earlier_attempts_add_up(self, stage: StageFolder) -> None:
        attempt = stage.begin("abc")
        stage.note(type(attempt)("abc", attempt.count, 12.5))
        assert stage.begin("abc").seconds == 12.5

    def test_another_fingerprint_starts_from_nothing(self, stage: StageFolder) -> None:
        stage.begin("abc")
        (stage.partial / WORK / "checkpoint").write_text("of other settings")
        assert stage.begin("other").count == 1
        assert not (stage.partial / WORK / "checkpoint").exists()

    @pytest.mark.parametrize(
        "content",
        ["", "{", "[]", "3", '{"fingerprint": "abc"}', '{"fingerprint": "abc", "count": {}}'],
    )
    def test_a_damaged_note_starts_from_nothing(self, stage: StageFolder, content: str) -> None:
        stage.begin("abc")
        (stage.partial / WORK / "attempts.json").write_text(content)
        (stage.partial / WORK / "checkpoint").write_text("of who knows what")
        assert stage.begin("abc").count == 1
        assert not (stage.partial / WORK / "checkpoint").exists()

    def test_finishing_replaces_an_older_result_and_drops_half_files(
        self, stage: StageFolder
    ) -> None:
        completed(stage)
        stage.begin("new")
        (stage.partial / ".record.json.part").write_text("half")
        (stage.partial / "record.json").write_text("{}")
        stage.finish(manifest("new"))
        assert sorted(entry.name for entry in stage.path.iterdir()) == [MANIFEST, "record.json"]
        assert stage.is_complete("new")

    def test_a_damaged_manifest_is_a_clear_error(self, stage: StageFolder) -> None:
        completed(stage)
        (stage.path / MANIFEST).write_text("{")
        with pytest.raises(RunFolderError, match="is not a Manifest"):
            stage.is_complete("abc")

    @pytest.mark.parametrize("problem", [OSError(errno.EIO, "broken"), KeyboardInterrupt()])
    def test_a_rename_that_fails_leaves_the_older_result(
        self, stage: StageFolder, monkeypatch: pytest.MonkeyPatch, problem: BaseException
    ) -> None:
        completed(stage)
        stage.begin("new")
        rename = Path.rename

        def fail_at_the_new(path: Path, target: Path) -> Path:
            if path == stage.partial:
                raise problem
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", fail_at_the_new)
        with pytest.raises((StorageError, KeyboardInterrupt)):
            stage.finish(manifest("new"))
        assert stage.is_complete("abc")

    @pytest.mark.parametrize("place", ["train", "repeats/run-2/train"])
    def test_a_kill_between_the_two_renames_is_mended(self, tmp_path: Path, place: str) -> None:
        stage = RunFolder((tmp_path / place).parent).stage("train")
        completed(stage)
        stage.path.rename(set_aside(stage.path))
        with RunFolder(tmp_path):
            assert stage.is_complete("abc")
        shutil.copytree(stage.path, set_aside(stage.path))  # or after both
        with RunFolder(tmp_path):
            assert stage.is_complete("abc")
            assert not set_aside(stage.path).exists()

    def test_what_a_person_changed_is_kept_once_each(self, tmp_path: Path) -> None:
        stage = completed(RunFolder(tmp_path).stage("train"))
        for content in ("mine", "mine again", "mine"):
            (stage.path / "figures" / "a.svg").write_text(content)
            stage.begin("abc")
            (stage.partial / "weights.bin").write_bytes(b"other weights")
            (stage.partial / "figures").mkdir(exist_ok=True)
            (stage.partial / "figures" / "a.svg").write_text("<svg/>")
            kept = stage.finish(manifest())
            assert all(path.read_text() == content for path in kept)
        edited = tmp_path / "edited" / "train" / "figures"
        assert {path.name for path in edited.iterdir()} == {"a.svg", "a-2.svg"}

    def test_a_link_in_the_place_of_a_stage_is_replaced_and_its_target_left(
        self, tmp_path: Path
    ) -> None:
        stage = completed(RunFolder(tmp_path / "run").stage("train"))
        stage.path.rename(tmp_path / "big disk")
        stage.path.symlink_to(tmp_path / "big disk")
        completed(stage, "new")
        assert stage.is_complete("new")
        assert (tmp_path / "big disk" / "weights.bin").is_file()

    def test_a_full_disk_leaves_the_stage_incomplete_and_mendable(
        self, stage: StageFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage.begin("abc")
        (stage.partial / "weights.bin").write_bytes(b"weights")

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(StorageError, match="The disk is full"):
                stage.finish(manifest())
        assert not stage.is_complete("abc")
        assert stage.begin("abc").count == 2
        stage.finish(manifest())
        assert stage.is_complete("abc")
        files = json.loads((stage.path / MANIFEST).read_text())["files"]
        assert list(files) == ["weights.bin"]


def test_python_and_what_results_depend_on_are_there() -> None:
    versions = recorded_versions()
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == version("torch")
    assert {"tenfold", "numpy", "pillow"} <= set(versions)
