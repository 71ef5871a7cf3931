"""Measure `tenfold serve` beside a server written by hand, LitServe and MLServer.

    python benchmarks/serving_peers.py MODEL.onnx PHOTOGRAPHS [--peers-python PYTHON]... [--quick]

MODEL.onnx is a file of `tenfold export` for colour images; PHOTOGRAPHS is a folder, from which PNGs
of the model's size and JPEGs of 640 × 480 pixels are made. All servers have this file, ONNX Runtime
with its own number of threads, one process that computes, and the same clients, which share the
machine with them: 1, and 32 that each wait for their answer. In each round the servers take turns;
printed are medians of the rounds, and ratios to the two servers written by hand in the same round,
for images that come in the same way (tensors: as the body). One computes in the event loop, which
is fastest for one client, the other in threads, which lets nobody wait for a large image.

`--peers-python` names an interpreter that can import litserve or mlserver (and onnxruntime and
Pillow); it may be given again. Peers that none can import are left out. The servers are declared in
`benchmarks/peer_servers.py` and lie in `benchmarks/peers/`. It takes seven minutes; `--quick` shows
that it works. `benchmarks/serving.py` measures tenfold beside bare ONNX Runtime.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import tenfold
from peer_servers import BODY, FORM, IN_LOOP, IN_THREADS, Peer, ask, found_peers, running
from serving import CLIENTS, Connection, Load, png
from tenfold.core.machine import available_cores
from tenfold.serving.onnx_model import OnnxModel

IMAGES = 100
JPEG_PX = (640, 480)
_TOLERANCE = 1e-4
"""Of a probability: each server computes PNGs of the model's size as the others do."""


@dataclass(frozen=True)
class Size:
    """How long is measured."""

    rounds: int
    warm_up_seconds: float
    seconds_alone: float
    seconds_together: float


FULL = Size(3, 0.5, 2.0, 3.0)
QUICK = Size(1, 0.2, 0.3, 0.5)


def probabilities_in(body: bytes, classes: Sequence[str]) -> np.ndarray[Any, Any]:
    """Give the probabilities that an answer tells, NaN for classes that it leaves out."""
    told = json.loads(body)
    if "outputs" in told:
        return np.array(told["outputs"][0]["data"])
    entries = (told["results"][0] if "results" in told else told)["top"]
    by_class = {one["class"]: one["probability"] for one in entries}
    return np.array([by_class.get(name, np.nan) for name in classes])


