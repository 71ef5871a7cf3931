from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import StorageError
from tenfold.core.files import (
    atomic_path,
    check_regular_file,
    read_regular_file,
    sha256_of_file,
    sha256_of_json,
    storage_errors,
    write_bytes,
    write_json,
    write_text,
)

DISK_ERRORS = [
    (errno.ENOSPC, "disk is full"),
    (errno.EDQUOT, "quota is used up"),
    (errno.EROFS, "read-only"),
    (errno.EACCES, "Permission was denied"),
    (errno.EPERM, "Permission was denied"),
]


def failing(number: int) -> Callable[..., Any]:
    """Give a function that fails as the operating system would."""

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_written_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "one" / "two" / "file.bin"
    write_bytes(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert names_in(path.parent) == ["file.bin"]


def test_text_is_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "größer\n±20°\n")
    assert (tmp_path / "file.txt").read_bytes() == "größer\n±20°\n".encode()


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "a much longer old text")
    write_text(path, "new")
    assert path.read_text() == "new"


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with atomic_path(path) as part:
        part.write_text("half")
        assert path.read_text() == "old"
        assert part.parent == path.parent  # a rename across file systems is not atomic
    assert path.read_text() == "half"


def test_what_a_kill_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with atomic_path(path) as part:
        part.write_text("x")
    part.write_text("left behind by a kill, longer than what comes")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert names_in(tmp_path) == ["file.txt"]


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.csv").symlink_to("elsewhere/real.csv")
    for content in ("new", "newer"):  # the first time there is nothing at the link's end
        write_text(tmp_path / "link.csv", content)
        assert (tmp_path / "link.csv").is_symlink()
        assert (tmp_path / "elsewhere" / "real.csv").read_text() == content
    assert names_in(tmp_path / "elsewhere") == ["real.csv"]


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = b"x" * 200_000  # more than a pipe holds
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        write_bytes(pipe, content)
        assert read.result(timeout=60) == content
    assert pipe.is_fifo()
    assert names_in(tmp_path) == ["pipe"]


def test_an_open_stream_is_written_behind_what_it_holds(tmp_path: Path) -> None:
    code = "import sys; from tenfold.core.files import *; write_text(Path(sys.argv[1]), 'new\\n')"
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        log = tmp_path / "log"
        log.write_text("before\n")
        with log.open("a") as stream:
            subprocess.run([sys.executable, "-c", code, name], check=True, stdout=stream)
        assert log.read_text() == "before\nnew\n"
    assert Path("/dev/stdout").is_symlink()
    assert names_in(tmp_path) == ["log"]


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    write_text(Path(os.devnull), "gone")
    assert Path(os.devnull).is_char_device()


def test_a_pipe_that_nobody_reads_to_the_end_is_said(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(StorageError, match="Broken pipe"):
        write_text(Path(f"/dev/fd/{writing}"), "new")
    os.close(writing)


@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, failure: BaseException
) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def begin_and_fail() -> None:
        with atomic_path(path) as part:
            part.write_text("half")
            raise failure

    with pytest.raises(type(failure)):
        begin_and_fail()
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file.txt"]


@pytest.mark.parametrize(("number", "words"), DISK_ERRORS)
@pytest.mark.parametrize("step", ["write_bytes", "fsync", "replace", "mkdir"])
def test_errors_of_the_disk_are_said_in_words_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str, step: str
) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with monkeypatch.context() as broken:
        broken.setattr(os if step == "fsync" else Path, step, failing(number))
        with pytest.raises(StorageError, match=words) as caught:
            write_text(path, "new")
    assert str(path) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file.txt"]


def test_a_disk_that_fills_up_half_way_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"

    def begin_and_fill_up() -> None:
        with atomic_path(path) as part:
            part.write_bytes(b"half")
            failing(errno.ENOSPC)()

    with pytest.raises(StorageError, match="Free some space and run the same command again"):
        begin_and_fill_up()
    assert names_in(tmp_path) == []


def test_a_file_in_the_place_of_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am no folder")
    for path in (tmp_path / "file" / "a.txt", tmp_path / "file" / "b" / "a.txt"):
        with pytest.raises(StorageError, match="--out"):
            write_text(path, "new")
    assert (tmp_path / "file").read_text() == "I am no folder"


def test_other_errors_of_writing_are_told_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(StorageError, match=r"name too long\. Choose another folder") as caught:
        write_text(path, "new")
    assert str(path) in str(caught.value)


def test_errors_that_say_nothing_of_a_disk_pass_where_that_is_asked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), storage_errors(tmp_path, only_known=True):
        (tmp_path / "missing").read_text()
    with pytest.raises(StorageError, match="full"), storage_errors(tmp_path, only_known=True):
        failing(errno.ENOSPC)()


def test_a_storage_error_is_not_wrapped_twice(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^inner$"), storage_errors(tmp_path):
        raise StorageError("inner")


def test_json_is_readable_and_ends_with_a_line_end(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"b": [1, 2.5], "a": "größer"})
    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert text == '{\n  "b": [\n    1,\n    2.5\n  ],\n  "a": "größer"\n}\n'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_other_readers_cannot_read(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", {"loss": value})
    assert names_in(tmp_path) == []


@given(content=st.binary(max_size=5_000))
def test_the_hash_of_a_file_is_its_sha256(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("hashed") / "file"
    write_bytes(path, content)
    assert sha256_of_file(path) == hashlib.sha256(content).hexdigest()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(content=st.dictionaries(st.text(max_size=5), PLAIN, max_size=4))
def test_the_hash_of_plain_data_does_not_depend_on_key_order(content: dict[str, Any]) -> None:
    turned = dict(reversed(content.items()))
    assert sha256_of_json(turned) == sha256_of_json(content)
    assert sha256_of_json(json.loads(json.dumps(content))) == sha256_of_json(content)


def test_the_hash_of_plain_data_tells_values_apart() -> None:
    contents: list[Any] = [{"a": 1}, {"a": "1"}, {"a": 1.5}, {"b": 1}, {"a": None}, [1], {"a": [1]}]
    assert len({sha256_of_json(content) for content in contents}) == len(contents)


ON_POSIX = hasattr(os, "mkfifo")


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in (b"", b"abc", bytes(3 * 2**20)):
        path.write_bytes(content)
        assert read_regular_file(path, 3 * 2**20) == content
    (tmp_path / "link").symlink_to(path)
    assert read_regular_file(tmp_path / "link", 2**30) == bytes(3 * 2**20)


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate(10**12)  # Sparse: takes no space.
    with pytest.raises(OSError, match=r"it has 1,000,000,000,000 bytes or more; at most 10 "):
        read_regular_file(path, 10)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_a_file_that_says_it_is_empty_is_bounded_too() -> None:
    assert read_regular_file(Path("/proc/self/status"), 2**20)
    with pytest.raises(OSError, match="at most 10 "):
        read_regular_file(Path("/proc/self/maps"), 10)


@pytest.mark.skipif(not ON_POSIX, reason="needs named pipes and devices")
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        for read in (check_regular_file, lambda path: read_regular_file(path, 10)):
            with pytest.raises(OSError, match="it is a pipe or a device"):
                read(tmp_path / name)
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        read_regular_file(tmp_path, 10)
    with pytest.raises(FileNotFoundError):
        read_regular_file(tmp_path / "missing", 10)
