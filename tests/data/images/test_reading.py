from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError, SettingsError
from tenfold.core.progress import SilentProgress
from tenfold.data.images import reading as image_size
from tenfold.data.images.reading import (
    DecodedImages,
    common_size,
    decode_files,
    new_images,
    size_note,
)

Tree = Callable[..., Path]


def _decode(
    folder: Path, size: int | None = None, *, is_strict: bool = False
) -> tuple[list[str], DecodedImages]:
    files = sorted(folder.rglob("*.*"))
    return [file.name for file in files], decode_files(
        files, size, SilentProgress(), is_strict=is_strict
    )


def test_one_size_is_kept_and_rows_follow_the_files(image_tree: Tree) -> None:
    files = {f"a/{value:03}.png": (value, 0, 0) for value in range(100)}
    _, decoded = _decode(image_tree(files, size=(6, 4)))
    assert decoded.images.shape == (100, 4, 6, 3)
    assert decoded.images[:, 0, 0, 0].tolist() == list(range(100))
    assert decoded.resized == 0
    assert decoded.is_read.all()


def test_several_sizes_become_the_default_or_what_was_asked(image_tree: Tree) -> None:
    root = image_tree(
        {
            "a/1.png": Image.new("RGB", (40, 50), "red"),
            "a/2.png": Image.new("RGB", (32, 32), "red"),
        }
    )
    _, decoded = _decode(root)
    assert decoded.images.shape == (2, 32, 32, 3)
    assert decoded.resized == 1
    _, decoded = _decode(root, 8)
    assert decoded.images.shape == (2, 8, 8, 3)
    assert decoded.resized == 2
    assert (decoded.images == (255, 0, 0)).all()


def test_gray_only_if_all_are_gray(image_tree: Tree) -> None:
    root = image_tree({"a/1.png": 10, "a/2.png": 20})
    assert _decode(root)[1].images.shape[-1] == 1
    image_tree({"a/3.png": (1, 2, 3)})
    _, decoded = _decode(root)
    assert decoded.images.shape[-1] == 3
    assert (decoded.images[1] == 20).all()


def test_unreadable_files_are_listed_and_the_rest_kept(image_tree: Tree) -> None:
    whole = image_tree({"a/1.png": (1, 1, 1)}) / "a" / "1.png"
    root = image_tree({"a/2.png": b"", "a/3.png": whole.read_bytes()[:-30], "a/4.png": (4, 4, 4)})
    names, decoded = _decode(root)
    assert decoded.is_read.tolist() == [True, False, False, True]
    assert [Path(entry.path).name for entry in decoded.left_out] == ["2.png", "3.png"]
    assert all(entry.reason for entry in decoded.left_out)
    with pytest.raises(DataError, match=r"2\.png cannot be read: not an image.*--strict"):
        _decode(root, is_strict=True)
    (root / "a" / "2.png").unlink()
    with pytest.raises(DataError, match=r"3\.png cannot be read"):
        _decode(root, is_strict=True)
    assert names[0] == "1.png"


def test_no_readable_file_at_all_is_an_error(image_tree: Tree) -> None:
    root = image_tree({"a/1.png": b"x", "a/2.png": b"y"})
    with pytest.raises(DataError, match=r"None of 2 image files.*\n.*1\.png: not an image"):
        _decode(root)


def test_too_large_images_are_left_out_with_one_reason_and_the_remedy(image_tree: Tree) -> None:
    files = {"a/1.png": Image.new("RGB", (50, 50)), "a/2.png": Image.new("RGB", (60, 50))}
    root = image_tree({**files, "a/3.png": Image.new("RGB", (8, 8))})
    decoded = decode_files(
        sorted(root.rglob("*.png")), None, SilentProgress(), is_strict=False, most_megapixels=0.002
    )
    assert decoded.is_read.tolist() == [False, False, True]
    (reason,) = {entry.reason for entry in decoded.left_out}
    assert reason.startswith("it has more than 0.002 million pixels")
    assert "--set data.most_megapixels" in reason


