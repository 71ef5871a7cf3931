"""WebDataset's shards: how samples are put together, and what is refused."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.source import SourceOptions
from tenfold.data.sources.webdataset import SOURCE, key_of, shards_of

NAMES = ("cat", "dog")


def _png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), number).save(file, "PNG")
    return file.getvalue()


def _tar(path: Path, files: dict[str, bytes | str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, given in files.items():
            content = given.encode() if isinstance(given, str) else given
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def _samples(first: int, last: int, kind: str = "cls") -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {}
    for number in range(first, last):
        name = NAMES[number % 2]
        values = {"label": name, "width": 8, "patient": number // 4}
        files[f"{number:06}.png"] = _png(number)
        files[f"{number:06}.{kind}"] = json.dumps(values) if kind == "json" else f"{name}\n"
    return files


def _load(path: Path, **options: Any) -> ImageDataset:
    assert find_source(str(path))[0] is SOURCE
    return SOURCE.load(path, SourceOptions(**options), SilentProgress())


def _refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        _load(path, **options)
    return str(caught.value)


def _check(dataset: ImageDataset, count: int) -> None:
    assert dataset.classes == NAMES
    seen = []
    for split in (dataset.train, dataset.test):
        for image, label in zip(split.images, split.labels, strict=True):
            seen.append(int(image[0, 0, 0]))
            assert label == seen[-1] % 2
    assert sorted(seen) == list(range(count))


@pytest.mark.parametrize("kind", ["cls", "txt", "json"])
def test_a_pattern_stands_for_shards(tmp_path: Path, kind: str) -> None:
    for shard in range(3):
        _tar(tmp_path / f"pets-{shard:03}.tar", _samples(20 * shard, 20 * shard + 20, kind))
    dataset = _load(tmp_path / "pets-{000..002}.tar")
    _check(dataset, 60)
    assert dataset.title == "pets"
    assert (dataset.train_groups is not None) == (kind == "json")
    refusal = _refusal(tmp_path / "pets-{000..004}.tar")
    assert "5 shards, of which 2 are not there: pets-003.tar, pets-004.tar" in refusal


def test_shards_names_say_the_split(tmp_path: Path) -> None:
    for name, (first, last) in {
        "train-0": (0, 20),
        "train-1": (20, 40),
        "val-0": (40, 50),
        "test-0": (50, 60),
    }.items():
        _tar(tmp_path / "shards" / f"{name}.tar", _samples(first, last))
    dataset = _load(tmp_path / "shards")
    _check(dataset, 60)
    assert len(dataset.test) == 10
    assert dataset.is_validation is not None
    assert dataset.is_validation.sum() == 10
    assert "by the names of the shards" in dataset.split_note


def test_images_without_a_label_and_masks_are_not_used(tmp_path: Path) -> None:
    more = {"000000.mask.png": _png(1), "extra.png": _png(2), "notes.md": "x"}
    dataset = _load(_tar(tmp_path / "a.tar", {**_samples(0, 20), **more}))
    _check(dataset, 20)
    assert any("1 image without a label" in note for note in dataset.notes)


def test_a_folder_tree_with_captions_in_a_tar_is_none(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {}
    for number in range(12):
        files |= {
            f"{NAMES[number % 2]}/{number}.png": _png(number),
            f"{NAMES[number % 2]}/{number}.txt": "words",
        }
    assert find_source(str(_tar(tmp_path / "a.tar", files)))[0].name == "archive"


def test_wrong_shards_are_named(tmp_path: Path) -> None:
    files = _samples(0, 20, "json")
    path = tmp_path / "a.tar"
    _tar(path, {**files, "000003.jpg": b"1"})
    assert "two images of one name: 000003.png and 000003.jpg" in _refusal(path)
    _tar(path, {**files, "000003.json": "{"})
    assert "a.tar/000003.json is no JSON" in _refusal(path)
    _tar(path, {**files, "000003.json": '{"label": null}'})
    assert "sample 000003.png of a.tar: no label" in _refusal(path)
    _tar(path, files)
    assert "no column 'lable'" in _refusal(path, label_column="lable")
    assert "Did you mean 'label'" in _refusal(path, label_column="lable")
    path.write_bytes(path.read_bytes()[:-15_000])
    assert "cut off" in _refusal(path)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a-{08..11}.tar", ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]),
        ("a-{8..11}.tar", ["a-8.tar", "a-9.tar", "a-10.tar", "a-11.tar"]),
        ("{0..1}-{0..1}.tar", ["0-0.tar", "0-1.tar", "1-0.tar", "1-1.tar"]),
    ],
)
def test_braces_are_expanded_as_a_shell_does(
    tmp_path: Path, pattern: str, names: list[str]
) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert [shard.name for shard in shards_of(tmp_path / pattern)] == names


@pytest.mark.parametrize("pattern", ["{0..99999999}.tar", "{5..1}.tar"])
def test_absurd_braces_are_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(DataError, match=r"braces|no shard"):
        shards_of(tmp_path / pattern)


def test_a_sample_s_name_ends_at_the_first_full_stop() -> None:
    assert key_of("a.b/17.seg.PNG") == ("a.b/17", ".seg.png")
    assert key_of("17") == ("17", "")
