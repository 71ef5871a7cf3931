"""Measure serving and batch prediction against ONNX Runtime and PyTorch called directly.

    python benchmarks/serving.py MODEL CIFAR10_FOLDER [--quick] [--parts latency,predict,memory]

MODEL is a model folder or a run folder of a study on CIFAR-10 (32 × 32 colour). CIFAR10_FOLDER is
the unpacked binary version, whose test images are sent as PNG files. Server and clients share this
machine and speak over loopback. Prints a table in Markdown for docs/serving.md. Other servers are
measured beside it by `benchmarks/serving_peers.py`.

- **latency**: the server with one client that waits for each answer, against the graph run
  directly on arrays already decoded; then 32 clients. "One at a time" is that one client.
- **predict**: `tenfold predict`'s own loop over 10,000 PNG files, decoding included, against bare
  loops over decoded arrays with the same batches.
- **memory**: resident memory of the server every 5,000 requests.

`--quick` shortens everything to check that it works.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import tenfold
from tenfold.classifier import classifier_of
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import Images
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.serving.export import exported_model
from tenfold.serving.onnx_model import OnnxModel
from tenfold.serving.prediction import find_images, predict_files
from tenfold.training.device import choose_device
from tenfold.training.inference import INFERENCE_BATCH_SIZE, predict_logits
from tenfold.training.model_folder import PackagedModel, read_model_folder

CLIENTS = 32


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    direct_runs: int
    requests_alone: int
    requests_together: int
    predicted_images: int
    memory_requests: int
    repeats: int


FULL = Size(500, 1000, 6000, 10_000, 50_000, 3)
QUICK = Size(50, 60, 320, 600, 2000, 1)


class Connection(asyncio.Protocol):
    """One client on one connection: the next request when the answer is there.

    Bare on purpose: clients share the machine with the server, and what they cost is charged to it.
    """

    def __init__(self, requests: Sequence[bytes], take: Callable[[], int | None]) -> None:
        self.requests = requests
        self.take = take
        self.seconds: list[float] = []
        self.done = asyncio.get_running_loop().create_future()
        self.received = b""

    def connection_made(self, transport: Any) -> None:
        """Send the first request."""
        self.transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """Read an answer's end."""
        self.received += data
        head, mark, body = self.received.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(self.received[:300].decode()))
            self.transport.close()
            return
        self.seconds.append(time.perf_counter() - self.sent)
        self.received = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's name
        """Say that this client is done."""
        if not self.done.done():
            self.done.set_result(None)

    def _next(self) -> None:
        number = self.take()
        if number is None:
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(self.requests[number % len(self.requests)])


@dataclass(frozen=True)
class Load:
    """What clients saw."""

    per_second: float
    p50_ms: float
    p99_ms: float


async def _load(port: int, requests: Sequence[bytes], clients: int, count: int) -> Load:
    numbers = iter(range(count))
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    connections = [
        (
            await loop.create_connection(
                lambda: Connection(requests, lambda: next(numbers, None)), "127.0.0.1", port
            )
        )[1]
        for _ in range(clients)
    ]
    await asyncio.gather(*(one.done for one in connections))
    elapsed = time.perf_counter() - began
    seconds = np.array([one for client in connections for one in client.seconds])
    p50, p99 = np.quantile(seconds, (0.5, 0.99)) * 1e3
    return Load(count / elapsed, float(p50), float(p99))


def put_load(port: int, requests: Sequence[bytes], *, clients: int, count: int) -> Load:
    """Send requests with so many clients at once."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_load(port, requests, clients, count))
    loaded: Load = uvloop.run(_load(port, requests, clients, count))
    return loaded


class Server:
    """`tenfold serve` in a process of its own."""

    def __init__(self, model: Path, *settings: str) -> None:
        changes = [part for setting in settings for part in ("--set", setting)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tenfold", "serve", str(model), "--port", "0", *changes],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2].split()[0])

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.process.terminate()
        self.process.wait()

    def resident_mb(self) -> float:
        """Give the memory that the server holds, MB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def png(pixels: Any) -> bytes:
    """Give an image as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def as_request(body: bytes, *, path: str = "/api/predict", kind: str = "image/png") -> bytes:
    """Give the bytes of a whole HTTP request that carries an image."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def p50_ms(function: Callable[[int], object], count: int) -> float:
    """Give the median time of a call, after some to warm up."""
    for number in range(10):
        function(number)
    seconds = []
    for number in range(count):
        began = time.perf_counter()
        function(number)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1e3


