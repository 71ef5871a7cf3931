"""Features of images that were computed before, by the images' content.

A backbone that stays as it is gives the same features of an image in every fold, for every head
and on every call; computing them is nearly all the work. What is remembered changes no result.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tenfold.core.errors import RunFolderError
from tenfold.data.dataset import Images
from tenfold.data.store import AnyImages
from tenfold.training.tensors import read_tensors, write_tensors

LIMIT_BYTES = 1 << 30
"""Of features that one process remembers; 60,000 images and their mirror images take 0.3 GB."""
BLOCK_IMAGES = 500
"""Images between two writes to disk: what a kill can cost."""
_DIGEST_BYTES = 16
_KEY = "key"


class FeatureStore:
    """Features by the digest of their image, of one backbone at a time.

    Parameters
    ----------
    limit_bytes
        What does not fit any more is given, but not remembered.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._key = ""
        self._rows: dict[bytes, Tensor] = {}
        self._bytes = 0

    def features(
        self,
        key: str,
        images: AnyImages,
        compute: Callable[[Images], Tensor],
        *,
        folder: Path | None = None,
        on_images: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Give the features of all images, computing those that are not known.

        Parameters
        ----------
        key
            Of the backbone and all else that features depend on; another key forgets everything.
        images
            uint8, shape (N, H, W, C).
        compute
            Gives the features of a few images, shape (B, D).
        folder
            Where to keep what was computed, and to look for it; None for nowhere.
        on_images
            Told how many images are done, again and again; the known ones first.

        Returns
        -------
        Tensor
            Shape (N, D), on the CPU, in the type that `compute` gives.
        """
        if key != self._key:
            self._key, self._rows, self._bytes = key, {}, 0
        digests = image_digests(images)
        known = {digest: self._rows[digest] for digest in digests if digest in self._rows}
        if folder is not None:
            known |= self._read(folder, key, set(digests) - set(known))
        missing = list({d: place for place, d in enumerate(digests) if d not in known}.values())
        tell = on_images or (lambda _count: None)
        tell(len(images) - len(missing))
        for start in range(0, len(missing), BLOCK_IMAGES):
            places = missing[start : start + BLOCK_IMAGES]
            features = compute(np.ascontiguousarray(images[places])).cpu()
            block = [digests[place] for place in places]
            known |= self._remember(block, features)
            if folder is not None:
                _write(folder, key, block, features)
            tell(len(places))
        return torch.stack([known[digest] for digest in digests])

    def _remember(self, digests: list[bytes], features: Tensor) -> dict[bytes, Tensor]:
        rows = dict(zip(digests, features, strict=True))
        if self._bytes + features.nbytes <= self.limit_bytes:
            self._rows |= rows
            self._bytes += features.nbytes
        return rows

    def _read(self, folder: Path, key: str, wanted: set[bytes]) -> dict[bytes, Tensor]:
        """Read what an earlier attempt, or fold, left of the wanted images."""
        found: dict[bytes, Tensor] = {}
        for path in sorted(folder.glob("*.safetensors")) if wanted else []:
            try:
                tensors, metadata = read_tensors(path, torch.device("cpu"))
            except RunFolderError:
                continue  # cut off by a kill of the machine: it is computed again
            if metadata.get(_KEY) != key:
                continue
            digests = [row.tobytes() for row in tensors["digests"].numpy()]
            if not wanted.isdisjoint(digests):
                found |= self._remember(digests, tensors["features"])
        return found


@functools.cache
def feature_store() -> FeatureStore:
    """Give the store of this process."""
    return FeatureStore()


def image_digests(images: AnyImages) -> list[bytes]:
    """Give a digest of every image's pixels and shape."""
    shape = repr(images.shape[1:]).encode()
    return [
        hashlib.blake2b(
            np.ascontiguousarray(image).data, digest_size=_DIGEST_BYTES, key=shape[:64]
        ).digest()
        for image in images
    ]


def _write(folder: Path, key: str, digests: list[bytes], features: Tensor) -> None:
    rows = torch.frombuffer(bytearray(b"".join(digests)), dtype=torch.uint8)
    name = hashlib.sha256(b"".join(digests)).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(
        folder / f"{name}.safetensors",
        {"digests": rows.view(len(digests), _DIGEST_BYTES), "features": features},
        {_KEY: key},
    )
