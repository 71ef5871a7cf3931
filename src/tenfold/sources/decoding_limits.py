"""What decoding an image may cost, and how much memory all that decode hold together."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tenfold.sources.decoding_errors import TooMuchMemoryError

MOST_MEGAPIXELS = 250.0
"""Default of the largest image: the largest cameras of phones have 200 million pixels."""

_UNCOUNTED_BYTES = 2**24  # As little as this is not worth waiting for.
_MEMORY_SHARE = 4  # Decoding takes a quarter of the machine's memory at most, all threads together.
_MEMORY_IF_UNKNOWN = 2**33


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """What one image may cost.

    Parameters
    ----------
    pixels
        As stored in the file.
    memory_bytes
        Held at one time while it is decoded; None for what the machine's share allows.
    processor_seconds
        Of the process that decodes what is not plain; afterwards it is ended.
    """

    pixels: int = int(MOST_MEGAPIXELS * 1e6)
    memory_bytes: int | None = None
    processor_seconds: int = 30

    @property
    def most_bytes(self) -> int:
        """Give the most memory that one image may take."""
        share = machine_memory() // 2
        return share if self.memory_bytes is None else min(share, self.memory_bytes)


def machine_memory() -> int:
    """Give this machine's memory in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Not a POSIX system.
        return _MEMORY_IF_UNKNOWN


@dataclass
class SharedMemory:
    """The memory that all decoding of this process shares; whoever finds too little waits."""

    _held: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def hold(self, size: int, limits: DecodingLimits) -> Iterator[None]:
        """Hold so many bytes; one alone may hold more than its share.

        Raises
        ------
        TooMuchMemoryError
            If it is more than one image may take.
        """
        if size > limits.most_bytes:
            raise TooMuchMemoryError
        if size <= _UNCOUNTED_BYTES:
            yield
            return
        most = machine_memory() // _MEMORY_SHARE
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + size <= most)
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()


SHARED_MEMORY = SharedMemory()
"""Of this process."""
