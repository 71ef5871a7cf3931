"""The way to a Ray cluster: its address, whether it answers, and which versions it has."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenfold.core.errors import ClusterLostError, SettingsError, TrainingError, need
from tenfold.study.scaling.ray_worker import node_versions, version_difference

_SECONDS_TO_CONNECT = 5.0
_SECONDS_TO_ANSWER = 2.0
_SECONDS_AWAY = 15.0
"""After which a head that was there is lost."""
ADDRESS_VARIABLE = "RAY_ADDRESS"


def check_versions(found: Mapping[str, str], where: str) -> None:
    """Compare a node's versions with those here.

    Raises
    ------
    SettingsError
        If one differs; the message names both.
    """
    if difference := version_difference(found, node_versions()):
        raise SettingsError(
            f"Node {where} {difference}. Results would differ, or tasks fail: install the same on "
            "all nodes."
        )


def connect(address: str) -> Any:
    """Connect to a cluster and give the module ray.

    Raises
    ------
    SettingsError
        If the address is none, Ray is not installed, or the cluster's is another version.
    TrainingError
        If nothing answers there.
    """
    where = os.environ.get(ADDRESS_VARIABLE, "auto") if address == "ray" else address
    _check_address(where)
    ray = need("ray", extra="ray")
    if where != "auto":
        _check_listener(where)
    options: dict[str, Any] = {}
    host = where.rpartition(":")[0]
    if host.startswith("127."):
        # Ray would take the address of another interface, and wait for a node that is not there.
        options["_node_ip_address"] = host
    # Ray's own lines come from many processes; what matters of them is said by tenfold.
    _quiet(ray)
    try:
        ray.init(address=where, log_to_driver=False, logging_level="ERROR", **options)
    except ConnectionError as error:
        raise _no_cluster(where) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise SettingsError(
            f"The Ray cluster at {where} cannot be used ({' '.join(str(error).split())})."
        ) from error
    return ray


@dataclass
class Head:
    """The head of a cluster, and whether it still answers.

    Ray itself waits for a lost head: its calls hang, and after a minute it ends this process,
    without a word that is meant for people. So none of them may be made while the head is away.

    Parameters
    ----------
    address
        Where it listens, HOST:PORT.
    """

    address: str
    is_lost: bool = False
    """Whether it was away for too long."""
    _away_since: float | None = None

    def is_there(self) -> bool:
        """Say whether it answers now.

        Raises
        ------
        ClusterLostError
            If it has not for too long; a head may be started again by who looks after it.
        """
        if not self.is_lost and _listens(self.address, _SECONDS_TO_ANSWER):
            self._away_since = None
            return True
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        self.is_lost = self.is_lost or now - self._away_since >= _SECONDS_AWAY
        if self.is_lost:
            raise ClusterLostError(
                f"The Ray cluster is lost: its head at {self.address} has not answered for "
                f"{_SECONDS_AWAY:.0f} s. What was finished is kept: the same command goes on from "
                "there once there is a cluster again, or without --on on this machine."
            )
        return False

    def let_go(self, ray: Any) -> None:
        """Leave it; a lost one is not waited for."""
        if not self.is_lost:
            ray.shutdown()
            return
        # All of these would wait for the head, when this process ends too.
        if str(sys.excepthook.__module__).startswith("ray."):
            sys.excepthook = sys.__excepthook__
        atexit.unregister(ray.shutdown)


def _listens(address: str, seconds: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds):
            return True
    except OSError:
        return False


def _quiet(ray: Any) -> None:
    """Keep Ray from printing its log on standard output whenever a node or a worker is lost.

    It has no setting for that: `log_to_driver` is for what tasks print.
    """
    module: Any = getattr(ray._private, "worker", None)
    if hasattr(module, "print_to_stdstream"):
        module.print_to_stdstream = lambda *_, **__: None


def _check_address(address: str) -> None:
    if address.startswith("ray://"):
        raise SettingsError(
            f"{address} is an address of Ray Client, which loses its work when the connection "
            "breaks. Run the command on the cluster instead: ray job submit "
            "--address http://HEAD:8265 -- tenfold ... --on ray"
        )
    host, colon, port = address.rpartition(":")
    if address != "auto" and not (colon and host and port.isdecimal() and int(port) < 2**16):
        raise SettingsError(
            f"{address!r} is no address of a Ray cluster. Use --on HOST:PORT (the port that "
            "`ray start --head` names, 6379 by default), or --on ray for what RAY_ADDRESS says."
        )


def _check_listener(address: str) -> None:
    """Find within seconds that nobody listens: Ray would try for a minute."""
    if not _listens(address, _SECONDS_TO_CONNECT):
        raise _no_cluster(address)


def _no_cluster(address: str) -> TrainingError:
    where = "on this machine" if address == "auto" else f"at {address}"
    return TrainingError(
        f"There is no Ray cluster {where}. Start one (ray start --head), name the one there is "
        "(--on HOST:PORT), or leave out --on to work on this machine alone."
    )


def last_line(error: BaseException) -> str:
    """Give what an error of Ray says last: before that stands where it was raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