def test_more_than_the_memory_is_refused_before_decoding(
    image_tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_size, "available_memory", lambda: 2**28 + 2 * 30 * 30 * 3)
    root = image_tree({"a/1.png": 1, "a/2.png": 2}, size=(40, 40))
    with pytest.raises(DataError, match=r"2 images of 40 × 40 px need .*image_size_px=32$"):
        _decode(root)
    assert _decode(root, 32)[1].images.shape == (2, 32, 32, 1)


def test_the_result_does_not_depend_on_threads(
    image_tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    noise = {
        f"a/{row}.png": Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        for row in range(80)
    }
    root = image_tree(noise)
    _, several = _decode(root, 5)
    monkeypatch.setattr("tenfold.data.images.decoding._MOST_THREADS", 1)
    _, one = _decode(root, 5)
    assert np.array_equal(several.images, one.images)


def test_progress_counts_every_image_twice(image_tree: Tree, progress: Any) -> None:
    root = image_tree({f"a/{row}.png": row for row in range(70)})
    decode_files(sorted(root.rglob("*.png")), None, progress, is_strict=False)
    assert [(total, unit) for _, total, unit in progress.tasks] == [(70, "images")] * 2
    assert progress.done == [70, 70]


def test_a_size_below_one_is_refused(image_tree: Tree) -> None:
    with pytest.raises(SettingsError, match="image_size_px is -1"):
        _decode(image_tree({"a/1.png": 1}), -1)


PHOTO = (1512, 2016)


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([(28, 28)] * 20, (28, 28)),
        ([(8, 6)] * 20, (8, 6)),
        ([(64, 48)] * 20, (64, 48)),
        ([(96, 96)] * 20, (96, 96)),
        ([PHOTO] * 20, (96, 96)),
        ([(100, 2000)] * 20, (96, 96)),
        ([(20, 2000)] * 20, (32, 32)),
        ([(10, 10), (20, 30)] * 10, (32, 32)),
        ([(50, 40), (60, 80)] * 10, (40, 40)),
        ([(300, 400), (400, 300), (500, 300)] * 10, (96, 96)),
    ],
)
def test_small_images_keep_their_size_and_large_ones_are_made_smaller(
    sizes: list[tuple[int, int]], chosen: tuple[int, int]
) -> None:
    assert common_size(sizes, None, 96) == chosen
    assert common_size(sizes, 40, 96) == (40, 40)
    assert ("--set data.image_size_px" in size_note(sizes, chosen, None)) == (
        set(sizes) != {chosen}
    )


@pytest.mark.parametrize("size", [(28, 28), (8, 6), (64, 48), PHOTO, (400, 533)])
@pytest.mark.parametrize("other", [(30, 31), PHOTO, (5, 5)])
def test_one_image_of_another_size_changes_nothing(
    size: tuple[int, int], other: tuple[int, int]
) -> None:
    assert common_size([*[size] * 20, other], None, 96) == common_size([size] * 20, None, 96)


def test_what_the_memory_cannot_hold_is_refused_with_a_size_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_size, "available_memory", lambda: 2**30)
    with pytest.raises(DataError, match=r"3,000 images of 2000 × 2000 px.*1\.0 GiB") as caught:
        new_images(3000, (2000, 2000, 3))
    fitting = int(str(caught.value).rsplit("=", 1)[1])
    assert new_images(3000, (fitting, fitting, 3)).shape == (3000, fitting, fitting, 3)
    with pytest.raises(DataError, match="Use fewer images"):
        new_images(10**9, (20, 20, 3))


def test_an_array_that_numpy_cannot_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_size, "available_memory", lambda: None)
    with pytest.raises(DataError, match="more than there is"):
        new_images(10**7, (4096, 4096, 3))
