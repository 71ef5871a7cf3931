"""The workers of one training, wherever their processes are: they exchange tensors by gloo.

A group is made of its own connections, not of torch.distributed's one group a process, so that a
worker that lost another can be in a new group at once. Gloo's is the only way: it notices a
connection that breaks, and all that is sent is a few vectors a step. It knows no password:
whoever reaches its ports is heard.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

from tenfold.core.errors import SettingsError
from tenfold.training.fixed_sum import Span, WorkerGroup, added

LONGEST_WAIT_SECONDS = 300.0
"""Of a worker for the others in one exchange. A process that ended is noticed at once; this is for
one that hangs, or a machine that went without a word."""


class PeerLostError(RuntimeError):
    """Another worker did not answer; nobody's mistake here."""


class GlooGroup(WorkerGroup):
    """Workers that are connected; see `joined`."""

    def __init__(self, group: Any, rank: int, size: int) -> None:
        self._group = group
        self.rank = rank
        self.size = size

    def all_integers(self, values: Tensor) -> Tensor:
        """Give the sum of all workers' whole numbers."""
        own = values.cpu()
        with _peers():
            self._group.allreduce([own]).wait()
        return own.to(values.device)

    def from_first(self, content: bytes | None) -> bytes:
        """Give every worker what the first has."""
        length = self.all_integers(torch.tensor([len(content or b"")]))
        whole = torch.zeros(int(length), dtype=torch.uint8)
        if content:
            whole.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        if len(whole):
            options = distributed.BroadcastOptions()
            options.rootRank = 0
            with _peers():
                self._group.broadcast([whole], options).wait()
        return whole.numpy().tobytes()

    def _joined(
        self, count: int, shares: list[list[Span]], own: list[Tensor], like: Tensor
    ) -> Tensor:
        length = len(like)
        slice_length = -(-length // self.size)
        padding = slice_length * self.size - length
        cut = [
            functional.pad(part.cpu(), (0, padding)).view(self.size, slice_length) for part in own
        ]
        sent = torch.stack(cut, dim=1).flatten() if cut else torch.empty(0, dtype=like.dtype)
        received = torch.empty(sum(map(len, shares)) * slice_length, dtype=like.dtype)
        self._exchange(
            received,
            sent,
            [len(spans) * slice_length for spans in shares],
            [len(own) * slice_length] * self.size,
        )
        spans = [span for spans in shares for span in spans]
        known = dict(zip(spans, received.view(-1, slice_length), strict=True))
        of_slice = added((0, count), known.get)
        whole = torch.empty(slice_length * self.size, dtype=like.dtype)
        equal = [slice_length] * self.size
        # Everybody's slice to everybody: an all-gather.
        self._exchange(whole, of_slice.repeat(self.size), equal, equal)
        return whole[:length].to(like.device)

    def _exchange(self, into: Tensor, sent: Tensor, theirs: list[int], own: list[int]) -> None:
        with _peers():
            self._group.alltoall_base(into, sent, theirs, own).wait()


@contextmanager
def _peers() -> Iterator[None]:
    """Tell what other workers caused from what went wrong here."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLostError(str(error).partition("\n")[0]) from error


class MeetingPlace:
    """Where workers find each other: on one port of one address of this machine.

    Parameters
    ----------
    host
        The address at which the workers reach this machine.
    """

    def __init__(self, host: str) -> None:
        check_platform()
        self.host = host
        # Not torch's own socket, which would be open on all of the machine's addresses.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as listener:
            listener.bind((host, 0))
            listener.listen(128)
            self.port = int(listener.getsockname()[1])
            self._store = distributed.TCPStore(  # type: ignore[attr-defined]
                host,
                self.port,
                is_master=True,
                wait_for_workers=False,
                master_listen_fd=listener.detach(),
            )


@contextmanager
def joined(
    host: str,
    port: int,
    *,
    name: str,
    rank: int,
    size: int,
    longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
) -> Iterator[GlooGroup]:
    """Be one of the workers, for the block.

    Parameters
    ----------
    host, port
        Of the `MeetingPlace`.
    name
        Of the group: a new one each time that workers meet.
    rank
        This worker's number, from 0.
    size
        How many they are.
    longest_wait_seconds
        For others, in one exchange and for all to come.

    Raises
    ------
    PeerLostError
        If the others do not come, or one is lost.
    """
    wait = timedelta(seconds=longest_wait_seconds)
    gloo: Any = distributed.ProcessGroupGloo
    with _peers():
        store = distributed.TCPStore(  # type: ignore[attr-defined]
            host, port, is_master=False, wait_for_workers=False, timeout=wait
        )
        options = gloo._Options()
        options._devices = [gloo.create_device(hostname=_own_address(host, port))]
        options._timeout = wait
        prefixed = distributed.PrefixStore(name, store)  # type: ignore[attr-defined]
        group = gloo(prefixed, rank, size, options)
    yield GlooGroup(group, rank, size)


def _own_address(host: str, port: int) -> str:
    """Give this machine's address on the way to another, where the others reach it too."""
    try:
        with socket.create_connection((host, port), timeout=LONGEST_WAIT_SECONDS) as connection:
            return str(connection.getsockname()[0])
    except OSError as error:
        raise PeerLostError(str(error)) from error


def check_platform() -> None:
    """Check that workers can share a training here.

    Raises
    ------
    SettingsError
        If they cannot.
    """
    if sys.platform == "win32" or not distributed.is_available():
        raise SettingsError(
            "Several workers in one training need torch.distributed with gloo, which tenfold uses "
            "on Linux and macOS only. Give --workers 1: the weights are the same."
        )
