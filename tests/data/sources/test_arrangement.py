"""What stays together, and what is newest: rules over paths, names and EXIF of image files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError, SettingsError
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageDataset
from tenfold.data.sources.folder import SOURCE
from tenfold.data.sources.grouping import Rule, parse_rule
from tenfold.data.sources.source import SourceOptions
from tenfold.data.sources.table import SOURCE as TABLE

PEOPLE = 10
SHOTS = 4


def _numbered() -> Iterator[tuple[int, int]]:
    yield from ((person, shot) for person in range(PEOPLE) for shot in range(SHOTS))


def _brightness(person: int, shot: int) -> int:
    return person * SHOTS + shot


def _class(person: int) -> str:
    return ("cat", "dog")[person % 2]


def _load(folder: Path, **options: Any) -> ImageDataset:
    return SOURCE.load(folder, SourceOptions(**options), SilentProgress())


def _people(images: Any) -> list[int]:
    return [int(image[0, 0, 0]) // SHOTS for image in images]


def _apart(dataset: ImageDataset) -> bool:
    return not {*_people(dataset.train.images)} & {*_people(dataset.test.images)}


@pytest.fixture
def by_name(image_tree: Callable[..., Path]) -> Path:
    return image_tree(
        {
            f"{_class(person)}/p{person}_{shot}.png": _brightness(person, shot)
            for person, shot in _numbered()
        }
    )


@pytest.fixture
def by_folder(image_tree: Callable[..., Path]) -> Path:
    return image_tree(
        {
            f"{_class(person)}/p{person}/{shot}.png": _brightness(person, shot)
            for person, shot in _numbered()
        }
    )


@pytest.fixture
def with_exif(tmp_path: Path) -> Path:
    """Give photographs of ten days, by two cameras."""
    for person, shot in _numbered():
        exif = Image.Exif()
        exif[271], exif[272] = "Maker", f"Model {person % 2}"
        exif.get_ifd(0x8769)[36867] = f"2024:03:{person + 1:02} 10:00:{shot:02}"
        path = tmp_path / "photos" / _class(person // 2) / f"{person:02}-{shot}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("L", (16, 16), _brightness(person, shot))
        image.save(path, exif=exif, quality=100)
    return tmp_path / "photos"


@pytest.mark.parametrize("rule", [r"name:p(\d+)_", "none"])
def test_a_pattern_in_the_name_keeps_images_together(by_name: Path, rule: str) -> None:
    dataset = _load(by_name, group_by=rule)
    assert len(dataset.train) + len(dataset.test) == PEOPLE * SHOTS
    assert _apart(dataset) == (rule != "none")
    assert (dataset.grouping is None) == (rule == "none")


@pytest.mark.parametrize("rule", ["folder", "path:2", "path:-1"])
def test_a_part_of_the_path_keeps_images_together(by_folder: Path, rule: str) -> None:
    dataset = _load(by_folder, group_by=rule)
    assert _apart(dataset)
    assert dataset.grouping is not None
    groups = dataset.grouping.groups
    people = [*_people(dataset.train.images), *_people(dataset.test.images)]
    for group in np.unique(groups):
        assert len({people[place] for place in np.flatnonzero(groups == group)}) == 1
    assert len(np.unique(groups)) == PEOPLE
    assert dataset.train_groups is not None
    assert (dataset.train_groups < len(dataset.train)).all()


def test_a_day_and_a_camera_keep_images_together(with_exif: Path) -> None:
    assert _apart(_load(with_exif, group_by="exif:day"))
    dataset = _load(with_exif, group_by="exif:camera")
    assert len({person % 2 for person in _people(dataset.test.images)}) == 1


def test_the_newest_images_are_the_test_images(with_exif: Path) -> None:
    dataset = _load(with_exif, order_by="exif:time", test_fraction=0.2, group_by="none")
    shots = [int(image[0, 0, 0]) for image in dataset.test.images]
    assert sorted(shots) == list(range(PEOPLE * SHOTS * 8 // 10, PEOPLE * SHOTS))
    assert dataset.train_order is not None
    times = [int(image[0, 0, 0]) for image in dataset.train.images]
    assert np.argsort(dataset.train_order).tolist() == np.argsort(times).tolist()


def test_an_order_that_leaves_a_class_untrained_is_refused(image_tree: Callable[..., Path]) -> None:
    names = {f"{'cat' if day < 8 else 'dog'}/{day}-{shot}.png": day for day, shot in _numbered()}
    folder = image_tree(names)
    with pytest.raises(DataError, match="All images of dog are among the newest"):
        _load(folder, order_by=r"name:^(\d+)", group_by="none")


def test_given_splits_stay_and_a_group_in_both_is_said(image_tree: Callable[..., Path]) -> None:
    files = {}
    for person, shot in _numbered():
        split = "test" if shot == 0 and person < 6 else "train"
        files[f"{split}/{_class(person)}/p{person}_{shot}.png"] = _brightness(person, shot)
    folder = image_tree(files)
    dataset = _load(folder, group_by=r"name:(p\d+)")
    assert len(dataset.test) == 6
    said = " ".join(dataset.notes)
    assert "6 groups have images in the test split and in training" in said
    assert "shown apart" in said


def test_a_rule_that_finds_nothing_is_refused(by_name: Path) -> None:
    for rule, reason in {
        r"name:(\d{8})": "such as p0_0.png",
        "path:3": "path:1 is cat",
        "exif:camera": "none of the 40 images says its camera",
        "exif:day": "none of the 40 images says its time",
        "patient": "these images come without a table",
        "series": "finds none",
    }.items():
        with pytest.raises(DataError) as caught:
            _load(by_name, group_by=rule, find_series=lambda *_: None)
        assert f"--group-by {rule}" in str(caught.value)
        assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "setting", "reason"),
    [
        ("", "group_by", "is empty"),
        ("path:0", "group_by", "1 for the first part"),
        ("path:x", "group_by", "1 for the first part"),
        ("name:(", "group_by", "no regular expression"),
        ("name:a+", "group_by", "has 0 groups in brackets"),
        ("name:(a)(b)", "group_by", "has 2 groups in brackets"),
        ("exif:camra", "group_by", "Did you mean 'exif:camera'"),
        ("exif:camera", "order_by", "exif:time"),
        ("exif:time", "group_by", "exif:day"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, setting: Any, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_rule(text, setting)
    assert reason in str(caught.value)
    assert f"--{setting.replace('_', '-')}" in str(caught.value)


def test_a_name_alone_is_a_column() -> None:
    assert parse_rule("patient", "group_by") == Rule("patient", "column", "patient")
    assert parse_rule("column:none", "group_by") == Rule("column:none", "column", "none")
    assert parse_rule("none", "group_by").kind == "none"


def test_a_table_s_column_orders(by_name: Path) -> None:
    rows = ["path,label,taken"]
    rows += [
        f"{_class(person)}/p{person}_{shot}.png,{_class(person)},2024-01-{28 - person}"
        for person, shot in _numbered()
    ]
    (by_name / "labels.csv").write_text("\n".join(rows))
    options = SourceOptions(order_column="taken", order_by="taken", group_by="none")
    dataset = TABLE.load(by_name / "labels.csv", options, SilentProgress())
    assert {*_people(dataset.test.images)} == {0, 1}


def test_half_of_what_tenfold_draws_shows_what_found_series_flatter(by_name: Path) -> None:
    from tenfold.data.dataset import Grouping

    def find(images: Any, labels: Any, names: list[str], taken: Any) -> Grouping:
        people = [name.rpartition("/")[2].partition("_")[0] for name in names]
        return Grouping(np.array([people.index(person) for person in people]), "names", True)

    dataset = _load(by_name, find_series=find)
    assert dataset.grouping is not None
    assert dataset.grouping.is_found
    trained = {*_people(dataset.train.images)}
    seen = [person in trained for person in _people(dataset.test.images)]
    assert any(seen)
    assert not all(seen)
    whole = _load(by_name, find_series=find, group_by="series")
    assert _apart(whole)
