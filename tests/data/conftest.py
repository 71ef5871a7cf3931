"""Small copies of the data sets' published layouts, made on the spot."""

from __future__ import annotations

import io
import pickle
import signal
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
RECORDS = 7


@pytest.fixture(autouse=True)
def own_cache(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """Keep the user's own CIFAR-10 and cache out of every test that does not ask for them."""
    if request.node.get_closest_marker("cifar10") is None:
        monkeypatch.delenv("TENFOLD_CIFAR10", raising=False)
    cache = tmp_path / "cache"
    monkeypatch.setenv("TENFOLD_CACHE", str(cache))
    return cache


@dataclass(frozen=True)
class TinyCifar10:
    """CIFAR-10 with `RECORDS` images a batch: what should come out of every version."""

    images: npt.NDArray[np.uint8]  # 6 × records × 3 × 32 × 32
    labels: npt.NDArray[np.int64]  # 6 × records

    def binary_files(self) -> dict[str, bytes]:
        files = {
            f"{name}.bin": np.column_stack(
                [self.labels[slot].astype(np.uint8), self.images[slot].reshape(RECORDS, -1)]
            ).tobytes()
            for slot, name in enumerate(BATCHES)
        }
        return {**files, "batches.meta.txt": ("\n".join(CLASSES) + "\n\n").encode()}

    def python_files(self, protocol: int = 2) -> dict[str, bytes]:
        files = {
            name: pickle.dumps(
                {
                    b"batch_label": b"a batch",
                    b"labels": self.labels[slot].tolist(),
                    b"data": self.images[slot].reshape(RECORDS, -1),
                    b"filenames": [b"%d.png" % row for row in range(RECORDS)],
                },
                protocol,
            )
            for slot, name in enumerate(BATCHES)
        }
        meta = {b"label_names": [name.encode() for name in CLASSES], b"num_vis": 3072}
        return {**files, "batches.meta": pickle.dumps(meta, protocol)}

    def expected_images(self) -> npt.NDArray[np.uint8]:
        return self.images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


@pytest.fixture(scope="session")
def tiny_cifar10() -> TinyCifar10:
    rng = np.random.default_rng(1)
    return TinyCifar10(
        rng.integers(0, 256, (6, RECORDS, 3, 32, 32), dtype=np.uint8),
        rng.integers(0, 10, (6, RECORDS)),
    )


@dataclass(frozen=True)
class TinyCifar100:
    """CIFAR-100 with few images: what should come out of every version."""

    images: npt.NDArray[np.uint8]  # records × 3 × 32 × 32
    labels: npt.NDArray[np.int64]  # records
    records: tuple[int, int] = (9, 4)

    def _parts(self) -> dict[str, slice]:
        return {"train": slice(0, self.records[0]), "test": slice(self.records[0], None)}

    def binary_files(self) -> dict[str, bytes]:
        files = {}
        for name, rows in self._parts().items():
            labels = self.labels[rows].astype(np.uint8)
            pixels = self.images[rows].reshape(len(labels), -1)
            files[f"{name}.bin"] = np.column_stack([labels // 5, labels, pixels]).tobytes()
        names = "\n".join(self.names()) + "\n"
        return {**files, "fine_label_names.txt": names.encode(), "coarse_label_names.txt": b"a\n"}

    def python_files(self) -> dict[str, bytes]:
        files = {}
        for name, rows in self._parts().items():
            labels = self.labels[rows]
            table = {
                b"filenames": [b"a.png"] * len(labels),
                b"fine_labels": labels.tolist(),
                b"coarse_labels": (labels // 5).tolist(),
                b"data": self.images[rows].reshape(len(labels), -1),
            }
            files[name] = pickle.dumps(table, 3)
        meta = {
            b"fine_label_names": [name.encode() for name in self.names()],
            b"coarse_label_names": [b"a"],
        }
        return {**files, "meta": pickle.dumps(meta, 3)}

    @staticmethod
    def names() -> list[str]:
        return [f"kind_{number:02}" for number in range(100)]

    def expected_images(self) -> npt.NDArray[np.uint8]:
        return self.images.transpose(0, 2, 3, 1)


@pytest.fixture(scope="session")
def tiny_cifar100() -> TinyCifar100:
    rng = np.random.default_rng(2)
    return TinyCifar100(
        rng.integers(0, 256, (13, 3, 32, 32), dtype=np.uint8), rng.integers(0, 100, 13)
    )


@pytest.fixture
def binary_folder(tiny_cifar10: TinyCifar10, tmp_path: Path) -> Path:
    return write_files(tmp_path / "binary", tiny_cifar10.binary_files())


@pytest.fixture
def python_folder(tiny_cifar10: TinyCifar10, tmp_path: Path) -> Path:
    return write_files(tmp_path / "python", tiny_cifar10.python_files())


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _tar_gz(files: dict[str, bytes], folder: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}" if folder else name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def tar_gz() -> Callable[[dict[str, bytes], str], bytes]:
    """Give the bytes of a .tar.gz of files in a folder."""
    return _tar_gz


@dataclass
class RecordedProgress:
    """Keeps what was said and how far each task went."""

    lines: list[str] = field(default_factory=list)
    tasks: list[tuple[str, float, str]] = field(default_factory=list)
    done: list[float] = field(default_factory=list)

    def say(self, message: str) -> None:
        self.lines.append(message)

    @contextmanager
    def task(
        self, description: str, total: float, *, done: float = 0.0, unit: str = "it"
    ) -> Iterator[RecordedProgress]:
        self.tasks.append((description, total, unit))
        self.done.append(done)
        yield self

    def advance(self, units: float = 1.0, *, detail: str = "") -> None:
        self.done[-1] += units


@pytest.fixture
def progress() -> RecordedProgress:
    return RecordedProgress()


@pytest.fixture
def image_tree(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes images, one colour each: {"cat/1.png": (255, 0, 0)}."""

    def write(files: dict[str, object], size: tuple[int, int] = (8, 8), root: str = "data") -> Path:
        folder = tmp_path / root
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif isinstance(content, Image.Image):
                content.save(path)
            else:
                mode = "L" if isinstance(content, int) else "RGB"
                Image.new(mode, size, content).save(path)  # type: ignore[arg-type]
        return folder

    return write


@contextmanager
def _ends() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise AssertionError("it goes on for ever")

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)


@pytest.fixture
def ends() -> Callable[[], AbstractContextManager[None]]:
    """Give a guard: what runs in it does not go on for ever."""
    return _ends


@pytest.fixture
def bounded() -> Callable[[int], AbstractContextManager[None]]:
    """Give a guard: what runs in it ends, and allocates at most so many bytes at once."""

    @contextmanager
    def guard(most_bytes: int) -> Iterator[None]:
        tracemalloc.start()
        try:
            with _ends():
                yield
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak <= most_bytes, f"{peak:,} bytes at once"

    return guard


@pytest.fixture
def serve() -> Iterator[Callable[[type[BaseHTTPRequestHandler]], str]]:
    """Give a function that starts a server on this machine and gives its address."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that hang up are part of the tests."""

    with ExitStack() as stack:

        def start(handler: type[BaseHTTPRequestHandler]) -> str:
            running = stack.enter_context(Quiet(("127.0.0.1", 0), handler))
            thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(running.shutdown)
            return f"http://127.0.0.1:{running.server_port}"

        yield start
