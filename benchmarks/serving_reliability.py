"""Ask a server for minutes while the versions of its model take over from each other.

    python benchmarks/serving_reliability.py [FIRST.onnx SECOND.onnx] [--minutes 30]
        [--swap-seconds 60] [--clients 8]

The two files, made by `tenfold export`, take images of one size; without them two small untrained
networks are made. `tenfold serve --watch` serves them in turns: every swap is a new version, each
third one is cut off in the middle and has to be refused. Clients on this machine send images,
forms, arrays, zips and tensors, and every fifth time something made to harm, or leave early.

Every answer is compared with what the version that gave it computes directly. At the end the server
is killed (SIGKILL) while a version takes over, and has to begin again with a sound one. Prints what
was answered, the server's memory, and the slowest answers; the exit code is 1 if an answer was
wrong, an error was none of the stated ones, or memory grew.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tenfold.serving.onnx_model import OnnxModel

NAME = "model"
IMAGES = 32
_TOLERANCE = 1e-5
_MOST_GROWTH = 1.1
"""Of the server's memory: median of the last quarter against that of the second one."""
_JSON = {"content-type": "application/json"}


def made_model(seed: int) -> bytes:
    """Give an untrained network of some megabytes, so that one that is not let go is seen."""
    import torch

    from tenfold.models.model import NetworkPlan
    from tenfold.serving.onnx_graph import onnx_bytes
    from tenfold.serving.onnx_model import OnnxDescription

    classes = tuple(f"class {number}" for number in range(10))
    plan = NetworkPlan.parse(
        "cnn",
        {"conv_layers": 2, "filters": [16, 32], "units": 512},
        image_shape=(32, 32, 3),
        class_count=len(classes),
    )
    network = plan.build(
        seed=seed, mean=torch.full((3,), 120.0), standard_deviation=torch.full((3,), 60.0)
    )
    description = OnnxDescription(
        title=f"Untrained {seed}",
        model="cnn",
        classes=classes,
        image_shape=(32, 32, 3),
        temperature=1.0,
        versions={},
    )
    return onnx_bytes(network.eval(), 1.0, description)


