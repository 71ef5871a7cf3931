"""What a server allows its clients."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tenfold.core.settings import Settings
from tenfold.data.images.formats import WEB_FORMATS

HANGING_SHARE = 2
"""A batch that takes so many times `answer_seconds` is taken for one that never ends."""


class ServingSettings(Settings):
    """Limits of one server, each so that a client can cost the others little.

    Attributes
    ----------
    body_mib
        Largest request body, in MiB; a larger one is answered 413.
    memory_mib
        Largest sum of all bodies that arrive at one time, in MiB; beyond that, the one that came
        forward least lately is answered 503. And of those that are decoded and computed, what their
        images are decoded to included; beyond that, 503, and 413 for an image that takes as much
        alone.
    images_per_request
        Most images in one request; more are answered 413.
    images_per_stream
        Most images in one request whose answer comes line by line; more are answered 413.
    megapixels
        Most pixels of an image, in millions: looked at before it is decoded, so that a small file
        that unpacks into gigabytes is answered 413.
    more_formats
        Formats that are taken beside those of web browsers and phones: ``tiff``, ``ppm``.
    decoding_seconds
        Of processor time for one image that is decoded in a process of its own; then 422.
    receive_seconds
        For a client to send its headers; then the connection is closed. And again for its body,
        with a second more for each 64 KiB of it; then 408.
    answer_seconds
        For the answer after that; then 503. The network that takes longer for a batch is not
        ready; that takes twice as long, hangs.
    batch_images
        Most images that the network sees at once.
    queue_images
        Most images that wait; beyond that, 503 at once.
    drift_window_images
        Answers that are compared at a time with those on the test images.
    watch_seconds
        From one look at a watched folder of models to the next.
    keep_alive_seconds
        Between two requests on a connection; then it is closed. Longer than a load balancer keeps
        its own connections, or it sends requests into closed ones.
    stop_delay_seconds
        Between the signal to stop and the end of listening: the server answers and is not ready, so
        that whoever sends requests has time to send them elsewhere. A second signal ends it.
    stop_seconds
        For running requests to end when the server stops.
    """

    body_mib: float = Field(32, gt=0, le=4096)
    memory_mib: float = Field(512, gt=0)
    images_per_request: int = Field(64, ge=1, le=10_000)
    images_per_stream: int = Field(10_000, ge=1, le=1_000_000)
    megapixels: float = Field(250, gt=0, le=10_000)
    more_formats: tuple[Literal["tiff", "ppm"], ...] = ()
    decoding_seconds: int = Field(10, ge=1, le=3600)
    receive_seconds: float = Field(20, gt=0)
    answer_seconds: float = Field(30, gt=0)
    batch_images: int = Field(32, ge=1, le=4096)
    queue_images: int = Field(2048, ge=1)
    drift_window_images: int = Field(500, ge=50, le=1_000_000)
    watch_seconds: float = Field(5, gt=0)
    keep_alive_seconds: float = Field(15, gt=0)
    stop_delay_seconds: float = Field(0, ge=0, le=600)
    stop_seconds: int = Field(10, ge=1)

    @property
    def body_bytes(self) -> int:
        """Give the largest body in bytes."""
        return int(self.body_mib * 2**20)

    @property
    def memory_bytes(self) -> int:
        """Give the largest sum of bodies in bytes."""
        return int(self.memory_mib * 2**20)

    @property
    def pixels(self) -> int:
        """Give the most pixels of an image."""
        return int(self.megapixels * 1e6)

    @property
    def formats(self) -> frozenset[str]:
        """Give the formats that are taken, by the names of `tenfold.data.images.formats`."""
        return WEB_FORMATS | {name.upper() for name in self.more_formats}
