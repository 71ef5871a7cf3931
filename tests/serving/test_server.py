"""The server as a process: its signals, its limits, its neighbours on the port."""

from __future__ import annotations

import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builders.hostile_images import png_of_data_chunks, tiff_of_one_tile
from tenfold.core.errors import SettingsError
from tenfold.serving.onnx_model import OnnxModel

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow  # each starts a process

POST = "POST /api/predict HTTP/1.1\r\nHost: localhost\r\n"
BYTES = {"content-type": "application/octet-stream"}


def resident_bytes(server: Any) -> int:
    status = Path(f"/proc/{server.process.pid}/statm").read_text().split()
    return int(status[1]) * 4096


def has_processes(server: Any) -> bool:
    """Say whether a server has started processes, which decode images."""
    children = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    return any(path.read_text() for path in children)


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; what never is fails."""
    for _ in range(2000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it never is")


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_it_listens_here_alone_and_stops_gracefully(
    kind: int, start_server: Any, onnx_file: Path, make_png: Any
) -> None:
    server = start_server(str(onnx_file))
    assert server.first_line.startswith("Serving Tiny animals at http://127.0.0.1:")
    assert server.ask("GET", "/health").json == {"status": "ok"}
    loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "onnxruntime" in loaded
    assert "libtorch" not in loaded, "a file needs no torch, which takes seconds to import"
    assert server.ask("POST", "/api/predict", make_png(), BYTES).status == 200
    code, out, errors = server.stop(kind)
    assert (code, out) == (0, "Stopped.\n")
    (notice,) = errors.splitlines()
    assert "no prediction sets" in notice


def test_a_request_that_runs_is_answered_before_the_end(
    start_server: Any, onnx_file: Path, make_png: Any
) -> None:
    server = start_server(str(onnx_file))
    content = make_png()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        head = f"{POST}Content-Length: {len(content)}\r\nExpect: 100-continue\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 100"), "it reads the body"
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not listens(server.port))
        client.sendall(content)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert server.stop()[0] == 0


def test_after_kill_9_it_starts_again_on_the_same_port(
    start_server: Any, onnx_file: Path, make_png: Any
) -> None:
    server = start_server(str(onnx_file))
    kept = server.connect()
    kept.request("POST", "/api/predict", make_png(), BYTES)
    before = kept.getresponse().read()
    server.stop(signal.SIGKILL)
    again = start_server(str(onnx_file), "--port", str(server.port))
    assert again.ask("POST", "/api/predict", make_png(), BYTES).body == before
    kept.close()


def test_200_clients_at_once_get_their_own_answers(
    serve_here: Any, onnx_file: Path, make_png: Any
) -> None:
    images = np.random.default_rng(8).integers(0, 256, (50, 16, 16, 3), np.uint8)
    expected = OnnxModel.read(onnx_file, threads=1).predict_many(images).max(1)
    bodies = [make_png(pixels) for pixels in images]
    server = serve_here()
    may_start = threading.Barrier(200)

    def client(number: int) -> list[tuple[int, float]]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.connect()
        may_start.wait(60)
        given = []
        for turn in range(5):
            place = (7 * number + turn) % len(bodies)
            connection.request("POST", "/api/predict", bodies[place], BYTES)
            answer = connection.getresponse()
            result = json.loads(answer.read())
            assert answer.status == 200
            given.append((place, result["results"][0]["probability"]))
        connection.close()
        return given

    with ThreadPoolExecutor(200) as pool:
        for given in pool.map(client, range(200)):
            for place, probability in given:
                assert probability == pytest.approx(float(expected[place]), abs=1e-6)


def test_vanishing_clients_leave_nothing_behind(
    start_server: Any, onnx_file: Path, make_png: Any
) -> None:
    server = start_server(str(onnx_file))
    large = make_png(np.random.default_rng(1).integers(0, 256, (600, 600, 3), np.uint8))
    head = f"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(large)}\r\n\r\n"

    def vanish(count: int) -> None:
        for number in range(count):
            client = socket.create_connection(("127.0.0.1", server.port))
            # Some in the middle of the body, some before the answer; with a reset, not a goodbye.
            client.sendall(head.encode() + large[: len(large) // (1 + number % 3)])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()

    def open_files() -> int:
        return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))

    assert server.ask("POST", "/api/predict", make_png(), BYTES).status == 200
    files, memory = open_files(), 0
    for count in (40, 300):
        memory = resident_bytes(server)
        vanish(count)
        # Connections are taken in turn, so all of them were.
        assert server.ask("POST", "/api/predict", make_png(), BYTES).status == 200
        until(lambda: open_files() <= files + 1)
    assert resident_bytes(server) < memory + 40e6
    text = server.ask("GET", "/metrics").body.decode()
    assert 'tenfold_waiting_images{model="tiny"} 0' in text
    assert 'status="500"' not in text
    assert server.stop()[0] == 0


@pytest.mark.slow
def test_a_watched_folder(start_server: Any, onnx_content: bytes, tmp_path: Path) -> None:
    def put(version: str, content: bytes) -> None:
        (tmp_path / "animals" / f".{version}").mkdir(parents=True)
        (tmp_path / "animals" / f".{version}" / "model.onnx").write_bytes(content)
        (tmp_path / "animals" / f".{version}").rename(tmp_path / "animals" / version)

    def version() -> list[str]:
        versions: list[str] = server.ask("GET", "/v2/models/animals").json["versions"]
        return versions

    put("1", onnx_content)
    server = start_server("--watch", str(tmp_path), "--set", "watch_seconds=0.1")
    assert version() == ["1"]
    put("3", onnx_content[:-50])
    put("2", onnx_content)
    until(lambda: version() == ["2"])
    code, _, log = server.stop()
    assert code == 0
    _notice, refused, taken = log.splitlines()
    assert refused.startswith("WARNING animals, version 3, is refused:")
    assert refused.endswith("Version 1 goes on.")
    assert taken.startswith("INFO Serving animals, version 2")


def test_names_and_token_of_the_command(start_server: Any, onnx_file: Path) -> None:
    server = start_server(
        str(onnx_file),
        *("--allowed-host", "models.example.org"),
        environment={"TENFOLD_TOKEN": "open sesame\n"},
    )
    told = {"authorization": "Bearer open sesame"}
    for host, status in (("models.example.org", 200), ("evil.example", 421)):
        assert server.ask("GET", "/api/model", None, told | {"host": host}).status == status
    assert server.ask("GET", "/api/model").status == 401


def test_a_network_that_hangs_does_not_keep_the_server_from_its_end(onnx_file: Path) -> None:
    program = """
