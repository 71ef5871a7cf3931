"""A Ray cluster of two nodes of one core each, on two addresses of this machine's loopback."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HEAD, SECOND = "127.0.0.2", "127.0.0.3"
PORT = 6390
STORE_BYTES = 80_000_000  # the least that Ray takes is 75 MiB
MARK = "TENFOLD_TEST_RAY_NODES"


class RayNodes:
    """The cluster; its processes carry a mark, and all of those are ended with it."""

    def __init__(self, port: int = PORT, cores: int = 1) -> None:
        self.address = f"{HEAD}:{port}"
        self.port, self.cores = port, cores
        self.mark = secrets.token_hex(8)
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            "RAY_USAGE_STATS_ENABLED": "0",
            MARK: self.mark,
        }

    def __enter__(self) -> Self:
        # Sockets of processes lie in it: their paths may have 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self._before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            self._start(
                "--head",
                f"--node-ip-address={HEAD}",
                f"--port={self.port}",
                "--include-dashboard=false",
                f"--temp-dir={self.folder}",
            )
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes():
            kill(process)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_second(self, address: str = SECOND) -> None:
        """Start the second node unless it is there."""
        if not self.of_node(address):
            self._start(f"--address={self.address}", f"--node-ip-address={address}")

    def processes(self) -> list[int]:
        """Give all processes of the cluster, this one left out."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                process = int(folder.name)
                environment = (folder / "environ").read_bytes()
                if process != os.getpid() and f"{MARK}={self.mark}".encode() in environment:
                    found.append(process)
        return found

    def of_node(self, address: str = SECOND) -> list[int]:
        """Give a node's raylet and all that it started."""
        raylets = [
            process
            for process in self.processes()
            if (words := _command(process))
            and words[0].endswith("raylet")
            and f"--node_ip_address={address}" in words
        ]
        return [process for raylet in raylets for process in (raylet, *_below(raylet))]

    def kill_node(self, address: str = SECOND) -> None:
        """End a node as a power cut does."""
        for process in self.of_node(address):
            kill(process)

    def workers(self, address: str | None = None) -> list[int]:
        """Give the processes of our workers, of one node or of all."""
        candidates = self.processes() if address is None else self.of_node(address)
        return [process for process in candidates if "RemoteWorker" in " ".join(_command(process))]

    def _start(self, *options: str) -> None:
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", *options,
            f"--num-cpus={self.cores}", "--num-gpus=0", f"--object-store-memory={STORE_BYTES}",
            "--disable-usage-stats",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def wait_for(what: Callable[[], Any], *, seconds: float = 60) -> Any:
    """Wait until something is so, and give it."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return found


def kill(process: int) -> None:
    """End a process at once."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _command(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _below(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [one for child in map(int, children) for one in (child, *_below(child))]
