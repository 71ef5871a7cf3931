"""Addresses: an S3 server in this process, with its errors, and one that vanishes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests

from tenfold.core.errors import DataError, DownloadError
from tenfold.core.progress import SilentProgress
from tenfold.data.sources import remote
from tenfold.data.sources.finding import find_source
from tenfold.data.sources.source import SourceOptions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class S3:
    """A server that can be stopped and started again; what it holds stays."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._make = ThreadedMotoServer
        self.server = self._make(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server = self._make(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1"
        )


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    running = S3()
    yield running
    running.stop()


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    import fsspec

    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.url,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "_FIRST_WAIT_SECONDS", 0.0)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.client().create_bucket(Bucket="pets")
    return server


@pytest.fixture
def folder(image_tree: Callable[..., Path]) -> Path:
    files = {
        f"{split}/{name}/{number}.png": 9 * number + shade
        for split in ("train", "test")
        for shade, name in enumerate(("cat", "dog"))
        for number in range(9)
    }
    return image_tree(files)


@pytest.fixture
def archive(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder.parent / "pets"), "zip", folder))


def _load(data: str) -> Any:
    source, path, _ = find_source(data)
    return source.name, source.load(path, SourceOptions(), SilentProgress())


def test_an_archive_in_a_bucket_is_fetched_once(
    s3: S3, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = s3.client()
    client.upload_file(str(archive), "pets", "sets/pets.zip")
    name, dataset = _load("s3://pets/sets/pets.zip")
    assert (name, dataset.title) == ("archive", "pets")
    assert dataset.train.sha256() == _load(str(archive))[1].train.sha256()
    monkeypatch.setattr(remote, "_piece", None)  # Nothing is fetched again.
    first = find_source("s3://pets/sets/pets.zip")[1]
    assert find_source("s3://pets/sets/pets.zip", is_offline=True)[1] == first
    monkeypatch.undo()
    with pytest.raises(DownloadError, match=r"forbidden \(--offline\)"):
        find_source("s3://pets/sets/others.zip", is_offline=True)


def test_a_changed_file_is_fetched_again(s3: S3) -> None:
    client = s3.client()
    paths = []
    for content in (b"one", b"two"):
        client.put_object(Bucket="pets", Key="a.bin", Body=content)
        paths.append(remote.fetch("s3://pets/a.bin", SilentProgress()))
        assert paths[-1].read_bytes() == content
    assert paths[0] != paths[1]


def test_a_prefix_is_a_folder_and_a_pattern_its_shards(s3: S3, folder: Path) -> None:
    client = s3.client()
    for file in sorted(folder.rglob("*.png")):
        client.upload_file(str(file), "pets", f"tree/{file.relative_to(folder).as_posix()}")
    name, dataset = _load("s3://pets/tree")
    assert (name, dataset.title, len(dataset.train), len(dataset.test)) == (
        "folder",
        "tree",
        18,
        18,
    )
    for shard in range(2):
        client.put_object(Bucket="pets", Key=f"w/a-{shard}.tar", Body=b"%d" % shard)
    path = remote.fetch("s3://pets/w/a-{0..1}.tar", SilentProgress())
    assert [(path.parent / f"a-{n}.tar").read_bytes() for n in range(2)] == [b"0", b"1"]


def test_names_that_lead_out_of_the_folder_are_refused(s3: S3) -> None:
    s3.client().put_object(Bucket="pets", Key="bad/../../../x", Body=b"1")
    with pytest.raises(DataError, match="leads out of its folder"):
        remote.fetch("s3://pets/bad", SilentProgress())


def test_what_is_not_there_or_not_allowed_is_said(s3: S3) -> None:
    s3.client().put_object(Bucket="pets", Key="sub/pets.zip", Body=b"1")
    with pytest.raises(DataError, match=r"Did you mean pets\.zip\?"):
        find_source("s3://pets/sub/pet.zip")
    for address in ("s3://no-such-bucket/a.zip", "s3://pets/no-such.zip"):
        with pytest.raises(DataError, match=f"{address} is not there"):
            find_source(address)
    requests.post(f"{s3.url}/moto-api/reset-auth", data=b"0", timeout=10)
    try:
        with pytest.raises(DataError, match=r"may not be read .*AWS_PROFILE"):
            find_source("s3://pets/a.zip")
    finally:
        requests.post(f"{s3.url}/moto-api/reset-auth", data=b"inf", timeout=10)


def test_a_server_that_vanishes_is_gone_on_with(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(range(256)) * 40
    s3.client().put_object(Bucket="pets", Key="big.bin", Body=content)
    monkeypatch.setattr(remote, "_PIECE_BYTES", 1000)
    fetched: list[int] = []
    piece = remote._piece

    def vanishing(system: Any, file: Any, start: int) -> bytes:
        if len(fetched) == 4:
            s3.stop()
        found = piece(system, file, start)
        fetched.append(start)
        return found

    monkeypatch.setattr(remote, "_piece", vanishing)
    with pytest.raises(DownloadError, match=r"broke off after 4,000 of 10,240 bytes .*goes on"):
        remote.fetch("s3://pets/big.bin", SilentProgress())
    s3.start()
    monkeypatch.setattr(remote, "_piece", piece)
    pieces: list[int] = []

    def counted(system: Any, file: Any, start: int) -> bytes:
        pieces.append(start)
        return piece(system, file, start)

    monkeypatch.setattr(remote, "_piece", counted)
    assert remote.fetch("s3://pets/big.bin", SilentProgress()).read_bytes() == content
    assert pieces == list(range(4000, 10240, 1000))


def test_a_file_on_the_web_without_ranges(
    serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * 40
    monkeypatch.setattr(remote, "_PIECE_BYTES", 1000)
    monkeypatch.setattr(remote, "_FIRST_WAIT_SECONDS", 0.0)

    class Plain(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            known = self.path.startswith("/a.bin")
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(content) if known else 0))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            if self.path.startswith("/a.bin"):
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    host = serve(Plain)
    path = remote.fetch(f"{host}/a.bin?signature=secret", SilentProgress())
    assert (path.name, path.read_bytes()) == ("a.bin", content)
    with pytest.raises(DataError, match="is not there") as caught:
        remote.fetch(f"{host}/b.bin?signature=secret", SilentProgress())
    assert "secret" not in str(caught.value)


def test_other_addresses_are_refused() -> None:
    with pytest.raises(DataError, match=r"does not read. Give one of s3://, gs://"):
        find_source("ftp://example.org/photos.zip")