class Versions:
    """The watched folder: odd versions are the first model, even ones the second."""

    def __init__(self, folder: Path, contents: tuple[bytes, bytes]) -> None:
        self.folder = folder / NAME
        self.contents = contents
        self.newest = 0
        self.swaps = self.bad = 0

    def add(self, *, is_bad: bool = False) -> None:
        """Write a version under a hidden name, then rename it; the oldest go."""
        self.newest += 1
        content = self.contents[(self.newest + 1) % 2]
        hidden = self.folder / f".{self.newest}"
        hidden.mkdir(parents=True)
        (hidden / "model.onnx").write_bytes(content[: len(content) // 2] if is_bad else content)
        hidden.rename(self.folder / str(self.newest))
        self.swaps += not is_bad
        self.bad += is_bad
        for number in range(1, self.newest - 5):
            shutil.rmtree(self.folder / str(number), ignore_errors=True)


@dataclass
class Expected:
    """The images that are sent, and what each model says of them."""

    pixels: npt.NDArray[np.uint8]
    rows: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
    pngs: list[bytes]

    @classmethod
    def of(cls, contents: tuple[bytes, bytes]) -> Expected:
        """Compute them directly."""
        models = [OnnxModel(content, threads=1) for content in contents]
        shape = models[0].image_shape
        pixels = np.random.default_rng(5).integers(0, 256, (IMAGES, *shape), np.uint8)
        rows = models[0].predict_many(pixels), models[1].predict_many(pixels)
        return cls(pixels, rows, [png(one) for one in pixels])

    def is_right(self, place: int, probability: float) -> bool:
        """Say whether one of the models gives an image's best class this probability."""
        return any(abs(float(one[place].max()) - probability) < _TOLERANCE for one in self.rows)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Give an image file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def npy(array: npt.NDArray[np.uint8]) -> bytes:
    """Give an array file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(files: list[bytes]) -> bytes:
    """Give a zip of image files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, content in enumerate(files):
            archive.writestr(f"{number}.png", content)
    return file.getvalue()


@dataclass
class Tally:
    """What all clients saw."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, seconds: float | None = None) -> None:
        """Count an answer."""
        with self.lock:
            self.answers[what] += 1
            if seconds is not None:
                self.seconds.append(seconds)

    def complain(self, what: str) -> None:
        """Note an answer that is wrong."""
        with self.lock:
            self.wrong.append(what[:300])


class Client:
    """One client on one connection, which asks one thing after the other."""

    def __init__(self, port: int, expected: Expected, tally: Tally, seed: int) -> None:
        self.port = port
        self.expected = expected
        self.tally = tally
        self.random = random.Random(seed)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def run(self, stop: threading.Event) -> None:
        """Ask until told to stop."""
        asks = (self.one, self.several, self.lines, self.archive, self.tensor)
        while not stop.is_set():
            ask = self.harm if self.random.random() < 0.2 else self.random.choice(asks)
            try:
                ask()
            except Exception as error:
                self.tally.complain(f"{ask.__name__}: {error!r}")
                self.connection.close()
        self.connection.close()

    def ask(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> Any:
        """Give an answer's body and headers, None for a 503."""
        began = time.perf_counter()
        self.connection.request("POST", path, body, headers or {})
        answer = self.connection.getresponse()
        content = answer.read()
        self.tally.count(f"{path.partition('?')[0]} {answer.status}", time.perf_counter() - began)
        if answer.status == 503:
            return None
        if answer.status != 200:
            self.tally.complain(f"{path}: {answer.status} {content[:200]!r}")
            return None
        return content, answer.headers

    def check(self, places: list[int], results: list[Any]) -> None:
        """Compare results with what is expected."""
        if len(places) != len(results):
            self.tally.complain(f"{len(results)} results of {len(places)} images")
            return
        for place, one in zip(places, results, strict=True):
            if not self.expected.is_right(place, one.get("probability", -1)):
                self.tally.complain(f"image {place}: {one}")

    def places(self, most: int) -> list[int]:
        """Choose some images."""
        return [self.random.randrange(IMAGES) for _ in range(self.random.randint(1, most))]

    def one(self) -> None:
        """Send an image file."""
        place = self.random.randrange(IMAGES)
        if given := self.ask("/api/predict", self.expected.pngs[place]):
            self.check([place], json.loads(given[0])["results"])

    def several(self) -> None:
        """Send a form."""
        places = self.places(12)
        parts = [
            b'--XX\r\nContent-Disposition: form-data; name="i"; filename="a"\r\n\r\n%s\r\n'
            % self.expected.pngs[place]
            for place in places
        ]
        headers = {"content-type": "multipart/form-data; boundary=XX"}
        if given := self.ask("/api/predict?top=1", b"".join(parts) + b"--XX--\r\n", headers):
            self.check(places, json.loads(given[0])["results"])

    def lines(self) -> None:
        """Send an array and read lines."""
        places = self.places(150)
        body = npy(self.expected.pixels[places])
        if given := self.ask("/api/predict/lines?top=1", body):
            self.check(places, [json.loads(line) for line in given[0].splitlines()])

    def archive(self) -> None:
        """Send a zip."""
        places = self.places(12)
        if given := self.ask("/api/predict", zipped([self.expected.pngs[one] for one in places])):
            self.check(places, json.loads(given[0])["results"])

    def tensor(self) -> None:
        """Send a tensor, and compare with the very version that answered."""
        places = self.places(20)
        pixels = self.expected.pixels[places]
        asked = {
            "inputs": [
                {
                    "name": "images",
                    "datatype": "UINT8",
                    "shape": list(pixels.shape),
                    "parameters": {"binary_data_size": pixels.nbytes},
                }
            ],
            "outputs": [{"name": "probabilities"}],
        }
        text = json.dumps(asked).encode()
        headers = {"inference-header-content-length": str(len(text))}
        if given := self.ask(f"/v2/models/{NAME}/infer", text + pixels.tobytes(), headers):
            told = json.loads(given[0])
            version = told["model_version"]
            with self.tally.lock:
                self.tally.versions.add(version)
            rows = np.array(told["outputs"][0]["data"], np.float32).reshape(len(places), -1)
            wanted = self.expected.rows[(int(version) + 1) % 2][places]
            if np.abs(rows - wanted).max() > _TOLERANCE:
                self.tally.complain(f"version {version} gives what it does not compute")

    def harm(self) -> None:
        """Send what has to be refused, or leave before the answer."""
        png_ = self.expected.pngs[0]
        array = npy(self.expected.pixels[:3])
        kind = self.random.randrange(6)
        if kind == 5:
            self.connection.close()
            self.connection.connect()
            assert self.connection.sock is not None
            head = (
                b"POST /api/predict/lines HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
            )
            self.connection.sock.sendall(head % len(array) + array)
            self.connection.close()
            self.tally.count("left before the answer")
            return
        path, body, headers = (
            ("/api/predict", png_[: len(png_) // 2], {}),
            ("/api/predict", array[:-1], {}),
            ("/api/predict", b"[" * 20_000, _JSON),
            (f"/v2/models/{NAME}/infer", b"{}", {"inference-header-content-length": "9999"}),
            ("/api/predict", zipped([png_])[:-20], {}),
        )[kind]
        self.connection.request("POST", path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        self.tally.count(f"harm {answer.status}")
        if answer.status not in (400, 413, 415, 422, 503):
            self.tally.complain(f"harm {kind}: {answer.status} {content[:200]!r}")


class Server:
    """`tenfold serve --watch` in a process of its own."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.log = log
        with log.open("a") as file:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tenfold", "serve", "--watch", str(folder)),
                    *("--port", "0", "--set", "watch_seconds=0.5"),
                ],
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if " at http://" not in line:
            raise SystemExit(f"The server did not start: {line}{log.read_text()}")
        self.port = int(line.rpartition(":")[2].split()[0])

    def resident_mb(self) -> float:
        """Give the memory that it uses."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1000

    def version(self) -> str:
        """Give the version that it serves."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", f"/v2/models/{NAME}")
        told = json.loads(connection.getresponse().read())
        connection.close()
        return str(told["versions"][0])


def load(
    server: Server, versions: Versions, expected: Expected, options: argparse.Namespace
) -> tuple[Tally, list[float]]:
    """Ask and swap until the time is over; give what was seen, and memory by the second."""
    tally, stop = Tally(), threading.Event()
    clients = [
        threading.Thread(target=Client(server.port, expected, tally, seed).run, args=(stop,))
        for seed in range(options.clients)
    ]
    for one in clients:
        one.start()
    memory: list[float] = []
    began = swapped = time.monotonic()
    turn = 0
    while time.monotonic() - began < options.minutes * 60:
        time.sleep(1)
        memory.append(server.resident_mb())
        if time.monotonic() - swapped >= options.swap_seconds:
            swapped = time.monotonic()
            turn += 1
            versions.add(is_bad=turn % 3 == 0)
    stop.set()
    for one in clients:
        one.join()
    return tally, memory


def killed_while_swapping(server: Server, versions: Versions, folder: Path) -> bool:
    """Kill the server at several moments of a swap; say whether it came back with a sound one."""
    is_sound = True
    for number in range(5):
        versions.add(is_bad=number == 2)
        time.sleep(0.4 + 0.2 * number)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server = Server(folder, server.log)
        newest = versions.newest - (number == 2)
        is_sound &= server.version() == str(newest)
    server.process.terminate()
    server.process.wait()
    return is_sound


def main() -> None:
    """Run it and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--swap-seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    if len(options.models) not in (0, 2):
        parser.error("give two models, or none")
    contents = (
        (options.models[0].read_bytes(), options.models[1].read_bytes())
        if options.models
        else (made_model(1), made_model(2))
    )
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given) / "models"
        versions = Versions(folder, contents)
        versions.add()
        server = Server(folder, Path(given) / "log")
        tally, memory = load(server, versions, Expected.of(contents), options)
        is_sound = killed_while_swapping(server, versions, folder)
        log = server.log.read_text()
    quarter = max(1, len(memory) // 4)
    early = statistics.median(memory[quarter : 2 * quarter])
    late = statistics.median(memory[-quarter:])
    refused = log.count("is refused")
    seconds = sorted(tally.seconds)
    for what, count in sorted(tally.answers.items()):
        print(f"{count:>9,}  {what}")
    print(f"{len(tally.wrong):>9,}  wrong answers and errors that are none of the stated ones")
    for what in tally.wrong[:10]:
        print(f"           {what}")
    print(
        f"{versions.swaps} versions, {versions.bad} more cut off ({refused} refusals logged); "
        f"{len(tally.versions)} seen by clients"
    )
    print(
        f"memory: {memory[0]:.0f} MB at first, {early:.0f} in the second quarter, {late:.0f} in "
        f"the last, at most {max(memory):.0f}"
    )
    minutes = memory[:: max(1, len(memory) // 10)]
    print(f"a tenth of the time each: {', '.join(f'{one:.0f}' for one in minutes)} MB")
    print(
        f"answers took {1000 * statistics.median(seconds):.1f} ms (median), "
        f"{1000 * seconds[int(0.999 * len(seconds))]:.0f} ms (99.9%), "
        f"{1000 * seconds[-1]:.0f} ms (slowest)"
    )
    print(f"after SIGKILL while swapping, five times: {'sound' if is_sound else 'NOT sound'}")
    if "Traceback" in log or "ERROR" in log:
        print(log[-3000:])
    is_well = not tally.wrong and is_sound and late < _MOST_GROWTH * early and "ERROR" not in log
    sys.exit(os.EX_OK if is_well else 1)


if __name__ == "__main__":
    main()
