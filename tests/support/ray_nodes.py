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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tenfold.study.scaling.ray_worker import SCRATCH_VARIABLE

FIRST_PORT = 6390
STORE_BYTES = 80_000_000  # the least that Ray takes is 75 MiB
OWN_MOUNTS = (
    *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c"),
    'mount -t tmpfs -o size="$1k" tmpfs "$2" && shift 2 && exec "$@"',
    "sh",
)
"""Before a command, a size in KiB and a folder: runs it with a disk of that size there."""
AUTHENTICATION = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(16),
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Variables of all clusters that this process starts or uses."""
MARK = "TENFOLD_TEST_RAY_NODES"
NODE_MARK = "TENFOLD_TEST_RAY_NODE"


class RayNodes:
    """The cluster; its processes carry a mark, and all of those are ended with it.

    Parameters
    ----------
    network
        Clusters of different networks can be there at the same time.
    cores
        Of each node.
    """

    def __init__(self, network: int = 0, cores: int = 1) -> None:
        self.head, self.second, self.third = (f"127.0.{network}.{n}" for n in (2, 3, 4))
        self.port, self.cores = FIRST_PORT + network, cores
        self.address = f"{self.head}:{self.port}"
        self.mark = secrets.token_hex(8)
        self.environment = AUTHENTICATION | {MARK: self.mark}

    def __enter__(self) -> Self:
        # Sockets of processes lie in it: their paths may have 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self._before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            self._start(
                self.head,
                "--head",
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

    def start(
        self,
        address: str,
        *options: str,
        variables: Mapping[str, str] | None = None,
        disk: tuple[int, Path] | None = None,
    ) -> None:
        """Start a node unless it is there.

        Parameters
        ----------
        address
            Its own.
        options
            More of `ray start`.
        variables
            Of its environment.
        disk
            Size in KiB of a disk of its own for its copies of data, and a folder to see it at.
        """
        if self.of_node(address):
            return
        here = f"--address={self.address}"
        prefix: list[str] = []
        if disk is not None:
            prefix = [*OWN_MOUNTS, *map(str, disk)]
            variables = {**(variables or {}), SCRATCH_VARIABLE: str(disk[1])}
        self._start(address, here, *options, variables=variables, prefix=prefix)

    def processes(self, mark: str = "") -> list[int]:
        """Give the processes of the cluster, or those with one more mark; this one left out."""
        marks = [f"{MARK}={self.mark}", *filter(None, [mark])]
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                process = int(folder.name)
                variables = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                if process != os.getpid() and set(marks) <= set(variables):
                    found.append(process)
        return found

    def of_node(self, address: str) -> list[int]:
        """Give a node's raylet and all else of it."""
        return self.processes(f"{NODE_MARK}={address}")

    def kill_node(self, address: str) -> None:
        """End a node as a power cut does."""
        for process in self.of_node(address):
            kill(process)

    def workers(self, address: str | None = None) -> list[int]:
        """Give the processes of our workers, of one node or of all."""
        candidates = self.processes() if address is None else self.of_node(address)
        return [process for process in candidates if "RemoteWorker" in " ".join(_command(process))]

    def _start(
        self,
        address: str,
        *options: str,
        variables: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        command = [
            *prefix,
            sys.executable, "-m", "ray.scripts.scripts", "start",
            f"--num-cpus={self.cores}", "--num-gpus=0", f"--object-store-memory={STORE_BYTES}",
            f"--node-ip-address={address}", "--disable-usage-stats", *options,
        ]  # fmt: skip
        environment = {**os.environ, NODE_MARK: address, **(variables or {})}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
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
