"""Features of images that were computed before, by the images' content.

A backbone that stays as it is gives the same features of an image in every fold, for every head,
in every stage and on every call; computing them is nearly all the work. What is remembered changes
no result, and a folder of features may be deleted at any time.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, KeysView
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tenfold.core.errors import RunFolderError
from tenfold.data.dataset import Images
from tenfold.data.feature_rows import MOST_KEPT_BYTES, Features, NewFeatures
from tenfold.data.store import AnyImages
from tenfold.training.tensors import read_tensors, write_tensors

LIMIT_BYTES = 1 << 30
"""Of features that one process remembers: 130,000 images of 2,024 features of 32 bits."""
LIMIT_BESIDE_FOLDER_BYTES = 1 << 28
"""The same where a folder keeps them, too: reading them there takes a hundredth of computing."""
FOLDER_LIMIT_BYTES = 4 << 30
"""Of a folder: 530,000 images of 2,024 features of 32 bits."""
BLOCK_IMAGES = 500
"""Images between two writes to disk: what a kill can cost."""
_DIGEST_BYTES = 16
_KEY = "key"
_MOST_HEADER_BYTES = 2**16


class FeatureStore:
    """Features by the digest of their image and the key of their backbone.

    Parameters
    ----------
    limit_bytes
        What does not fit any more is given, but not remembered.
    folder_limit_bytes
        Of each folder, see `kept_in`: features of other backbones go first.
    """

    def __init__(
        self, limit_bytes: int = LIMIT_BYTES, folder_limit_bytes: int = FOLDER_LIMIT_BYTES
    ) -> None:
        self.limit_bytes = limit_bytes
        self.folder_limit_bytes = folder_limit_bytes
        self._rows: dict[str, dict[bytes, Tensor]] = {}
        self._bytes = 0
        self._folders: list[_Folder] = []

    @property
    def is_kept(self) -> bool:
        """Say whether there is a folder now that keeps what is computed."""
        return bool(self._folders)

    def has_room_for(self, images: int, width: int) -> bool:
        """Say whether a folder keeps all features of so many images, and drops none for others."""
        size = images * width * torch.float32.itemsize
        return self.is_kept and size <= self.folder_limit_bytes

    @property
    def folder(self) -> Path | None:
        """Give the innermost folder; None if there is none."""
        return self._folders[-1].path if self._folders else None

    @contextmanager
    def kept_in(self, folder: Path, *, is_written: bool = True) -> Iterator[None]:
        """Keep in a folder what is computed within the block, and look for it there.

        Blocks within blocks write to the innermost folder and read from all. A folder that several
        processes use at a time is to be read alone.
        """
        self._folders.append(_Folder(folder, self.folder_limit_bytes if is_written else 0))
        try:
            yield
        finally:
            self._folders.pop()

    def features(
        self,
        key: str,
        images: AnyImages,
        compute: Callable[[Images], Tensor],
        *,
        is_remembered: bool = True,
        on_images: Callable[[int], None] | None = None,
        most_bytes: int = MOST_KEPT_BYTES,
    ) -> Features:
        """Give the features of all images, computing those that are not known.

        Parameters
        ----------
        key
            Of the backbone and all else that features depend on.
        images
            uint8, shape (N, H, W, C).
        compute
            Gives the features of a few images, shape (B, D).
        is_remembered
            Whether the process remembers them; a folder keeps them either way.
        on_images
            Told how many images are done, again and again; the known ones first.
        most_bytes
            Of features that are given as a tensor; more are given as rows of a file.

        Returns
        -------
        Features
            Shape (N, D), on the CPU, in the type that `compute` gives.
        """
        digests = image_digests(images)
        places: dict[bytes, list[int]] = {}
        for place, digest in enumerate(digests):
            places.setdefault(digest, []).append(place)
        given = NewFeatures(len(digests), most_bytes, self.folder)

        def give(block: list[bytes], features: Tensor) -> None:
            rows = [(place, row) for row, digest in enumerate(block) for place in places[digest]]
            given.put([place for place, _ in rows], features[[row for _, row in rows]])

        missing = dict.fromkeys(places)  # a set that keeps the order
        for found in self._known(key, missing):
            give(list(found), torch.stack(list(found.values())))
            if is_remembered:
                self._remember(key, found)
        tell = on_images or (lambda _count: None)
        tell(len(images) - len(missing))
        for block in _blocks(list(missing)):
            chosen = [places[digest][0] for digest in block]
            features = compute(np.ascontiguousarray(images[chosen])).cpu()
            give(block, features)
            if is_remembered:
                self._remember(key, dict(zip(block, features, strict=True)))
            if self._folders:
                self._folders[-1].write(key, block, features)
            tell(len(block))
        return given.finished()

    def missing(self, key: str, images: AnyImages) -> dict[bytes, int]:
        """Give the images whose features are not known, each once: their digests and places."""
        places: dict[bytes, int] = {}
        for place, digest in enumerate(image_digests(images)):
            places.setdefault(digest, place)
        missing = dict.fromkeys(places)
        for _ in self._known(key, missing):
            pass
        return {digest: places[digest] for digest in missing}

    def keep(self, key: str, digests: list[bytes], features: Tensor) -> None:
        """Keep what was computed elsewhere in the innermost folder, shape (B, D)."""
        self._folders[-1].write(key, digests, features)

    def _known(self, key: str, missing: dict[bytes, None]) -> Iterator[dict[bytes, Tensor]]:
        """Give what is known of some images, and leave in `missing` those that are not."""
        remembered = self._rows.get(key, {})
        for block in _blocks([digest for digest in missing if digest in remembered]):
            yield {digest: remembered[digest] for digest in block}
            for digest in block:
                del missing[digest]
        for folder in reversed(self._folders):
            for found in folder.read(key, missing.keys()):
                yield found
                for digest in found:
                    del missing[digest]

    def _remember(self, key: str, rows: dict[bytes, Tensor]) -> None:
        size = sum(row.nbytes for row in rows.values())
        most = min(
            self.limit_bytes, LIMIT_BESIDE_FOLDER_BYTES if self.is_kept else self.limit_bytes
        )
        for other in [name for name in self._rows if name != key]:
            if self._bytes + size <= most:
                break
            self._bytes -= sum(row.nbytes for row in self._rows.pop(other).values())
        if self._bytes + size <= most:
            self._rows.setdefault(key, {}).update(rows)
            self._bytes += size


class _Folder:
    """Files of up to `BLOCK_IMAGES` images each, named by their backbone and images."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._digests: dict[str, frozenset[bytes]] = {}
        """Of the files that were looked into."""

    def read(self, key: str, wanted: KeysView[bytes]) -> Iterator[dict[bytes, Tensor]]:
        """Give what there is of the wanted images, file by file, no image twice.

        Those that were given may be taken out of `wanted` meanwhile.
        """
        paths = sorted(self.path.glob(f"{_short(key)}-*.safetensors")) if wanted else []
        if len({width for path in paths if (width := _width(path)) is not None}) > 1:
            return
        for path in paths:
            if self._digests.get(path.name, wanted).isdisjoint(wanted):
                continue
            rows = _read(path, key)
            self._digests[path.name] = frozenset(rows)
            found = {digest: row for digest, row in rows.items() if digest in wanted}
            if found:
                yield found

    def write(self, key: str, digests: list[bytes], features: Tensor) -> None:
        """Write a block if there is room, or room can be made."""
        if features.nbytes > self._limit_bytes:
            return
        sizes = {path: path.stat().st_size for path in sorted(self.path.glob("*.safetensors"))}
        own = _short(key)
        for path in [path for path in sizes if not path.name.startswith(f"{own}-")]:
            if sum(sizes.values()) + features.nbytes <= self._limit_bytes:
                break
            path.unlink(missing_ok=True)
            del sizes[path]
        if sum(sizes.values()) + features.nbytes > self._limit_bytes:
            return
        rows = torch.frombuffer(bytearray(b"".join(digests)), dtype=torch.uint8)
        name = f"{own}-{hashlib.sha256(b''.join(digests)).hexdigest()[:32]}.safetensors"
        self.path.mkdir(parents=True, exist_ok=True)
        write_tensors(
            self.path / name,
            {"digests": rows.view(len(digests), _DIGEST_BYTES), "features": features},
            {_KEY: key},
        )
        self._digests[name] = frozenset(digests)


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _blocks(digests: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(digests), BLOCK_IMAGES):
        yield digests[start : start + BLOCK_IMAGES]


def _width(path: Path) -> int | None:
    """Give how many features an image has in a file; None if its header does not say."""
    try:
        with path.open("rb") as file:
            header = file.read(min(int.from_bytes(file.read(8), "little"), _MOST_HEADER_BYTES))
        return int(json.loads(header)["features"]["shape"][1])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _read(path: Path, key: str) -> dict[bytes, Tensor]:
    """Read a file's features; none if it is damaged or not what its name says."""
    try:
        tensors, metadata = read_tensors(path, torch.device("cpu"))
    except RunFolderError:
        return {}  # cut off by a kill of the machine: it is computed again
    digests, features = tensors.get("digests"), tensors.get("features")
    if (
        metadata.get(_KEY) != key
        or digests is None
        or features is None
        or digests.dtype != torch.uint8
        or features.ndim != 2
        or digests.shape != (len(features), _DIGEST_BYTES)
    ):
        return {}
    return {row.tobytes(): vector for row, vector in zip(digests.numpy(), features, strict=True)}


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