import sys, threading
from tenfold.serving.onnx_model import OnnxModel
from tenfold.serving.app import create_app
from tenfold.serving.server import address_of, open_socket, run_server
from tenfold.serving.settings import ServingSettings

model = OnnxModel.read(__import__("pathlib").Path(sys.argv[1]))
model.predict = lambda images: threading.Event().wait()
settings = ServingSettings(answer_seconds=0.2, stop_seconds=1)
listening = open_socket("127.0.0.1", 0)
print(listening.getsockname()[1], flush=True)
run_server(create_app(model, settings), listening, settings)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(onnx_file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = "127.0.0.1", int(process.stdout.readline())
        connection = http.client.HTTPConnection(*address, timeout=30)
        content = io.BytesIO()
        Image.new("RGB", (16, 16)).save(content, "PNG")
        connection.request("POST", "/api/predict", content.getvalue())
        assert connection.getresponse().status == 503
        connection.close()
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_addresses_that_cannot_be_had() -> None:
    from tenfold.serving.server import open_socket

    with pytest.raises(SettingsError, match=r"There is no address 'no\.such\.host\.invalid'"):
        open_socket("no.such.host.invalid", 8000)
    with open_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"another program listens.*--port {port + 1}"):
            open_socket("127.0.0.1", port)


def test_hostile_images_are_ended_while_others_are_answered(
    start_server: Any, onnx_file: Path, make_png: Any
) -> None:
    server = start_server(str(onnx_file), "--set", "decoding_seconds=1")
    before = resident_bytes(server)
    hostile = png_of_data_chunks(2_500_000)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(server.ask, "POST", "/api/predict", hostile, BYTES) for _ in range(2)]
        for _ in range(5):
            assert server.ask("POST", "/api/predict", make_png(), BYTES).status == 200
        answers = [one.result(timeout=120) for one in asked]
    for answer in answers:
        assert answer.status in (422, 503)
        assert "Traceback" not in answer.body.decode()
    tile = server.ask("POST", "/api/predict", tiff_of_one_tile(), BYTES)
    assert (tile.status, tile.json["error"]["code"]) == (415, "unsupported")
    assert resident_bytes(server) - before < 300 * 2**20
    assert server.ask("POST", "/api/predict", make_png(), BYTES).status == 200
    assert server.stop()[0] == 0


def test_an_image_that_is_decoded_does_not_keep_the_server_from_its_end(
    start_server: Any, onnx_file: Path
) -> None:
    limits = ("--set", "decoding_seconds=600", "--set", "stop_seconds=1")
    server = start_server(str(onnx_file), *limits)
    hostile = png_of_data_chunks(1_500_000)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.ask, "POST", "/api/predict", hostile, BYTES)
        until(lambda: has_processes(server))
        code, _, errors = server.stop()
        answer = asked.result(timeout=60)
    assert (code, answer.status, answer.json["error"]["code"]) == (0, 503, "stopping")
    assert "Traceback" not in errors