def measure_latency(file: Path, images: Images, size: Size) -> None:
    """Print latency alone and throughput of many clients."""
    model = OnnxModel.read(file)
    ones = [images[place : place + 1] for place in range(200)]
    requests = [as_request(png(one[0])) for one in ones]
    direct, alone, together, unbatched = [], [], [], []
    for _ in range(size.repeats):  # in turns, so that a slower minute slows all
        direct.append(p50_ms(lambda number: model.predict(ones[number % 200]), size.direct_runs))
        with Server(file) as server:
            put_load(server.port, requests, clients=1, count=30)
            alone.append(put_load(server.port, requests, clients=1, count=size.requests_alone))
            put_load(server.port, requests, clients=CLIENTS, count=10 * CLIENTS)
            together.append(
                put_load(server.port, requests, clients=CLIENTS, count=size.requests_together)
            )
        with Server(file, "batch_images=1") as server:
            put_load(server.port, requests, clients=CLIENTS, count=10 * CLIENTS)
            unbatched.append(
                put_load(server.port, requests, clients=CLIENTS, count=size.requests_alone)
            )
    direct_ms = statistics.median(direct)
    one = statistics.median(load.p50_ms for load in alone)
    serial = statistics.median(load.per_second for load in alone)
    many = statistics.median(load.per_second for load in together)
    plain = statistics.median(load.per_second for load in unbatched)
    p50 = statistics.median(load.p50_ms for load in together)
    p99 = statistics.median(load.p99_ms for load in together)
    row("ONNX Runtime called directly, one decoded image, p50", f"{direct_ms:.2f} ms", "")
    row("served, one client, p50", f"{one:.2f} ms", f"{one / direct_ms:.2f}× (at most 1.5×)")
    row("one request at a time", f"{serial:,.0f} images/s", "")
    row(
        f"{CLIENTS} clients",
        f"{many:,.0f} images/s",
        f"{many / serial:.2f}× one at a time (at least 3×)",
    )
    row(f"{CLIENTS} clients, p50 and p99", f"{p50:.1f} ms and {p99:.1f} ms", "")
    row(f"{CLIENTS} clients, batches of 1", f"{plain:,.0f} images/s", f"{many / plain:.2f}× below")


def measure_prediction(packaged: PackagedModel, file: Path, images: Images, size: Size) -> None:
    """Print the throughput of `tenfold predict` and of bare loops."""
    classifier = classifier_of(packaged, device="cpu")
    device = choose_device("cpu")
    precision = torch.bfloat16 if packaged.record.precision == "bfloat16" else torch.float32
    model = OnnxModel.read(file)
    chosen = images[: size.predicted_images]
    rates: dict[str, list[float]] = {"predict": [], "torch": [], "onnx": []}

    def timed(name: str, function: Callable[[], object]) -> None:
        began = time.perf_counter()
        function()
        rates[name].append(len(chosen) / (time.perf_counter() - began))

    with tempfile.TemporaryDirectory() as folder:
        for number, pixels in enumerate(chosen):
            (Path(folder) / f"{number:05}.png").write_bytes(png(pixels))
        found = find_images([folder])
        predict_logits(classifier.network_, chosen[:INFERENCE_BATCH_SIZE], device=device)
        for _ in range(size.repeats):
            timed("predict", lambda: sum(1 for _ in predict_files(classifier, found)))
            timed(
                "torch",
                lambda: predict_logits(
                    classifier.network_, chosen, device=device, precision=precision
                ),
            )
            timed("onnx", lambda: model.predict_many(chosen))
    predict, bare, onnx = (statistics.median(rates[name]) for name in ("predict", "torch", "onnx"))
    count = f"{len(chosen):,}"
    row(f"`tenfold predict`, {count} PNG files", f"{predict:,.0f} images/s", "")
    row(
        "bare PyTorch loop, decoded arrays",
        f"{bare:,.0f} images/s",
        f"predict has {predict / bare:.2f}× (at least 0.9×)",
    )
    row("bare ONNX Runtime loop, decoded arrays", f"{onnx:,.0f} images/s", f"{predict / onnx:.2f}×")


def measure_memory(file: Path, images: Images, size: Size) -> None:
    """Print the server's memory along many requests."""
    requests = [as_request(png(pixels)) for pixels in images[:1000]]
    part = size.memory_requests // 10
    with Server(file) as server:
        held = []
        for _ in range(10):
            put_load(server.port, requests, clients=CLIENTS, count=part)
            held.append(server.resident_mb())
    row(
        f"memory after {part:,}, {5 * part:,} and {10 * part:,} requests",
        " / ".join(f"{held[place]:.0f}" for place in (0, 4, 9)) + " MB",
        f"{held[9] - held[0]:+.1f} MB",
    )


def row(what: str, value: str, note: str) -> None:
    """Print a row of the table."""
    print(f"| {what} | {value} | {note} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", default="latency,predict,memory")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    parts = arguments.parts.split(",")
    packaged = read_model_folder(arguments.model)
    dataset = SOURCES["cifar10"].load(arguments.cifar10, SourceOptions(), SilentProgress())
    images = dataset.test.images[:]
    exported = exported_model(packaged, images[:200])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(exported.content)
        print(f"{packaged.record.title}; {packaged.record.model} {packaged.record.model_settings}")
        print(
            f"{choose_device('cpu').description}, {choose_device('cpu').threads} cores; Python "
            f"{platform.python_version()}, torch {torch.__version__}, tenfold {tenfold.__version__}"
        )
        print("\n| what | measured | |\n|---|---|---|")
        if "latency" in parts:
            measure_latency(file, images, size)
        if "predict" in parts:
            measure_prediction(packaged, file, images, size)
        if "memory" in parts:
            measure_memory(file, images, size)


if __name__ == "__main__":
    main()