async def _load(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    numbers = iter(range(sys.maxsize))

    def take() -> int | None:
        return next(numbers) if time.perf_counter() - began < seconds else None

    made = [
        await loop.create_connection(lambda: Connection(requests, take), "127.0.0.1", port)
        for _ in range(clients)
    ]
    connections = [connection for _, connection in made]
    await asyncio.gather(*(one.done for one in connections))
    elapsed = time.perf_counter() - began
    times = np.array([one for client in connections for one in client.seconds])
    p50, p99 = np.quantile(times, (0.5, 0.99)) * 1e3
    return Load(len(times) / elapsed, float(p50), float(p99))


def load(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Send requests for some seconds with so many clients at once."""
    import uvloop  # as `benchmarks/serving.py`: what clients cost is charged to the server

    measured: Load = uvloop.run(_load(port, requests, clients, seconds))
    return measured


@dataclass(frozen=True)
class Pictures:
    """Images of one kind."""

    name: str
    kind: str
    files: list[bytes]


def made_pictures(folder: Path, image_shape: tuple[int, int, int]) -> tuple[Pictures, Pictures]:
    """Give photographs as small PNGs and as large JPEGs."""
    found = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    )[:IMAGES]
    if not found:
        raise SystemExit(f"There is no photograph in {folder}.")
    height, width = image_shape[:2]
    small, large = [], []
    for path in found:
        image = Image.open(path).convert("RGB")
        small.append(png(np.asarray(image.resize((width, height)))))
        content = io.BytesIO()
        image.resize(JPEG_PX, Image.Resampling.BICUBIC).save(content, "JPEG", quality=90)
        large.append(content.getvalue())
    return (
        Pictures(f"PNG, {width} × {height} pixels", "image/png", small),
        Pictures(f"JPEG, {JPEG_PX[0]} × {JPEG_PX[1]} pixels", "image/jpeg", large),
    )


Measured = dict[tuple[str, str, str], list[tuple[Load, Load]]]
"""By server, way and kind of image: for each round one client's load and that of many."""


def measure(
    peers: dict[Peer, str], file: Path, pictures: Sequence[Pictures], size: Size
) -> Measured:
    """Put load on all servers, round by round."""
    model = OnnxModel.read(file)
    results: Measured = {}
    for number in range(size.rounds):
        for peer, python in peers.items():
            first = peer.ways[0]
            ready = first.wrap(pictures[0].files[0], pictures[0].kind, first.path)
            with running(peer, python, file, ready) as port:
                for way in peer.ways:
                    for one in pictures:
                        requests = [way.wrap(image, one.kind, way.path) for image in one.files]
                        if number == 0 and one is pictures[0]:
                            _check_answers(f"{peer.name}, {way.name}", port, requests, one, model)
                        load(port, requests, CLIENTS, size.warm_up_seconds)
                        pair = (
                            load(port, requests, 1, size.seconds_alone),
                            load(port, requests, CLIENTS, size.seconds_together),
                        )
                        results.setdefault((peer.name, way.name, one.name), []).append(pair)
            print(f"Round {number + 1}: {peer.name}", file=sys.stderr, flush=True)
    return results


def _check_answers(
    name: str, port: int, requests: Sequence[bytes], pictures: Pictures, model: OnnxModel
) -> None:
    """Stop if a server gives other probabilities than the model: then loads compare nothing."""
    for request, image in list(zip(requests, pictures.files, strict=True))[:5]:
        status, body = ask(port, request)
        told = probabilities_in(body, model.classes)
        own = model.predict(np.asarray(Image.open(io.BytesIO(image)))[None])[0]
        difference = float(np.nanmax(np.abs(told - own)))
        if status != 200 or np.isnan(told).all() or difference > _TOLERANCE:
            raise SystemExit(f"{name}: answered {status}, probabilities {difference:.2g} off.")


def show(measured: Measured, pictures: Sequence[Pictures]) -> None:
    """Print a table a kind of image."""
    for one in pictures:
        print(f"\n{one.name}, {sum(map(len, one.files)) / len(one.files) / 1e3:.1f} kB each:\n")
        print(
            f"| server | images come as | 1 client: p50, p99, ms | {CLIENTS} clients: p50, p99, ms "
            f"| images/s | p50 of 1 client / in loop | images/s / in loop | images/s / in threads "
            "|\n|---|---|---|---|---|---|---|---|"
        )
        for (server, way, name), rounds in measured.items():
            if name != one.name:
                continue
            alone, together = ([pair[place] for pair in rounds] for place in (0, 1))
            loop, threads = (
                measured[by_hand, FORM if way == FORM else BODY, name]
                for by_hand in (IN_LOOP, IN_THREADS)
            )
            rate = statistics.median(one.per_second for one in together)
            slower = _ratios([own.p50_ms for own in alone], [its.p50_ms for its, _ in loop])
            more = [
                _ratios([own.per_second for own in together], [its.per_second for _, its in base])
                for base in (loop, threads)
            ]
            print(
                f"| {server} | {way} | {_times(alone)} | {_times(together)} | {rate:,.0f} | "
                f"{slower} | {more[0]} | {more[1]} |"
            )


def _ratios(own: Sequence[float], base: Sequence[float]) -> str:
    ratios = [mine / its for mine, its in zip(own, base, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _times(loads: Sequence[Load]) -> str:
    p50, p99 = (
        statistics.median(values)
        for values in ([one.p50_ms for one in loads], [one.p99_ms for one in loads])
    )
    return f"{p50:.2f}, {p99:.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--peers-python", action="append", default=[], metavar="PYTHON")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    file = arguments.model.resolve()
    description = OnnxModel.read(file).description
    print(f"{description.title}; {description.model}, images {description.image_shape}")
    print(
        f"{platform.processor() or platform.machine()}, {available_cores()} cores; Python "
        f"{platform.python_version()}, tenfold {tenfold.__version__}"
    )
    peers = found_peers(arguments.peers_python)
    size = QUICK if arguments.quick else FULL
    pictures = made_pictures(arguments.photographs, description.image_shape)
    show(measure(peers, file, pictures, size), pictures)


if __name__ == "__main__":
    main()
