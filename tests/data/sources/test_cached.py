from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenfold.core.errors import SettingsError
from tenfold.data.sources.cached import cached, remove_cached


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a cache with an archive, two versions of one address, and a cut transfer."""
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path))
    (tmp_path / "archive.tar.gz").write_bytes(b"a" * 300)
    for version, size in (("v1", 100), ("v2", 200)):
        file = tmp_path / "remote" / "one" / version / "images.zip"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"b" * size)
    latest = {"path": "v2/images.zip", "address": "s3://bucket/images.zip"}
    (tmp_path / "remote" / "one" / "latest.json").write_text(json.dumps(latest))
    cut = tmp_path / "remote" / "two" / "v1"
    cut.mkdir(parents=True)
    (cut / "piece").write_bytes(b"c" * 50)
    return tmp_path


def test_what_is_there_is_listed_by_size(folder: Path) -> None:
    assert [(one.key, one.size_bytes, one.is_old) for one in cached()] == [
        ("archive.tar.gz", 300, False),
        ("one/v2", 200, False),
        ("one/v1", 100, True),
        ("two/v1", 50, True),
    ]
    assert cached()[1].origin == "s3://bucket/images.zip"


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["old"], ["archive.tar.gz", "one/v2"]),
        (["one/v2", "archive.tar.gz"], ["one/v1", "two/v1"]),
        (["all"], []),
    ],
)
def test_what_is_named_is_removed(folder: Path, names: list[str], left: list[str]) -> None:
    before = {one.key for one in cached()}
    removed = {one.key for one in remove_cached(names)}
    assert [one.key for one in cached()] == left
    assert removed == before - set(left)


def test_what_is_not_there_is_refused_and_nothing_removed(folder: Path) -> None:
    with pytest.raises(SettingsError, match="one/v1"):
        remove_cached(["all", "../elsewhere"])
    assert len(cached()) == 4


def test_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "none"))
    assert cached() == []
    assert remove_cached(["all"]) == []
