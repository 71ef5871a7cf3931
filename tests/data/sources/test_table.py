"""Tables of image files: what columns are found, and what is refused with a line's number."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.source import SourceOptions
from tenfold.data.sources.table import SOURCE

COUNT = 24


@pytest.fixture
def folder(image_tree: Callable[..., Path]) -> Path:
    """Give a folder of images, the number in the name being the brightness."""
    return image_tree({f"images/{number}.png": number for number in range(COUNT)})


def _label(number: int) -> str:
    return ("cat", "dog")[number % 2]


def _write(folder: Path, text: str, name: str = "labels.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def _csv(
    folder: Path, *columns: str, separator: str = ",", name: str = "labels.csv", **extra: Any
) -> Path:
    rows = [separator.join([*(columns or ("path", "label")), *extra])]
    for number in range(COUNT):
        values = [f"images/{number}.png", _label(number), *(f(number) for f in extra.values())]
        rows.append(separator.join(map(str, values)))
    return _write(folder, "\n".join(rows), name)


def _load(path: Path, **options: Any) -> ImageDataset:
    return SOURCE.load(path, SourceOptions(**options), SilentProgress())


def _refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        _load(path, **options)
    message = str(caught.value)
    assert str(path) in message
    return message


def _numbers(images: Any) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


def _check(dataset: ImageDataset, count: int = COUNT) -> None:
    assert dataset.classes == ("cat", "dog")
    numbers = []
    for split in (dataset.train, dataset.test):
        for number, label in zip(_numbers(split.images), split.labels, strict=True):
            assert dataset.classes[label] == _label(number)
            numbers.append(number)
    assert sorted(numbers) == list(range(count))


def test_a_table_without_splits_is_split(folder: Path) -> None:
    path = _csv(folder)
    assert find_source(str(path))[0] is SOURCE
    dataset = _load(path)
    _check(dataset)
    assert len(dataset.test) == 4
    assert dataset.split_note.startswith("Split by tenfold: 20%")
    assert "path 'path', label 'label'" in dataset.notes[0]


@pytest.mark.parametrize(
    "columns",
    [("Image Path", "Class"), ("filename", "species"), ("weird", "odd"), ("image_id", "dx")],
)
def test_columns_are_known_by_name_or_content(folder: Path, columns: tuple[str, str]) -> None:
    _check(_load(_csv(folder, *columns)))


@pytest.mark.parametrize(
    ("name", "separator"), [("a.tsv", "\t"), ("a.csv", ";"), ("a.csv", "\t"), ("a.TSV", ",")]
)
def test_other_separators_are_understood(folder: Path, name: str, separator: str) -> None:
    _check(_load(_csv(folder, name=name, separator=separator)))


def test_json_lines_are_read(folder: Path) -> None:
    lines = [
        json.dumps({"file_name": f"images/{n}.png", "label": _label(n), "boxes": [1]})
        for n in range(COUNT)
    ]
    _check(_load(_write(folder, "\n\n".join(lines), "metadata.jsonl")))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_spreadsheets_write_is_read(folder: Path, encoding: str) -> None:
    path = _csv(folder)
    path.write_bytes(path.read_text().replace("\n", "\r\n").encode(encoding))
    _check(_load(path))


def test_backslashes_and_absolute_paths_lead_to_files(folder: Path) -> None:
    text = _csv(folder).read_text()
    _check(_load(_write(folder, text.replace("images/", "images\\"))))
    (folder / "tables").mkdir()
    path = _write(folder / "tables", text.replace("images/", f"{folder}/images/"))
    _check(_load(path))
    _check(_load(_write(folder / "tables", text.replace("images/", "../images/"))))


def _split(number: int) -> str:
    return ("Training", "Training", "val", "TEST")[number // 2 % 4]


def test_the_table_s_own_splits_are_kept(folder: Path) -> None:
    dataset = _load(_csv(folder, split=_split))
    _check(dataset)
    assert {_split(number) for number in _numbers(dataset.test.images)} == {"TEST"}
    assert dataset.is_validation is not None
    held_out = dataset.train.images[dataset.is_validation]
    assert {_split(number) for number in _numbers(held_out)} == {"val"}
    assert len(held_out) == 6
    assert "column 'split'" in dataset.split_note


def test_without_test_images_validation_takes_their_place(folder: Path) -> None:
    dataset = _load(_csv(folder, fold=lambda n: "train" if n > 5 else "val"), split_column="fold")
    assert sorted(_numbers(dataset.test.images)) == list(range(6))
    assert dataset.is_validation is None
    assert any("There are no test images" in note for note in dataset.notes)


def test_a_split_of_training_images_alone_is_split_by_us(folder: Path) -> None:
    assert _load(_csv(folder, split="train".format)).split_note.startswith("Split by tenfold")


def test_a_group_is_in_one_split(folder: Path) -> None:
    dataset = _load(_csv(folder, patient=lambda n: f"p{n // 3}"))
    train, test = (
        {number // 3 for number in _numbers(split.images)}
        for split in (dataset.train, dataset.test)
    )
    assert not train & test
    assert dataset.train_groups is not None
    groups = dataset.train_groups.tolist()
    patients = [number // 3 for number in _numbers(dataset.train.images)]
    assert groups == [patients.index(patient) for patient in patients]
    assert any("8 groups of the column 'patient'" in note for note in dataset.notes)


def test_groups_of_several_classes_stay_whole_too(folder: Path) -> None:
    path = _csv(folder, writer=lambda n: f"w{n // 6}")
    for seed in range(5):
        dataset = _load(path, seed=seed)
        train, test = (
            {number // 6 for number in _numbers(split.images)}
            for split in (dataset.train, dataset.test)
        )
        assert not train & test
        assert len(train) == 3
        assert not any("single group" in note for note in dataset.notes)


def test_an_image_without_a_group_is_alone(folder: Path) -> None:
    dataset = _load(_csv(folder, group=lambda n: "" if n < 12 else "one"))
    assert dataset.train_groups is not None
    numbers = np.array(_numbers(dataset.train.images))
    alone = dataset.train_groups[numbers < 12]
    assert len(set(alone.tolist())) == len(alone)


def test_what_groups_cannot_keep_is_said(folder: Path) -> None:
    shared = _load(_csv(folder, split=_split, patient=lambda n: n % 2))
    assert any("2 groups have images in the test split and in training" in n for n in shared.notes)
    torn = _load(_csv(folder, patient=lambda n: n % 2))
    assert any("Images of cat, dog are of a single group" in note for note in torn.notes)


def test_unreadable_images_are_listed_and_left_out(folder: Path) -> None:
    (folder / "images" / "7.png").write_bytes(b"no image")
    path = _csv(folder)
    dataset = _load(path)
    assert [Path(left.path).name for left in dataset.left_out] == ["7.png"]
    assert len(dataset.train) + len(dataset.test) == COUNT - 1
    with pytest.raises(DataError, match=r"7\.png cannot be read"):
        _load(path, is_strict=True)


def test_a_row_that_is_there_again_counts_once(folder: Path) -> None:
    path = _csv(folder)
    path.write_text(path.read_text() + "\n./images/3.png,dog\n")
    dataset = _load(path)
    _check(dataset)
    assert "1 row named an image again." in dataset.notes


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("images/99.png,cat", "line 26: images/99.png is no file. Did you mean 9.png"),
        ("image/1.png,cat", "line 26: image/1.png is no file. Paths are relative to"),
        ("images,cat", "line 26: images is no file"),
        ("/dev/zero,cat", "line 26: /dev/zero is no file"),
        (f"{'a' * 5000}.png,cat", "line 26: aaaa"),
        (",cat", "line 26: no path in the column 'path'"),
        ("images/1.png,", "line 26: no label for images/1.png in the column 'label'"),
        ("images/1.png,NaN", "line 26: no label"),
        ("images/1.png", "line 26: no label"),
        ("images/1.png,cat", "line 26: images/1.png stands in line 3 with another label"),
        ("images/1.png,cat,3", "line 26: it has 3 values, but there are 2 columns"),
    ],
)
def test_a_wrong_row_is_named(folder: Path, row: str, message: str) -> None:
    path = _csv(folder)
    path.write_text(f"{path.read_text()}\n{row}\n")
    assert message in _refusal(path)


def test_many_wrong_rows_are_counted(folder: Path) -> None:
    path = _csv(folder)
    path.write_text(path.read_text().replace("images/1", "photos/1"))
    refusal = _refusal(path)
    assert "11 rows that cannot be used" in refusal
    assert "and 6 more" in refusal


def test_an_unknown_split_is_named(folder: Path) -> None:
    path = _csv(folder, split=lambda n: "tset" if n == 4 else "" if n == 5 else "train")
    refusal = _refusal(path)
    assert "line 6: the split 'tset' is unknown (column 'split'). Write train," in refusal
    assert "line 7: no split" in refusal


@pytest.mark.parametrize("kind", ["path", "label", "split", "group"])
def test_a_column_that_is_not_there_has_neighbours(folder: Path, kind: str) -> None:
    path = _csv(folder, "picture", "kind", part=_split, writer=lambda n: n)
    asked = {"path": "pictures", "label": "kinds", "split": "parts", "group": "writers"}[kind]
    refusal = _refusal(path, **{f"{kind}_column": asked})
    assert f"no column '{asked}' (data.{kind}_column). Did you mean '{asked[:-1]}'?" in refusal
    assert "Its columns: picture, kind, part, writer." in refusal


def test_columns_may_be_said(folder: Path) -> None:
    path = _csv(folder, "a", "b", c=lambda n: n, d=_split)
    assert "hold the labels. Its columns: a, b, c, d. Name it: --label-column" in _refusal(path)
    dataset = _load(path, label_column="b", split_column="d", path_column="a")
    _check(dataset)
    assert len(dataset.test) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("path,label\n", "has no rows"),
        ("images/1.png,cat\nimages/2.png,dog\n", "has no header"),
        ("path,label,label\nimages/1.png,cat,dog\n", "two columns named label"),
        ("x,y\n1,2\n", "hold the image files. Its columns: x, y."),
        ("path,label\nimages/1.png,cat\nimages/2.png,cat\n", "one class only (cat)"),
        ("path,label\nimages/1.png,cat\nimages/2.png,dog\n", "no readable test image"),
        (
            "path,label,split\nimages/1.png,cats,train\nimages/2.png,dog,train\n"
            "images/3.png,cat,test\n",
            "without a training image: cat. Training has cats, dog. Did you mean cats?",
        ),
        ("path,label,split\nimages/1.png,cat,test\n", "no training images"),
        ('path,label\n"images/1.png,cat', "line 2"),
    ],
)
def test_a_wrong_table_is_refused(folder: Path, text: str, message: str) -> None:
    assert message in _refusal(_write(folder, text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: no JSON"),
        ("[1]", "line 2: it holds list"),
        ("[" * 100_000, "line 2: no JSON (nested too deeply)"),
        ('{"path": "images/1.png", "label": null}', "line 2: no label"),
        ('{"path": "images/1.png", "label": NaN}', "line 2: no label"),
        ('{"path": "images/1.png", "label": ["cat"]}', "line 2: no label"),
        ('{"path": "images/1.png"}', "line 2: no label"),
        ('{"path": "images/\\u0000.png", "label": "cat"}', "line 2: images/"),
    ],
)
def test_a_wrong_json_line_is_named(folder: Path, line: str, message: str) -> None:
    first = '{"path": "images/2.png", "label": "dog"}'
    assert message in _refusal(_write(folder, f"{first}\n{line}\n", "a.jsonl"))


def test_what_is_no_text_names_its_line(folder: Path) -> None:
    path = folder / "a.csv"
    path.write_bytes(b"path,label\nimages/1.png,caf\xe9\n")
    assert "not UTF-8 text (line 2" in _refusal(path)


def test_a_long_cell_is_refused(folder: Path) -> None:
    assert "is not readable as a table" in _refusal(
        _write(folder, f"path,label\nimages/1.png,{'a' * 200_000}\n")
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200), is_json=st.booleans())
def test_any_text_gives_a_data_set_or_a_data_error(folder: Path, text: str, is_json: bool) -> None:
    path = folder / ("a.jsonl" if is_json else "a.csv")
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(DataError):
        _load(path)


def test_a_changed_image_has_another_fingerprint(folder: Path) -> None:
    path = _csv(folder)
    before = SOURCE.fingerprint(path)
    (folder / "images" / "unnamed.png").touch()
    assert SOURCE.fingerprint(path) == before
    (folder / "images" / "3.png").write_bytes(b"1")
    changed = SOURCE.fingerprint(path)
    assert changed != before
    path.write_text(path.read_text() + "\n")
    assert SOURCE.fingerprint(path) != changed
