from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset, ImageSplit
from tenfold.data.sources.folder import SOURCE
from tenfold.data.sources.pixel_rows import reorder_rows
from tenfold.data.sources.source import SourceOptions

Tree = Callable[..., Path]
COLOURS = {"cat": (200, 0, 0), "dog": (0, 200, 0), "eel": (0, 0, 200)}


def _class_files(folder: str, counts: dict[str, int]) -> dict[str, object]:
    return {
        f"{folder}{name}/{number}.png": COLOURS[name]
        for name, count in counts.items()
        for number in range(count)
    }


def _load(root: Path | None, **options: Any) -> ImageDataset:
    return SOURCE.load(root, SourceOptions(**options), SilentProgress())


def _colours_match(dataset: ImageDataset, split: ImageSplit) -> bool:
    """Say whether every image has its class's colour."""
    wanted = np.array([COLOURS[dataset.classes[label]] for label in split.labels])
    return bool((split.images == wanted[:, None, None, :]).all())


def test_one_tree_is_split_by_us(image_tree: Tree) -> None:
    root = image_tree(_class_files("", {"cat": 20, "dog": 10, "eel": 2}))
    dataset = _load(root)
    assert dataset.classes == ("cat", "dog", "eel")
    assert dataset.test.counts(3) == (4, 2, 1)
    assert dataset.train.counts(3) == (16, 8, 1)
    assert _colours_match(dataset, dataset.train)
    assert _colours_match(dataset, dataset.test)
    assert "20% of each class" in dataset.split_note
    assert dataset.title == "data"
    assert dataset.train.images.base is dataset.test.images.base


def test_the_seed_fixes_the_order_and_mixes_the_classes(image_tree: Tree) -> None:
    root = image_tree(
        {f"{name}/{n}.png": (n, n, k) for k, name in enumerate(COLOURS) for n in range(30)}
    )
    first, same, other = _load(root, seed=1), _load(root, seed=1), _load(root, seed=2)
    assert first.train.sha256() == same.train.sha256() != other.train.sha256()
    assert np.any(np.diff(first.train.labels) < 0)
    # Every image is there once, with its label.
    both = [
        (s.images[i, 0, 0, 0], s.labels[i])
        for s in (first.train, first.test)
        for i in range(len(s))
    ]
    assert sorted(both) == sorted((n, k) for k in range(3) for n in range(30))


@pytest.mark.parametrize("test_name", ["test", "val", "validation", "Test"])
def test_given_splits_are_kept(image_tree: Tree, test_name: str) -> None:
    root = image_tree(
        {
            **_class_files("train/", {"cat": 5, "dog": 4, "eel": 6}),
            **_class_files(f"{test_name}/", {"cat": 2, "dog": 3, "eel": 1}),
        }
    )
    dataset = _load(root)
    assert dataset.train.counts(3) == (5, 4, 6)
    assert dataset.test.counts(3) == (2, 3, 1)
    assert _colours_match(dataset, dataset.test)
    assert f"{test_name}/ for testing (6 images)" in dataset.split_note
    assert np.any(np.diff(dataset.train.labels) < 0)  # A tail of it is no single class.


def test_a_class_missing_from_the_test_split_shifts_no_other(image_tree: Tree) -> None:
    root = image_tree(
        {
            **_class_files("train/", {"cat": 3, "dog": 3, "eel": 3}),
            **_class_files("test/", {"cat": 1, "eel": 2}),
        }
    )
    dataset = _load(root)
    assert dataset.classes == ("cat", "dog", "eel")
    assert dataset.test.counts(3) == (1, 0, 2)
    assert _colours_match(dataset, dataset.test)
    assert any("Classes without a test image" in note and "dog" in note for note in dataset.notes)


def test_a_class_in_the_test_split_alone_is_an_error_that_suggests(image_tree: Tree) -> None:
    root = image_tree(
        {
            **_class_files("train/", {"cat": 2, "dog": 2}),
            "test/Dog/1.png": (0, 0, 0),
            "test/zebra/1.png": (0, 0, 0),
        }
    )
    with pytest.raises(DataError, match=r"without a training image: Dog, zebra.*mean dog\?"):
        _load(root)


def test_a_class_whose_training_images_are_all_broken_is_an_error(image_tree: Tree) -> None:
    root = image_tree(
        {
            **_class_files("train/", {"cat": 2, "dog": 2}),
            "train/eel/1.png": b"broken",
            **_class_files("test/", {"cat": 1, "dog": 1, "eel": 1}),
        }
    )
    with pytest.raises(DataError, match="without a training image: eel"):
        _load(root)


def test_given_validation_images_are_marked_among_the_training_images(image_tree: Tree) -> None:
    root = image_tree(
        {
            **_class_files("train/", {"cat": 3, "dog": 3}),
            **_class_files("val/", {"cat": 2, "dog": 1}),
            **_class_files("test/", {"cat": 1, "dog": 1}),
        }
    )
    dataset = _load(root)
    assert dataset.train.counts(2) == (5, 4)
    assert dataset.test.counts(2) == (1, 1)
    assert dataset.is_validation is not None
    assert np.bincount(dataset.train.labels[dataset.is_validation]).tolist() == [2, 1]
    assert "val/ for validation (3 images)" in dataset.split_note
    assert _colours_match(dataset, dataset.train)


