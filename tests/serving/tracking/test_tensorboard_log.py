"""A study in TensorBoard, read back by TensorBoard itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import StorageError
from tenfold.serving.tracking.facts import study_facts
from tenfold.serving.tracking.tensorboard_log import OWN_FILE, log_to_tensorboard

pytest.importorskip("tensorboard", reason="needs TensorBoard: pip install 'tenfold[tensorboard]'")


def events_of(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), {"images": 0, "tensors": 0, "scalars": 0}).Reload()


def test_tensorboard_reads_what_was_written(whole_study: Path, tmp_path: Path) -> None:
    facts = study_facts(whole_study)
    log = log_to_tensorboard(facts, tmp_path / "logs")
    assert log.folder == tmp_path / "logs" / "soft-blobs"
    found = events_of(log.folder)
    for name, points in facts.curves.items():
        events = found.Scalars(name)
        assert [event.step for event in events] == [point.step for point in points]
        values = np.float32([point.value for point in points])
        assert np.array_equal(np.float32([event.value for event in events]), values)
        assert events[0].wall_time == pytest.approx(points[0].at_ms / 1000)
    names = {*found.Tags()["scalars"]}
    assert {"test/accuracy", "test/log_loss"} <= names
    assert not [name for name in names if name.startswith("class/") or name.endswith("_low")]
    for name in names & {*facts.scores}:
        point = facts.scores[name]
        (event,) = found.Scalars(name)
        assert event.value == pytest.approx(point.value, rel=1e-6)
        assert event.step == 3
    (image,) = found.Images("figures/confusion-matrix")
    assert (image.width, image.height) == (6, 4)
    (settings,) = found.Tensors("settings/text_summary")
    assert b"training.epochs | 3 |" in settings.tensor_proto.string_val[0]
    plugins = found.summary_metadata["_hparams_/session_start_info"].plugin_data
    assert plugins.plugin_name == "hparams"
    (scores,) = found.Tensors("scores/text_summary")
    assert b"| class/gray/f1 |" in scores.tensor_proto.string_val[0]


def test_the_same_study_is_there_once(study: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    facts = study_facts(study)
    for is_unchanged in (False, True):
        log = log_to_tensorboard(facts, logs)
        assert log.is_unchanged is is_unchanged
    (logs / ".soft-blobs.partial").mkdir()  # a kill left it
    (logs / ".soft-blobs.partial" / "events.out.tfevents.1").write_bytes(b"torn")
    log_to_tensorboard(replace(facts, digest="more of it"), logs)
    assert [path.name for path in logs.iterdir()] == ["soft-blobs"]
    assert len([*log.folder.glob("events*")]) == 1
    assert json.loads((log.folder / OWN_FILE).read_text("utf-8"))["digest"] == "more of it"


def test_what_is_not_this_studys_stays(study: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    (logs / "soft-blobs").mkdir(parents=True)
    (logs / "soft-blobs" / "notes.txt").write_text("mine", "utf-8")
    facts = study_facts(study)
    others = [facts, replace(facts, study="e" * 64), replace(facts, training="d" * 64)]
    folders = [log_to_tensorboard(one, logs).folder for one in others]
    assert len({*folders}) == 3
    assert logs / "soft-blobs" not in folders
    assert (logs / "soft-blobs" / "notes.txt").read_text("utf-8") == "mine"
    assert [log_to_tensorboard(one, logs).is_unchanged for one in others] == [True] * 3


def test_a_folder_that_is_a_file_is_said(study: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    with pytest.raises(StorageError, match="logs"):
        log_to_tensorboard(study_facts(study), tmp_path / "logs")
