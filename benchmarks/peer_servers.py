"""The servers that `benchmarks/serving_peers.py` measures, and how each takes an image."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving import as_request

PEERS = Path(__file__).parent / "peers"
_START_SECONDS = 90
_BOUNDARY = "tenfold-peers"


@dataclass(frozen=True)
class Way:
    """How a server takes an image."""

    name: str
    path: str
    wrap: Callable[[bytes, str, str], bytes]
    """Gives a whole request of an image's bytes, its content type and the path."""


def as_body(image: bytes, kind: str, path: str) -> bytes:
    """Give a request whose body is the image."""
    return as_request(image, path=path, kind=kind)


def as_form(image: bytes, kind: str, path: str) -> bytes:
    """Give a request with a form that has the image."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    body = head.encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return as_request(body, path=path, kind=f"multipart/form-data; boundary={_BOUNDARY}")


def as_inference(image: bytes, kind: str, path: str) -> bytes:
    """Give a request of the Open Inference Protocol: the image as BYTES in JSON, in base64."""
    del kind
    tensor = {
        "name": "images",
        "shape": [1],
        "datatype": "BYTES",
        "data": [base64.b64encode(image).decode()],
    }
    asked = {"inputs": [tensor], "outputs": [{"name": "probabilities"}]}
    return as_request(json.dumps(asked).encode(), path=path, kind="application/json")


BODY, FORM, INFERENCE = "body", "form", "Open Inference, BYTES in JSON"
_INFER = "/v2/models/model/infer"


@dataclass(frozen=True)
class Peer:
    """A server that is measured."""

    name: str
    module: str
    """That its interpreter has to have."""
    command: Callable[[str, Path, int, Path], list[str]]
    """Of an interpreter, the model's file, the port and an empty folder."""
    ways: tuple[Way, ...]


def _tenfold(python: str, file: Path, port: int, folder: Path) -> list[str]:
    del folder
    return [python, "-m", "tenfold", "serve", f"model={file}", "--port", str(port)]


def _by_hand(python: str, file: Path, port: int, folder: Path) -> list[str]:
    del folder
    application = ["hand_written:app", "--app-dir", str(PEERS), "--log-level", "error"]
    set_model = ["env", f"MODEL={file}"]
    return [*set_model, python, "-m", "uvicorn", *application, "--port", str(port)]


def _litserve(python: str, file: Path, port: int, folder: Path) -> list[str]:
    del folder
    return [python, str(PEERS / "litserve_server.py"), str(file), str(port)]


def _mlserver(python: str, file: Path, port: int, folder: Path) -> list[str]:
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {"host": "127.0.0.1", "debug": False, "parallel_workers": 0, **ports}
    model = {
        "name": "model",
        "implementation": "mlserver_runtime.ImageModel",
        "parameters": {"uri": str(file)},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    (folder / "mlserver_runtime.py").write_bytes((PEERS / "mlserver_runtime.py").read_bytes())
    return [python, "-c", "from mlserver.cli import main; main()", "start", str(folder)]


IN_LOOP, IN_THREADS = "by hand, in the event loop", "by hand, in threads"
ALL = (
    *(
        Peer(
            name,
            "fastapi",
            _by_hand,
            (Way(BODY, f"/{part}/body", as_body), Way(FORM, f"/{part}/form", as_form)),
        )
        for name, part in ((IN_LOOP, "loop"), (IN_THREADS, "threads"))
    ),
    Peer(
        "tenfold",
        "tenfold",
        _tenfold,
        (
            Way(BODY, "/api/predict", as_body),
            Way(FORM, "/api/predict", as_form),
            Way(INFERENCE, _INFER, as_inference),
        ),
    ),
    Peer("LitServe", "litserve", _litserve, (Way(FORM, "/predict", as_form),)),
    Peer("MLServer", "mlserver", _mlserver, (Way(INFERENCE, _INFER, as_inference),)),
)


def free_port() -> int:
    """Give a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def running(peer: Peer, python: str, file: Path, request: bytes) -> Iterator[int]:
    """Start a server, wait until it answers, give its port, and end it with all it started."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            peer.command(python, file, port, Path(name)),
            cwd=name,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            ends = time.monotonic() + _START_SECONDS
            while (problem := _problem(port, request)) is not None:
                if process.poll() is not None or time.monotonic() > ends:
                    log.seek(0)
                    said = log.read()[-3000:].decode(errors="replace")
                    raise SystemExit(f"{peer.name} does not answer ({problem}):\n{said}")
                time.sleep(0.1)
            yield port
        finally:
            for kind in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, kind)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)


def _problem(port: int, request: bytes) -> str | None:
    try:
        status, body = ask(port, request)
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    return None if status == 200 else body[:500].decode(errors="replace")


def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Give status and body of one answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(request)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return answer.status, answer.read()


def found_peers(pythons: Sequence[str]) -> dict[Peer, str]:
    """Give each server that can be started, with its interpreter."""
    found = {}
    for peer in ALL:
        asked = (sys.executable,) if peer.module in ("tenfold", "fastapi") else pythons
        for python in (*asked, sys.executable):
            program = (
                "from importlib.metadata import version as v; "
                f"import {peer.module}; print(v('{peer.module}'), v('onnxruntime'))"
            )
            said = subprocess.run(
                [python, "-c", program], capture_output=True, text=True, check=False
            )
            if said.returncode == 0:
                found[peer] = python
                version, runtime = said.stdout.split()[-2:]
                print(f"- {peer.name}: {peer.module} {version}, onnxruntime {runtime}")
                break
        else:
            print(f"- {peer.name} is left out: no interpreter can import {peer.module}")
    return found
