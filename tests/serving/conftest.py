"""A tiny model: as a network, as an ONNX file, and served in this process or one of its own."""

from __future__ import annotations

import http.client
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from asgi import Answer, AsgiClient
from chromium import NAMES, Browser
from tenfold.models.model import ImageNetwork, NetworkPlan
from tenfold.serving.onnx_graph import onnx_bytes
from tenfold.serving.onnx_model import OnnxDescription, OnnxModel
from tenfold.study.recipe import StudySettings
from tenfold.study.study import Study

CLASSES = ("cat", "dög", "<b>owl</b>")
SHAPE = (16, 16, 3)
EXPORTED_CLASSES = ("cat", "dög", 'a "quoted"\nname')


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let networks compute on one core, so that tests may run side by side."""
    monkeypatch.setattr("tenfold.training.device.available_cores", lambda: 1)
    monkeypatch.setattr("tenfold.serving.onnx_model.available_cores", lambda: 1)


def png(pixels: np.ndarray[Any, Any] | None = None, kind: str = "PNG", seed: int = 0) -> bytes:
    if pixels is None:
        pixels = np.random.default_rng(seed).integers(0, 256, SHAPE, np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


@pytest.fixture(scope="session")
def make_png() -> Callable[..., bytes]:
    """Give a function that makes an image file's bytes."""
    return png


@pytest.fixture
def build() -> Callable[..., ImageNetwork]:
    """Give a function that builds an untrained network whose outputs are not all alike."""

    def make(
        model: str = "cnn",
        settings: Mapping[str, Any] | None = None,
        shape: tuple[int, int, int] = (32, 32, 3),
    ) -> ImageNetwork:
        plan = NetworkPlan.parse(
            model, settings or {}, image_shape=shape, class_count=len(EXPORTED_CLASSES)
        )
        channels = shape[2]
        network = plan.build(
            seed=3,
            mean=torch.full((channels,), 120.0),
            standard_deviation=torch.full((channels,), 60.0),
        )
        generator = torch.Generator().manual_seed(5)
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.normal_(generator=generator)
                layer.running_var.uniform_(0.5, 2, generator=generator)
        return network.eval()

    return make


@pytest.fixture
def describe() -> Callable[..., OnnxDescription]:
    """Give a function that describes what `build` builds."""

    def make(shape: tuple[int, int, int] = (32, 32, 3), **changes: Any) -> OnnxDescription:
        values: dict[str, Any] = {
            "title": "Tést",
            "model": "cnn",
            "classes": EXPORTED_CLASSES,
            "image_shape": shape,
            "temperature": 1.7,
            "versions": {"tenfold": "0"},
        }
        return OnnxDescription(**(values | changes))

    return make


@pytest.fixture
def images() -> Callable[..., np.ndarray[Any, np.dtype[np.uint8]]]:
    """Give a function that makes images of noise."""

    def make(
        count: int, shape: tuple[int, int, int] = (32, 32, 3)
    ) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return np.random.default_rng(7).integers(0, 256, (count, *shape), np.uint8)

    return make


@pytest.fixture
def run_folder(tiny_settings: Callable[..., StudySettings], tmp_path: Path) -> Path:
    """Give a tiny study's run folder up to its model."""
    out = tmp_path / "run"
    list(Study(tiny_settings({"training.validation_fraction": 0.2}), out).run("model"))
    return out


