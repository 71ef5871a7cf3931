"""Predictions for many files, as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tenfold
from builders.hostile_images import png_of_16_bits
from tenfold.core.records.data import AcquireRecord, ValueRange, ValueRanges
from tenfold.data.dataset import read_arrays, read_split
from tenfold.serving.prediction import Predicted, find_images, predict_files
from tenfold.serving.prediction_outputs import CsvOutput, JsonOutput, TableOutput

pytestmark = pytest.mark.usefixtures("one_core")

FolderMaker = Callable[..., Path]
CLASSES = ("cat", "a class with a very long name", '<owl>,\n"x"')
GOOD = Predicted("photos/1.jpg", np.array([0.25, 0.05, 0.7], np.float32))
BAD = Predicted("photos/2.jpg", None, "truncated")
STRANGE = Predicted("caf\udce9\x1b[31m.jpg", np.array([1, 0, 0], np.float32))


def save_noise(path: Path, size: tuple[int, int] = (8, 8), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


class TestFinding:
    def test_folders_are_searched_at_any_depth_in_natural_order(self, tmp_path: Path) -> None:
        for name in ("10.png", "2.png", "b/1.jpg", ".hidden/3.png"):
            save_noise(tmp_path / "in" / name)
        (tmp_path / "in" / "notes.txt").write_text("")
        (tmp_path / "in" / "b" / "back").symlink_to(tmp_path / "in")
        found = find_images([str(tmp_path / "in")])
        names = [Path(file.name).relative_to(tmp_path / "in").as_posix() for file in found.files]
        assert names == ["2.png", "10.png", "b/1.jpg"]
        assert found.ignored == 1

    def test_named_files_are_taken_whatever_their_name(self, tmp_path: Path) -> None:
        path = save_noise(tmp_path / "a.png").rename(tmp_path / "a.data")
        found = find_images([str(path), "missing"])
        assert [file.name for file in found.files] == [str(path), "missing"]

    def test_standard_input_is_read_once(self) -> None:
        found = find_images(["-", "-"], io.BytesIO(b"bytes"))
        assert [file.name for file in found.files] == ["-"]

    @pytest.mark.skipif(shutil.which("chmod") is None, reason="needs POSIX permissions")
    def test_a_folder_that_may_not_be_read_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("tenfold.data.sources.folder_files.os.scandir", refuse)
        found = find_images([str(tmp_path)])
        assert [left.reason for left in found.left_out] == ["Permission denied"]


def test_the_test_split_as_files_gives_the_evaluated_probabilities(
    run_folder: Path, tmp_path: Path
) -> None:
    acquired = AcquireRecord.read(run_folder / "acquire" / "record.json")
    test = read_split(run_folder / "acquire", "test")
    for number, image in enumerate(test.images):
        assert acquired.channels == 1
        path = tmp_path / "test" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(path)
    results = list(predict_files(tenfold.load(run_folder), find_images([str(tmp_path / "test")])))
    evaluated = read_arrays(run_folder / "evaluate" / "predictions.npz")["probabilities"]
    predicted = np.stack([one.probabilities for one in results if one.probabilities is not None])
    assert np.abs(predicted - evaluated).max() <= 1e-5


def test_the_batch_size_changes_nothing_but_the_last_digits(
    make_model_folder: FolderMaker, tmp_path: Path
) -> None:
    for number in range(23):
        save_noise(tmp_path / "in" / f"{number}.png", (9 + number, 30), seed=number)
    (tmp_path / "in" / "5.png").write_bytes(b"broken")
    model = tenfold.load(make_model_folder())
    found = find_images([str(tmp_path / "in")])
    whole = list(predict_files(model, found))
    assert [Path(one.name).stem for one in whole] == [str(number) for number in range(23)]
    assert [one.reason != "" for one in whole] == [number == 5 for number in range(23)]
    for size in (1, 4, 22):
        parts = list(predict_files(model, found, batch_size=size))
        for one, other in zip(whole, parts, strict=True):
            assert (one.name, one.reason) == (other.name, other.reason)
            if one.probabilities is not None:
                np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
                assert one.probabilities.sum() == pytest.approx(1)


def test_nothing_readable_is_no_error_of_its_own(
    make_model_folder: FolderMaker, tmp_path: Path
) -> None:
    results = list(
        predict_files(tenfold.load(make_model_folder()), find_images([str(tmp_path / "none")]))
    )
    assert [(one.probabilities, one.reason) for one in results] == [(None, "no such file")]


def test_the_most_probable_come_first_with_the_float_s_own_digits() -> None:
    probabilities = np.array([0.1, 0.6, 0.3], np.float32)
    assert Predicted("a", probabilities).top(2) == [(1, 0.6), (2, 0.3)]
    assert len(Predicted("a", probabilities).top(9)) == 3


@pytest.mark.slow
@pytest.mark.long
def test_memory_stays_flat_over_thousands_of_images(
    make_model_folder: FolderMaker, tmp_path: Path
) -> None:
    import resource

    path = save_noise(tmp_path / "a.png", (300, 300))
    model = tenfold.load(make_model_folder())

    def peak_kib(count: int) -> int:
        found = find_images([str(path)] * count)
        for _ in predict_files(model, found, batch_size=50):
            pass
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    first = peak_kib(300)
    assert peak_kib(1500) - first < 20_000


def test_numbers_that_are_not_finite_are_no_prediction(tmp_path: Path) -> None:
    class Overflowing:
        image_shape_ = (8, 8, 3)
        model_record_ = SimpleNamespace(value_ranges=ValueRanges(), guarantees=None)

        def predict_proba(self, images: np.ndarray) -> np.ndarray:
            rows = np.full((len(images), 2), 0.5, np.float32)
            rows[0] = np.nan
            return rows

    files = [str(save_noise(tmp_path / f"{n}.png", seed=n)) for n in range(2)]
    model: Any = Overflowing()
    first, second = predict_files(model, find_images(files), batch_size=2)
    assert first.probabilities is None
    assert "no finite probabilities" in first.reason
    assert second.probabilities is not None


def test_a_models_range_of_numbers_is_used(make_model_folder: FolderMaker, tmp_path: Path) -> None:
    ranges = ValueRanges(integers=ValueRange(low=1000, high=3000))
    folder = make_model_folder(image_shape=(4, 4, 1), kept_images=0, value_ranges=ranges)
    values = np.array([500, 1000, 2000, 60_000]).repeat(4).reshape(4, 4, 1)
    (tmp_path / "a.png").write_bytes(png_of_16_bits(values))
    model = tenfold.load(folder)
    assert model.model_record_.value_ranges == ranges
    (result,) = predict_files(model, find_images([str(tmp_path / "a.png")]))
    assert result.pixels is not None
    assert result.pixels[:, 0, 0].tolist() == [0, 0, 128, 255]


def test_the_table_has_a_line_an_image_with_equal_columns() -> None:
    lines: list[str] = []
    table = TableOutput(CLASSES, 2, lines.append)
    for result in (GOOD, BAD, Predicted("b", np.array([0.5, 0.5, 0], np.float32))):
        table.add(result)
    assert len(lines) == 2
    assert lines[0].endswith("photos/1.jpg")
    assert "70.0%" in lines[0]
    assert lines[0].count("%") == 2
    assert lines[0].index("photos") == lines[1].index("   b") + 3


def test_names_cannot_control_the_terminal() -> None:
    lines: list[str] = []
    TableOutput(CLASSES, 3, lines.append).add(STRANGE)
    lines[0].encode("utf-8")
    assert "\x1b" not in lines[0]
    assert "\n" not in lines[0]


def test_json_is_one_line_an_image() -> None:
    lines: list[str] = []
    output = JsonOutput(CLASSES, 9, lines.append)
    for result in (GOOD, BAD, STRANGE):
        output.add(result)
    good, bad, strange = (json.loads(line) for line in lines)
    assert good == {
        "image": "photos/1.jpg",
        "class": CLASSES[2],
        "probability": 0.7,
        "top": [
            {"class": CLASSES[2], "probability": 0.7},
            {"class": "cat", "probability": 0.25},
            {"class": CLASSES[1], "probability": 0.05},
        ],
    }
    assert bad == {"image": "photos/2.jpg", "error": "truncated"}
    assert strange["image"] == "caf\\xe9\x1b[31m.jpg"
    assert "".join(lines).encode()


def test_a_prediction_set_is_in_the_table_the_json_and_the_csv(tmp_path: Path) -> None:
    probabilities = np.array([0.25, 0.05, 0.7], np.float32)
    result = Predicted("1.jpg", probabilities, members=(2, 0))
    lines: list[str] = []
    TableOutput(CLASSES, 1, lines.append).add(result)
    assert "cat}" in lines[0]
    JsonOutput(CLASSES, 1, lines.append).add(result)
    assert json.loads(lines[1])["set"] == [CLASSES[2], "cat"]
    with CsvOutput.to_file(tmp_path / "out.csv", CLASSES, 1) as output:
        output.add(result)
    with (tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["set"] == f"{CLASSES[2]}; cat"


def test_csv_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.csv"
    with CsvOutput.to_file(path, CLASSES, 2) as output:
        for result in (GOOD, BAD, STRANGE):
            output.add(result)
        assert not path.exists()
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "image",
        "error",
        "unlike",
        "set",
        "class_1",
        "probability_1",
        "class_2",
        "probability_2",
    ]
    assert rows[0]["class_1"] == CLASSES[2]
    assert float(rows[0]["probability_2"]) == 0.25
    assert rows[1] == {
        "image": "photos/2.jpg",
        "error": "truncated",
        "unlike": "",
        "set": "",
        "class_1": "",
        "probability_1": "",
        "class_2": "",
        "probability_2": "",
    }


def test_a_csv_that_was_cut_off_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), CsvOutput.to_file(tmp_path / "a.csv", CLASSES, 2):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