def test_a_test_folder_without_classes_is_noted_and_not_used(image_tree: Tree) -> None:
    root = image_tree(
        {
            **_class_files("train/", {"cat": 10, "dog": 10}),
            "test/unknown.png": (1, 2, 3),
            "extra/cat/1.png": (1, 2, 3),
        }
    )
    dataset = _load(root)
    assert dataset.test.counts(2) == (2, 2)
    assert any(note.startswith("test/ was not used") for note in dataset.notes)
    assert any("not used: extra/ (1 image)" in note for note in dataset.notes)


def test_a_test_split_without_training_is_an_error(image_tree: Tree) -> None:
    with pytest.raises(DataError, match=r"has test/ with sub-folders but no train/"):
        _load(image_tree(_class_files("test/", {"cat": 2, "dog": 2})))


def test_class_names_sort_naturally(image_tree: Tree) -> None:
    root = image_tree({f"{name}/{n}.png": 1 for name in ("10", "9", "1") for n in range(2)})
    dataset = _load(root)
    assert dataset.classes == ("1", "9", "10")
    assert dataset.train.images.shape[-1] == 1


def test_broken_images_and_empty_classes_are_reported(image_tree: Tree) -> None:
    root = image_tree(
        {
            **_class_files("", {"cat": 5, "dog": 5}),
            "cat/broken.png": b"",
            "bad/1.png": b"",
            "dog/readme.txt": b"",
            "stray.png": (1, 1, 1),
        }
    )
    (root / "aardvark").mkdir()
    dataset = _load(root)
    assert dataset.classes == ("cat", "dog")
    assert _colours_match(dataset, dataset.train)
    assert _colours_match(dataset, dataset.test)
    assert sorted(Path(entry.path).name for entry in dataset.left_out) == ["1.png", "broken.png"]
    assert dataset.notes == (
        "Images outside any class folder were not used: 1.",
        "Files that are no images by their name were ignored: 1 (.txt 1).",
        "2 class folders without a readable image were left out: aardvark (empty), bad (1 image, "
        "all unreadable).",
    )
    with pytest.raises(DataError, match="cannot be read"):
        _load(root, is_strict=True)


def test_layouts_without_two_classes_are_errors(image_tree: Tree, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"has no sub-folders\. Expected a folder with"):
        _load(empty)
    (empty / "cat").mkdir()
    with pytest.raises(DataError, match=r"has sub-folders \(cat\) but no images"):
        _load(empty)
    root = image_tree(_class_files("", {"cat": 3}), root="one")
    with pytest.raises(DataError, match=r"images of one class only \(cat\)"):
        _load(root)
    single = image_tree(_class_files("", {"cat": 1, "dog": 1}), root="single")
    with pytest.raises(DataError, match="one image a class"):
        _load(single)
    with pytest.raises(DataError, match="needs a path"):
        _load(None)


def test_a_test_split_without_readable_images_is_an_error(image_tree: Tree) -> None:
    root = image_tree({**_class_files("train/", {"cat": 2, "dog": 2}), "test/cat/1.png": b"x"})
    with pytest.raises(DataError, match=r"test/ in .* has no readable image"):
        _load(root)


def test_sizes_channels_and_loops_together(image_tree: Tree) -> None:
    root = image_tree(_class_files("", {"cat": 4, "dog": 4}))
    image_tree({"cat/gray.png": 7}, size=(20, 10))
    (root / "dog" / "loop").symlink_to(root)
    dataset = _load(root, image_size_px=16)
    assert dataset.train.images.shape[1:] == (16, 16, 3)
    # The link makes the cats below it dogs as well: that is what the folder says.
    assert dataset.resized == len(dataset.train) + len(dataset.test)


def test_the_fingerprint_follows_the_images(image_tree: Tree) -> None:
    root = image_tree(_class_files("", {"cat": 2, "dog": 2}))
    before = SOURCE.fingerprint(root)
    assert SOURCE.fingerprint(root) == before
    (root / "cat" / "notes.txt").write_text("no image")
    assert SOURCE.fingerprint(root) == before
    os.utime(root / "cat" / "0.png", (1, 1))
    touched = SOURCE.fingerprint(root)
    (root / "cat" / "1.png").rename(root / "dog" / "9.png")
    assert len({before, touched, SOURCE.fingerprint(root)}) == 3


def test_folders_with_sub_folders_are_recognised(image_tree: Tree, tmp_path: Path) -> None:
    root = image_tree(_class_files("", {"cat": 1}))
    assert SOURCE.recognises(root)
    assert not SOURCE.recognises(root / "cat")
    assert not SOURCE.recognises(tmp_path / "missing")


@given(order=st.integers(0, 12).flatmap(lambda count: st.permutations(range(count))))
def test_rows_move_as_indexing_would(order: list[int]) -> None:
    rows = np.arange(len(order) * 4, dtype=np.uint8).reshape(len(order), 2, 2)
    expected = rows[order] if order else rows.copy()
    reorder_rows(rows, np.array(order, dtype=np.intp))
    assert np.array_equal(rows, expected)
