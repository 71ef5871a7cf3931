from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.data.corrections import (
    CORRECTIONS,
    Correction,
    adopt_corrections,
    apply_corrections,
    offer_corrections,
    parse_corrections,
    stored_corrections,
)
from tenfold.study.request import StudyRequest

TRAIN = np.array([0, 1, 2, 0, 1, 2])
TEST = np.array([2, 1, 0])
CLASSES = ("cat", "dog", "fire truck")
HEADER = "id,given,suggested,score,action\n"


def parse(text: str | bytes) -> tuple[Correction, ...]:
    content = text.encode() if isinstance(text, str) else text
    return parse_corrections(content, "mine.csv", train=TRAIN, test=TEST, classes=CLASSES)


def test_every_action_is_read() -> None:
    found = parse(
        HEADER + "train/0,cat,dog,0.01,relabel\ntest/2,cat,dog,0.02,drop\ntrain/5,,,,KEEP\n"
    )
    assert found == (
        Correction("train", 0, "relabel", 1),
        Correction("test", 2, "drop", None),
        Correction("train", 5, "keep", None),
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_spreadsheets_make_of_it_is_read(delimiter: str) -> None:
    text = "\ufeff" + HEADER + 'train/1,dog,"fire truck",0.5,relabel\r\n,,,,\r\n'
    expected = (Correction("train", 1, "relabel", 2),)
    assert parse(text.replace(",", delimiter)) == expected
    for encoding in ("utf-16-le", "utf-16-be"):
        assert parse(text.replace(",", delimiter).encode(encoding)) == expected


def test_two_columns_are_enough_to_drop() -> None:
    assert parse("action,id\ndrop,test/0") == (Correction("test", 0, "drop", None),)


def test_the_same_line_twice_counts_once() -> None:
    assert len(parse(HEADER + "train/0,cat,dog,0,drop\n" * 2)) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train/6,cat,dog,0,drop", r"line 2: There is no image train/6: .* train/0 to train/5\."),
        ("test/3,cat,dog,0,drop", r"line 2: There is no image test/3"),
        ("valid/3,cat,dog,0,drop", r"line 2: There is no image with the id 'valid/3'\. An id is"),
        ("train/-1,cat,dog,0,drop", r"no image with the id 'train/-1'"),
        ("train/²,cat,dog,0,drop", r"no image with the id"),
        (f"train/{'9' * 5000},cat,dog,0,drop", r"There is no image train/999"),
        ("train/0,dog,cat,0,drop", r"train/0 has the label 'cat', .* says 'dog'"),
        ("train/0,cat,dog,0,remove", r"no action 'remove'\. .*Allowed: keep, relabel, drop\."),
        ("train/0,cat,dog,0,", r"line 2: There is no action ''"),
        ("train/0,cat,dgo,0,relabel", r"no class 'dgo' in .* suggested\. Did you mean 'dog'\?"),
        ("train/0", r"line 2: There is no action ''"),
        ("train/0,cat,dog,0,drop\ntrain/0,cat,dog,0,relabel", r"line 3: train/0 .* in line 2\."),
    ],
)
def test_a_wrong_line_is_named_with_what_to_do(line: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        parse(HEADER + line)
    assert "mine.csv" in str(caught.value)


def test_many_wrong_lines_are_counted() -> None:
    with pytest.raises(DataError, match=r"has 20 lines[\s\S]*line 9:[\s\S]*and 12 more"):
        parse(HEADER + "train/9,,,,keep\n" * 20)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column id and no column action"),
        (b"id,label\ntrain/0,cat\n", "no column action"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (HEADER.encode() + b'train/0,"' + b"x" * 200_000, "not readable CSV: line 2"),
    ],
)
def test_a_file_of_another_kind_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(content)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_anything_else_gives_our_error_or_corrections(content: bytes) -> None:
    for start in (b"", HEADER.encode()):
        try:
            parse(start + content)
        except DataError:
            continue


def test_labels_change_and_images_go() -> None:
    corrections = parse(HEADER + "train/0,cat,dog,0,relabel\ntrain/4,dog,,0,drop\n")
    corrected = apply_corrections(corrections, "train", TRAIN, CLASSES)
    assert corrected.labels.tolist() == [1, 1, 2, 0, 1, 2]
    assert corrected.kept.tolist() == [0, 1, 2, 3, 5]
    assert TRAIN.tolist() == [0, 1, 2, 0, 1, 2]
    untouched = apply_corrections(corrections, "test", TEST, CLASSES)
    assert untouched.kept.tolist() == [0, 1, 2]


def test_a_class_must_not_lose_its_last_training_image() -> None:
    corrections = parse(HEADER + "train/0,cat,dog,0,relabel\ntrain/3,cat,,0,drop\n")
    with pytest.raises(DataError, match="no image of 'cat' in the train split"):
        apply_corrections(corrections, "train", TRAIN, CLASSES)


def test_the_test_split_may_lose_a_class_but_not_all_images() -> None:
    one = parse(HEADER + "test/0,fire truck,,0,drop\n")
    assert apply_corrections(one, "test", TEST, CLASSES).kept.tolist() == [1, 2]
    every = parse(HEADER + "".join(f"test/{place},,,0,drop\n" for place in range(3)))
    with pytest.raises(DataError, match="in the test split"):
        apply_corrections(every, "test", TEST, CLASSES)


def request(out: Path, corrections: Path | None, data: Path | None = None) -> StudyRequest:
    return StudyRequest(data=None if data is None else str(data), out=out, corrections=corrections)


def test_the_settings_name_the_file_by_its_content(tmp_path: Path, image_folder: Path) -> None:
    file, twin = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_text("id,action\n")
    twin.write_text("id,action\n")
    one, other = (
        request(tmp_path / "run", path, image_folder).resolve().settings.data.corrections
        for path in (file, twin)
    )
    assert one is not None
    assert other is not None
    assert (one.file, other.file) == ("a.csv", "b.csv")
    assert one.sha256 == other.sha256


def test_a_run_folder_keeps_its_corrections_until_told(tmp_path: Path, image_folder: Path) -> None:
    from tenfold.core.run_folder import RunFolder

    file = tmp_path / "a.csv"
    file.write_text("id,action\n")
    out = tmp_path / "run"
    with RunFolder(out) as folder:
        settings = request(out, file, image_folder).resolve().settings
        folder.adopt_settings(settings.flat())
    assert request(out, None).resolve().settings.data.corrections is not None
    assert request(out, Path("none")).resolve().settings.data.corrections is None


def test_a_pipe_is_read_once(tmp_path: Path, image_folder: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"id,action\ntrain/0,drop\n")
    os.close(writing)
    resolved = request(tmp_path / "run", Path(f"/dev/fd/{reading}"), image_folder).resolve()
    os.close(reading)
    assert resolved.corrections == b"id,action\ntrain/0,drop\n"
    corrections = resolved.settings.data.corrections
    assert corrections is not None
    offer_corrections(tmp_path, corrections, resolved.corrections)
    assert not (tmp_path / CORRECTIONS).exists(), "it takes the former one's place when adopted"
    assert stored_corrections(tmp_path, corrections) == resolved.corrections
    adopt_corrections(tmp_path, corrections)
    assert (tmp_path / CORRECTIONS).read_bytes() == resolved.corrections


def test_a_missing_file_is_named(tmp_path: Path, image_folder: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv cannot be read: No such file"):
        request(tmp_path / "run", tmp_path / "gone.csv", image_folder).resolve()
    with pytest.raises(DataError, match=r"cannot be read"):
        request(tmp_path / "run", tmp_path, image_folder).resolve()
