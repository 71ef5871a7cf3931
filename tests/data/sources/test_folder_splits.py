from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tenfold.core.errors import DataError
from tenfold.data.sources.folder_layout import FolderLayout, read_layout
from tenfold.data.sources.folder_splits import possible_role, role_of, without_role

Layout = Callable[..., FolderLayout]
CLASSES = ("cat", "dog")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Give a function that reads the layout of folders with an image (or another file) each."""

    def read(*folders: str, file: str = "1.png", more: Sequence[str] = ()) -> FolderLayout:
        for name in (*(f"{folder}/{file}" for folder in folders), *more):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return read_layout(tmp_path)

    return read


def _each(*splits: str, classes: Sequence[str] = CLASSES) -> list[str]:
    return [f"{split}/{name}" for split in splits for name in classes]


def _places(split: dict[str, list[Path]] | None) -> set[str]:
    """Give the folder above the class folder of each file."""
    return {file.parent.parent.name for files in (split or {}).values() for file in files}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("TRAIN", "TEST"),
        ("training_set", "test_set"),
        ("Train Data", "Test Data"),
        ("train", "valid"),
        ("train2017", "val2017"),
        ("train", "holdout"),
        ("seg_train", "seg_test"),
        ("X_train", "X_val"),
        ("archive/train", "archive/eval"),
        ("a/b/Training", "a/b/dev"),
        ("Train/Train", "Test/Test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train/images", "val/images"),
        ("images/train", "images/test"),
    ],
)
def test_two_splits_are_found_whatever_they_are_called_and_wherever_they_lie(
    layout: Layout, train: str, test: str
) -> None:
    found = layout(*_each(train, test), more=["LICENSE", "labels/train/1.txt"])
    assert list(found.train) == list(CLASSES)
    assert _places(found.train) == {Path(train).name}
    assert found.test is not None
    assert _places(found.test) == {Path(test).name}
    assert found.validation == {}


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "valid", "test"),
        ("Training", "Validation", "Testing"),
        ("train", "dev", "eval"),
        ("pets/train", "pets/val", "pets/test"),
        ("Train/Train", "Validation/Validation", "Test/Test"),
    ],
)
def test_three_splits_are_three(layout: Layout, train: str, validation: str, test: str) -> None:
    found = layout(*_each(train, validation, test))
    assert [_places(split) for split in (found.train, found.validation, found.test)] == [
        {Path(name).name} for name in (train, validation, test)
    ]


@pytest.mark.parametrize(
    "folders",
    [
        [f"{name}/{part}" for name in CLASSES for part in ("Train", "val", "Test")],
        [f"{name}_{part}" for name in CLASSES for part in ("train", "val", "test")],
    ],
)
def test_splits_in_the_class_folders_or_in_their_names(layout: Layout, folders: list[str]) -> None:
    found = layout(*folders)
    for split in (found.train, found.validation, found.test):
        assert split is not None
        assert [len(split[name]) for name in CLASSES] == [1, 1]


def test_training_alone_is_split_by_us(layout: Layout) -> None:
    found = layout(*_each("Training"))
    assert list(found.train) == list(CLASSES)
    assert found.test is None


@pytest.mark.parametrize("wrapper", ["archive", "images", "My Pets (v2)", "a/b/c"])
def test_classes_in_a_folder_of_its_own_are_found(layout: Layout, wrapper: str) -> None:
    found = layout(*_each(wrapper), more=["README.md"])
    assert list(found.train) == list(CLASSES)
    assert any(wrapper in note for note in found.notes)


def test_a_data_set_beside_other_pictures_is_found_and_these_are_counted(layout: Layout) -> None:
    found = layout(*_each("data/train", "data/val"), more=["docs/a.png", "docs/b.png"])
    assert list(found.train) == list(CLASSES)
    assert any("docs/ (2 images)" in note for note in found.notes)


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (["control", "test"], ["control", "test"]),
        (["control/a", "control/b", "test/a", "test/b"], ["control", "test"]),
        (["bus", "car", "train"], ["bus", "car", "train"]),
        (["bus/a", "car/b", "train/steam", "train/diesel"], ["bus", "car", "train"]),
        (["dev", "ops"], ["dev", "ops"]),
    ],
)
def test_a_class_may_have_the_name_of_a_split_and_that_is_said(
    layout: Layout, folders: list[str], classes: list[str]
) -> None:
    found = layout(*folders)
    assert list(found.train) == classes
    assert found.test is None
    assert any("was taken for a class, not for a split" in note for note in found.notes)


def test_classes_with_names_of_splits_lie_in_splits(layout: Layout) -> None:
    found = layout(*_each("train", "test", classes=("control", "test")))
    assert list(found.train) == ["control", "test"]
    assert found.test is not None
    assert list(found.test) == ["control", "test"]


def test_splits_without_labels_are_not_used_and_counted(layout: Layout) -> None:
    found = layout(*_each("train", "val"), "test/test", "extra")
    assert found.named("test") == "val/"
    assert any("test/ was not used: its 1 image" in note for note in found.notes)
    assert any("extra/ (1 image)" in note for note in found.notes)


def test_a_test_split_of_one_unknown_class_is_not_said_to_have_no_class(layout: Layout) -> None:
    found = layout(*_each("train", "validation"), "test/zebra")
    assert any("lies in zebra/, which is no class of the training" in note for note in found.notes)


def test_two_folders_of_one_split_are_joined(layout: Layout) -> None:
    found = layout(*_each("train_1", "Train", "test"))
    assert [len(files) for files in found.train.values()] == [2, 2]
    assert any("were joined" in note for note in found.notes)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train", "test"], r"in no class folders.*train/cat/1\.png"),
        (["Testing/cat", "Testing/dog"], r"has Testing/ with sub-folders but no train/"),
        (
            ["a/train/x", "a/train/y", "a/test/x", "b/train/x", "b/train/y", "b/val/x"],
            r"several data sets.*--data .*/a$",
        ),
    ],
)
def test_what_cannot_be_decided_is_an_error(
    layout: Layout, folders: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        layout(*folders)


def test_other_files_are_counted_by_kind_with_a_remedy(layout: Layout) -> None:
    found = layout(
        *_each("."), more=["cat/a.ICO", "cat/b.ico", "dog/c.txt", "eel/1.raw", "top.png"]
    )
    assert found.empty == {"eel": "1 file, no image by its name: .raw 1"}
    text = " ".join(found.notes)
    assert "outside any class folder were not used: 1" in text
    assert ".ico 2, .raw 1, .txt 1" in text
    assert "Convert .ico, .raw files" in text


def test_a_folder_of_unknown_kinds_says_which_and_how_many(layout: Layout) -> None:
    with pytest.raises(DataError, match=r"no images in them, only 3 .*\(\.ico 2, \.mp4 1"):
        layout("cat", "dog", file="1.ico", more=["dog/a.mp4"])


def test_folders_below_the_classes_are_named(layout: Layout) -> None:
    found = layout(*_each("2020", "2021"))
    assert list(found.train) == ["2020", "2021"]
    assert any("not those below them (cat, dog)" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *((name, "train") for name in ("train", "Training", "TRAIN", "train_set", "trainset")),
        *((name, "train") for name in ("Training Data", "train-images", "train2017", "01_train")),
        *((name, "train") for name in ("images_train", "trainval", "training_set", "train_data")),
        *((name, "test") for name in ("test", "Testing", "test_set", "Test Images", "evaluation")),
        *((name, "test") for name in ("eval", "holdout", "hold-out", "held_out", "testdata")),
        *((name, "validation") for name in ("val", "valid", "Validation", "dev", "validation_set")),
        *((name, "validation") for name in ("VAL", "val2017", "development", "valid images")),
        *((name, None) for name in ("cat", "trains", "invalid", "tester", "contest", "device")),
        *((name, None) for name in ("control", "train ticket", "latest", "values", "seg_train")),
    ],
)
def test_usual_names_of_splits_are_known_in_any_case(name: str, role: str | None) -> None:
    assert role_of(name) == role


@pytest.mark.parametrize(
    ("name", "role", "rest"),
    [
        ("seg_train", "train", "seg"),
        ("PublicTest", "test", "Public"),
        ("X_test", "test", "X"),
        ("cat-val", "validation", "cat"),
        ("tr", "train", ""),
        ("train_test", None, ""),
        ("cattrain", None, "cattrain"),
    ],
)
def test_a_name_may_have_a_split_in_it(name: str, role: str | None, rest: str) -> None:
    assert possible_role(name) == role
    assert without_role(name) == rest
