"""Parquet: what Hugging Face's library writes, what pandas writes, and what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.parquet import SOURCE, split_of_file
from tenfold.data.sources.parquet_files import ParquetImages
from tenfold.data.sources.source import SourceOptions

COUNT = 100
NAMES = ("cat", "dog")
FEATURES = {"image": {"_type": "Image"}, "label": {"names": list(NAMES), "_type": "ClassLabel"}}


def _png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), number).save(file, "PNG")
    return file.getvalue()


def _hugging_face(numbers: Sequence[int], labels: Sequence[int] | None = None) -> pa.Table:
    images = [{"bytes": _png(number), "path": f"{number}.png"} for number in numbers]
    found = [number % 2 for number in numbers] if labels is None else list(labels)
    table = pa.table({"image": images, "label": pa.array(found, pa.int64())})
    info = json.dumps({"info": {"features": FEATURES}})
    return table.replace_schema_metadata({b"huggingface": info.encode()})


def _load(path: Path, **options: Any) -> ImageDataset:
    assert find_source(str(path))[0] is SOURCE
    return SOURCE.load(path, SourceOptions(**options), SilentProgress())


def _refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        _load(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def _check(dataset: ImageDataset, count: int = COUNT) -> None:
    assert dataset.classes == NAMES
    seen = []
    for split in (dataset.train, dataset.test):
        for image, label in zip(split.images, split.labels, strict=True):
            seen.append(int(image[0, 0, 0]))
            assert label == seen[-1] % 2
    assert sorted(seen) == list(range(count))


def test_hugging_face_s_shards_by_split(tmp_path: Path) -> None:
    folder = tmp_path / "pets" / "data"
    folder.mkdir(parents=True)
    for name, numbers in {
        "train-00000-of-00002": range(40),
        "train-00001-of-00002": range(40, 70),
        "validation-00000-of-00001": range(70, 80),
        "test-00000-of-00001": range(80, 100),
    }.items():
        pq.write_table(_hugging_face(numbers), folder / f"{name}.parquet", row_group_size=7)
    dataset = _load(folder.parent)
    _check(dataset)
    assert len(dataset.test) == 20
    assert dataset.is_validation is not None
    assert dataset.is_validation.sum() == 10
    assert dataset.title == "pets"
    # A test split whose labels are kept back is no error.
    table = _hugging_face(range(80, 100), [-1] * 20)
    pq.write_table(table, folder / "test-00000-of-00001.parquet")
    dataset = _load(folder.parent)
    _check(dataset, 80)
    assert any("without a label was not used: data/test-00000" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00003.parquet", "train"),
        ("data/validation-00000-of-00003-a1b2c3d4e5f60718.parquet", "validation"),
        ("default/test/0000.parquet", "test"),
        ("Training.parquet", "train"),
        ("part-0.parquet", None),
    ],
)
def test_splits_by_the_names_of_files(name: str, split: str | None) -> None:
    assert split_of_file(Path("d") / name, Path("d")) == split


def test_a_table_with_bytes_split_and_group(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    numbers = range(COUNT)
    table = pa.table(
        {
            "caption": [f"a picture {number}" for number in numbers],
            "photo": [_png(number) for number in numbers],
            "species": pa.array([NAMES[number % 2] for number in numbers]).dictionary_encode(),
            "split": ["test" if number >= 80 else "train" for number in numbers],
            "patient": [number // 4 for number in numbers],
        }
    )
    pq.write_table(table, path)
    dataset = _load(path)
    _check(dataset)
    assert len(dataset.test) == 20
    assert dataset.train_groups is not None
    assert len(set(dataset.train_groups.tolist())) == 20


def test_paths_lead_to_files_beside(image_tree: Callable[..., Path]) -> None:
    folder = image_tree({f"images/{number}.png": number for number in range(COUNT)})
    rows = {
        "file_name": [f"images/{n}.png" for n in range(COUNT)],
        "label": [NAMES[n % 2] for n in range(COUNT)],
    }
    pq.write_table(pa.table(rows), folder / "metadata.parquet")
    _check(_load(folder / "metadata.parquet"))
    rows["file_name"][6] = "images/600.png"
    pq.write_table(pa.table(rows), folder / "metadata.parquet")
    refusal = _refusal(folder / "metadata.parquet")
    assert "row 7 of metadata.parquet: images/600.png is no file. Did you mean" in refusal


def test_images_are_read_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(_hugging_face(range(COUNT)), path, row_group_size=70)
    images = ParquetImages(tmp_path, [path], "image.bytes")
    for row in [0, 99, 69, 70, *np.random.default_rng(0).permutation(COUNT).tolist()]:
        assert images[row].read_bytes() == _png(row)
    assert str(images[70]) == f"{tmp_path}: row 71 of a.parquet"
    with pytest.raises(IndexError):
        images[COUNT]


def test_an_empty_or_damaged_cell_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    cells = [None, b"no image", *map(_png, range(2, COUNT))]
    labels = [NAMES[number % 2] for number in range(COUNT)]
    pq.write_table(pa.table({"image": cells, "label": labels}), path)
    dataset = _load(path)
    assert [image.path for image in dataset.left_out] == [
        f"{tmp_path}: row {row} of a.parquet" for row in (1, 2)
    ]
    assert dataset.left_out[0].reason == "there is no image in the row"


@pytest.mark.parametrize(
    ("column", "asked", "message"),
    [
        (
            {},
            {"label_column": "lable"},
            "no column 'lable' (data.label_column). Did you mean 'label'?",
        ),
        ({"boxes": [[1]] * COUNT}, {"label_column": "boxes"}, "'boxes': it is of type list"),
        ({"boxes": [[1]] * COUNT}, {"path_column": "boxes"}, "'boxes': it is of type list"),
        (
            {"label": [None] + ["cat", "dog"] * (COUNT // 2 - 1) + ["cat"]},
            {},
            "row 1 of a.parquet: no label in the column",
        ),
        ({"label": [float("nan")] + [1.0] * (COUNT - 1)}, {}, "row 1 of a.parquet: no label"),
        (
            {"split": ["tarin"] + ["train"] * (COUNT - 1)},
            {},
            "row 1 of a.parquet: the split 'tarin' is",
        ),
    ],
)
def test_wrong_columns_are_named(
    tmp_path: Path, column: dict[str, Any], asked: dict[str, str], message: str
) -> None:
    cells = {
        "image": [_png(n) for n in range(COUNT)],
        "label": [NAMES[n % 2] for n in range(COUNT)],
    }
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({**cells, **column}), path)
    assert message in _refusal(path, **asked)


def test_images_as_numbers_are_named_with_their_type(tmp_path: Path) -> None:
    table = pa.table({"pixels": [[1, 2, 3]] * 4, "label": ["a", "b"] * 2})
    pq.write_table(table, tmp_path / "a.parquet")
    refusal = _refusal(tmp_path / "a.parquet")
    assert "no column that is known to hold the image files" in refusal
    assert "Not read: pixels (list<" in refusal


def test_files_of_other_types_are_refused(tmp_path: Path) -> None:
    pq.write_table(_hugging_face(range(20)), tmp_path / "train-0.parquet")
    other = pa.table({"image": [_png(1)], "label": ["cat"]})
    pq.write_table(other, tmp_path / "train-1.parquet")
    assert "train-1.parquet has another type in the column" in _refusal(tmp_path)
    pq.write_table(other.drop_columns(["label"]), tmp_path / "train-1.parquet")
    assert "train-1.parquet has no column 'label'" in _refusal(tmp_path)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_cut_file_is_refused(tmp_path: Path, part: float) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(_hugging_face(range(20)), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    assert "is no whole Parquet file" in _refusal(path)
    assert SOURCE.fingerprint(path)
