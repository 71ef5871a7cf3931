"""Both splits as they lie in the run folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from builders.hostile_images import png_of_16_bits
from tenfold.cli.main import app
from tenfold.core.errors import DataError, SettingsError
from tenfold.core.records.data import BEFORE_THEY_WERE_FOUND, AcquireRecord, ValueRange, ValueRanges
from tenfold.data.dataset import read_split

RunStage = Callable[..., Path]


def test_lays_both_splits_down_and_describes_them(run_stage: RunStage) -> None:
    folder = run_stage("acquire", {"data.test_fraction": 0.25})
    record = AcquireRecord.read(folder / "record.json")
    assert record.source == "folder"
    assert record.classes == ("dark", "gray", "light")
    assert record.train_counts == (9, 9, 9)
    assert record.test_counts == (3, 3, 3)
    assert (record.image_size_px, record.channels) == ((8, 8), 1)
    train, test = read_split(folder, "train"), read_split(folder, "test")
    assert train.sha256() == record.train_sha256
    assert test.sha256() == record.test_sha256
    images = np.concatenate([train.images, test.images]).reshape(36, -1)
    assert len(np.unique(images, axis=0)) == 36  # every image once
    for split in (train, test):
        assert (np.clip(split.images[:].mean((1, 2, 3)) // 80, 0, 2) == split.labels).all()


def test_resizes_when_asked(run_stage: RunStage) -> None:
    folder = run_stage("acquire", {"data.image_size_px": 10})
    assert AcquireRecord.read(folder / "record.json").image_size_px == (10, 10)
    assert read_split(folder, "test").images.shape[1:] == (10, 10, 1)


def test_lists_what_cannot_be_read_and_strict_stops(
    run_stage: RunStage, image_folder: Path
) -> None:
    (image_folder / "gray" / "bad.png").write_bytes(b"no image")
    record = AcquireRecord.read(run_stage("acquire") / "record.json")
    assert len(record.left_out) == 1
    assert "bad.png" in str(record.left_out[0])
    with pytest.raises(DataError, match=r"bad\.png"):
        run_stage("acquire", {"data.is_strict": True}, out=image_folder.parent / "strict")


def test_mirroring_is_measured_said_and_overruled(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("ant", "bee"):
        for number in range(25):
            pixels = generator.integers(0, 40, (12, 12, 3), dtype=np.uint8)
            pixels[:, :4] += 150
            path = tmp_path / "data" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels if name == "ant" else pixels[:, ::-1].copy()).save(path)
    command = ["acquire", "--data", str(tmp_path / "data"), "--recipe", "fast", "--update"]
    command += ["--out", str(tmp_path / "run")]
    measured = []
    for assignment in ("auto", "yes"):
        result = CliRunner().invoke(
            app, [*command, "--set", f"data.mirror_keeps_class={assignment}"]
        )
        assert result.exit_code == 0, result.output
        record = AcquireRecord.read(tmp_path / "run" / "acquire" / "record.json")
        measured.append((record.mirror_keeps_class, record.mirroring and record.mirroring.pairs))
        said = " ".join(result.stderr.split())
        assert "ant and bee look like each other's mirror images" in said
        assert "--set data.mirror_keeps_class=" in said
    assert measured == [(False, (("ant", "bee"),)), (True, (("ant", "bee"),))]
    result = CliRunner().invoke(app, [*command, "--set", "data.mirror_keeps_class=perhaps"])
    assert isinstance(result.exception, SettingsError)
    assert "data.mirror_keeps_class" in str(result.exception)


def test_the_range_of_12_bit_images_is_found_recorded_and_said(
    run_stage: RunStage, image_folder: Path
) -> None:
    generator = np.random.default_rng(0)
    for number, path in enumerate(sorted(image_folder.rglob("*.png"))):
        values = generator.integers(0, 4096, (8, 8, 1)) // (1 + number // 12)
        path.write_bytes(png_of_16_bits(values))
    folder = run_stage("acquire")
    record = AcquireRecord.read(folder / "record.json")
    assert record.value_ranges == ValueRanges(integers=ValueRange(low=0, high=4095))
    assert any("0 to 4,095" in note for note in record.notes)
    assert len(np.unique(read_split(folder, "train").images)) > 200


def test_a_record_of_before_ranges_reads_16_bits_as_it_did(run_stage: RunStage) -> None:
    path = run_stage("acquire") / "record.json"
    record = AcquireRecord.read(path)
    assert record.value_ranges == ValueRanges()
    values = json.loads(path.read_text())
    del values["value_ranges"]
    path.write_text(json.dumps(values))
    assert AcquireRecord.read(path).value_ranges == BEFORE_THEY_WERE_FOUND


def test_groups_of_a_table_are_laid_down(run_stage: RunStage, tmp_path: Path) -> None:
    from tenfold.data.dataset import read_groups

    rng = np.random.default_rng(0)
    rows = ["path,label,patient"]
    for number in range(24):
        pixels = rng.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number // 3 % 2]},p{number // 3}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    folder = run_stage(
        "acquire", {"data.source": "table", "data.location": str(tmp_path / "labels.csv")}
    )
    groups = read_groups(folder)
    labels = read_split(folder, "train").labels
    assert len(groups) == len(labels)
    assert np.unique(groups, return_counts=True)[1].tolist() == [3] * (len(labels) // 3)
    assert all(len(set(labels[groups == group].tolist())) == 1 for group in groups)


def test_settings_of_a_table_are_used_by_a_table_alone() -> None:
    from tenfold.study.recipe import load_recipe
    from tenfold.study.stages.acquire import STAGE

    plain = load_recipe("cnn")
    named = plain.with_changes({"data.label_column": "breed"})
    assert "label_column" not in STAGE.settings_used(plain)["data"]
    assert STAGE.settings_used(named)["data"]["label_column"] == "breed"
    assert named.source_options(is_offline=True).label_column == "breed"