@pytest.fixture(scope="session")
def onnx_content() -> bytes:
    """Give the bytes of an untrained exported model."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    plan = NetworkPlan.parse(
        "cnn",
        {"conv_layers": 1, "filters": [4], "units": 8},
        image_shape=SHAPE,
        class_count=len(CLASSES),
    )
    network = plan.build(seed=1, mean=torch.zeros(3), standard_deviation=torch.full((3,), 50.0))
    description = OnnxDescription(
        title="Tiny animals",
        model="cnn",
        classes=CLASSES,
        image_shape=SHAPE,
        temperature=1.3,
        accuracy=0.75,
        test_count=1200,
        versions={"tenfold": "0"},
    )
    return onnx_bytes(network.eval(), 1.3, description)


@pytest.fixture(scope="session")
def onnx_file(onnx_content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "tiny.onnx"
    path.write_bytes(onnx_content)
    return path


@pytest.fixture
def client(onnx_content: bytes) -> Iterator[Callable[..., AsgiClient]]:
    """Give a function that makes an application with some settings, and a client for it."""
    pytest.importorskip("fastapi")
    from tenfold.serving.app import create_app
    from tenfold.serving.settings import ServingSettings

    model = OnnxModel(onnx_content, threads=1)
    made: list[AsgiClient] = []

    def make(
        token: str | None = None,
        explainer: Any = None,
        model: Any = model,
        hosts: Any = None,
        operations: Any = None,
        **settings: Any,
    ) -> AsgiClient:
        values = ServingSettings.parse(settings)
        app = create_app(
            model, values, token=token, hosts=hosts, explainer=explainer, operations=operations
        )
        made.append(AsgiClient(app))
        return made[-1]

    yield make
    for one in made:
        one.close()


class LocalServer:
    """The server in a thread of this process, spoken to in bytes."""

    def __init__(self, app: Any, settings: Any) -> None:
        import uvicorn

        from tenfold.serving.server import open_socket, server_config

        self._listening = open_socket("127.0.0.1", 0)
        self.port = self._listening.getsockname()[1]
        self._server = uvicorn.Server(server_config(app, settings))
        self._thread = threading.Thread(
            target=lambda: self._server.run(sockets=[self._listening]), daemon=True
        )
        self._thread.start()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def send(self, *parts: bytes) -> bytes:
        """Send bytes and give all that comes back until the server closes the connection."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
            return self.read(client)

    @staticmethod
    def read(client: socket.socket) -> bytes:
        received = b""
        try:
            while part := client.recv(65_536):
                received += part
        except ConnectionResetError:
            pass
        return received

    def wait_until(self, check: Callable[[Any], bool]) -> None:
        """Wait until something is true of uvicorn's state: its `connections` and `tasks`."""
        for _ in range(1000):
            if check(self._server.server_state):
                return
            time.sleep(0.01)
        raise AssertionError("it never is")

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._listening.close()


class HangingModel:
    """The tiny model, which computes nothing until it may."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.description, self.classes = model.description, model.classes
        self.image_shape = model.image_shape
        self.is_asked, self.may_run = threading.Event(), threading.Event()

    def predict(self, images: Any) -> Any:
        self.is_asked.set()
        self.may_run.wait(60)
        return self._model.predict(images)


@pytest.fixture
def hanging(onnx_content: bytes) -> Iterator[HangingModel]:
    """Give a model whose network hangs until the test lets it run."""

    model = HangingModel(OnnxModel(onnx_content, threads=1))
    yield model
    model.may_run.set()


@pytest.fixture(scope="module")
def serve_here(onnx_content: bytes) -> Iterator[Callable[..., LocalServer]]:
    """Give a function that serves the tiny model, or another, in a thread of this process."""
    pytest.importorskip("uvicorn")
    from tenfold.serving.app import create_app
    from tenfold.serving.settings import ServingSettings

    tiny = OnnxModel(onnx_content, threads=1)
    started: list[LocalServer] = []

    def serve(model: Any = tiny, **changes: Any) -> LocalServer:
        settings = ServingSettings.parse(changes)
        started.append(LocalServer(create_app(model, settings), settings))
        return started[-1]

    yield serve
    for one in started:
        one.stop()


class ServerProcess:
    """``tenfold serve``, or another command that serves, in a process of its own."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        command: str = "serve",
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tenfold", command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | dict(environment or {}),
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        if " at http" not in self.first_line:
            _, errors = self.process.communicate(timeout=20)
            raise AssertionError(f"did not start: {self.first_line}{errors}")
        self.port = int(self.first_line.rpartition(":")[2].split()[0])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout: float = 30) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()

    def stop(self, kind: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Give exit code and the rest of what it printed."""
        if self.process.poll() is None:
            self.process.send_signal(kind)
        out, errors = self.process.communicate(timeout=30)
        return self.process.returncode, out, errors


@pytest.fixture
def start_server() -> Iterator[Callable[..., ServerProcess]]:
    """Give a function that starts a server on a free port; all are stopped at the end."""
    pytest.importorskip("uvicorn")
    started: list[ServerProcess] = []

    def start(
        *arguments: str, environment: Mapping[str, str] | None = None, command: str = "serve"
    ) -> ServerProcess:
        port = () if "--port" in arguments else ("--port", "0")
        started.append(ServerProcess(*arguments, *port, environment=environment, command=command))
        return started[-1]

    yield start
    for server in started:
        server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def browser_process() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    profile = tempfile.mkdtemp()
    browser = Browser(program, profile)
    yield browser
    browser.close()
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def browser(browser_process: Browser) -> Browser:
    browser_process.show_as()
    return browser_process
