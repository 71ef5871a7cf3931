"""MNIST's own files, idx, in a folder: images and labels of the training and the test split.

Layout: LeCun, Cortes and Burges, The MNIST database, "File formats for the MNIST database": two
zero bytes, a type, the number of axes, the size of each axis (big-endian, 32 bits), the values.
Fashion-MNIST, KMNIST and EMNIST (Cohen et al., 2017, arXiv 1702.05373) come in the same form.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.core.files import check_regular_file, read_regular_file, sha256_of_json
from tenfold.core.progress import Progress
from tenfold.core.text import counted, shortlist
from tenfold.data.archives import GzipStream
from tenfold.data.dataset import ImageDataset
from tenfold.data.pixel_file import PixelFile
from tenfold.data.sources.folder_splits import Role, role_of
from tenfold.data.sources.labelled_arrays import (
    ArrayTexts,
    LabelledArray,
    array_dataset,
    check_array_memory,
)
from tenfold.data.sources.large_arrays import CHUNK_BYTES, are_large, spooled_images
from tenfold.data.sources.source import Source, SourceOptions, fingerprint_of_files
from tenfold.data.store import StoredImages

_FILE_NAME = re.compile(
    r"(?P<start>(?:.*[-_.])?)(?P<split>[a-z0-9]+)[-_.](?P<kind>images|labels)[-_.]"
    r"idx[1-4][-_.]ubyte(?:\.gz)?",
    re.IGNORECASE,
)
_MAPPING_BYTES = 2**16
_UBYTE = 0x08
_TYPES = {
    0x08: "unsigned bytes",
    0x09: "signed bytes",
    0x0B: "numbers of 16 bits",
    0x0C: "numbers of 32 bits",
    0x0D: "floating-point numbers",
    0x0E: "floating-point numbers of 64 bits",
}
_EXPECTED = (
    "Expected train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
    "t10k-labels-idx1-ubyte, each as it is or as .gz"
)
_AGAIN = "Copy or download it again."

_READING = 2
"""Raised when the same files give other classes, splits or pixels than before."""

FileOf = dict[tuple[Role, str], Path]
"""A data set's files by split and kind, ``images`` or ``labels``."""


class IdxSource:
    """MNIST's idx files, and those of its kin.

    EMNIST's images lie on their side in its files, and are turned upright; its classes are the
    letters that its mapping names.
    """

    name = "idx"
    needs_path = True
    summary = "a folder of MNIST's idx files, or those of Fashion-MNIST, KMNIST or EMNIST"

    def recognises(self, path: Path) -> bool:
        """Say whether `path` is such a file, or a folder that holds some."""
        try:
            if path.is_file():
                return _FILE_NAME.fullmatch(path.name) is not None
            return bool(_found(path)[1])
        except OSError:
            return False

    def available(self) -> str | None:
        """Say no: a folder must be named."""
        return None

    def fingerprint(self, path: Path | None) -> str:
        """Give a digest of the used files' names, sizes and times."""
        folder, prefix, files = _data_set(path)
        used = [*files.values(), *_mapping_file(folder, prefix)]
        return sha256_of_json(["idx", _READING, fingerprint_of_files(folder, used)])

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Read the files, and split them if there are no test images.

        Raises
        ------
        DataError
            If a file is missing, cut off, too long, of another type, or the labels do not fit.
        """
        folder, prefix, files = _data_set(path)
        headers = {key: _header(file) for key, file in files.items()}
        of_images = [header.shape for (_, kind), header in headers.items() if kind == "images"]
        is_large = are_large(map(prod, of_images)) and all(
            len(shape) == 3 and 0 not in shape and shape[1] == shape[2] for shape in of_images
        )
        held = {key for key in headers if not (is_large and key[1] == "images")}
        check_array_memory({files[key].name: prod(headers[key].shape) for key in held}, folder)
        arrays: dict[tuple[Role, str], Any] = {}
        with progress.task("Reading idx files", total=len(files), unit="files") as task:
            for key, header in headers.items():
                arrays[key] = (
                    _values(header) if key in held else _stored(header, options.work_folder)
                )
                task.advance(detail=files[key].name)
        is_emnist = prefix.lower().startswith("emnist")
        roles = dict.fromkeys(role for role, _ in files)
        splits: dict[Role, LabelledArray] = {
            role: LabelledArray(
                _upright(arrays[role, "images"]) if is_emnist else arrays[role, "images"],
                arrays[role, "labels"],
                str(files[role, "images"]),
                str(files[role, "labels"]),
            )
            for role in roles
        }
        notes = ["EMNIST's images lie on their side in its files; they were turned upright."]
        dataset = array_dataset(
            splits,
            ArrayTexts(
                source=self.name,
                location=folder,
                title=prefix or _title(folder),
                description=(
                    f"{counted(sum(len(part.images) for part in splits.values()), 'image')} from "
                    "idx files."
                ),
                whose="The files' own",
                notes=tuple(notes if is_emnist else ()),
            ),
            options,
            _class_names(folder, prefix),
        )
        for line in (dataset.split_note, *dataset.notes):
            progress.say(line)
        return dataset


SOURCE: Source = IdxSource()


def _data_set(path: Path | None) -> tuple[Path, str, FileOf]:
    """Give the folder, what all names begin with, and the files of the one data set at `path`.

    Raises
    ------
    DataError
        If there are several or none, or images without labels.
    """
    if path is None:
        raise DataError(f"The source 'idx' needs a path: tenfold run --data FOLDER. {_EXPECTED}.")
    named = _FILE_NAME.fullmatch(path.name) if path.is_file() else None
    try:
        folder, found = _found(path.parent if named is not None else path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    prefix = _prefix(named) if named is not None else next(iter(found), "")
    if prefix not in found or (named is not None and _role(named["split"]) is None):
        raise DataError(
            f"{path} {'is' if named is not None else 'holds'} no idx file of a split. {_EXPECTED}."
        )
    if len(found) > 1 and named is None:
        example = next(iter(found[prefix].values()))
        raise DataError(
            f"{folder} holds several data sets: {shortlist([name or 'MNIST' for name in found])}. "
            f"Give a file of one of them: --data {example}"
        )
    files = found[prefix]
    for role, kind in files:
        other = "labels" if kind == "images" else "images"
        if (role, other) not in files:
            raise DataError(
                f"{folder} has {files[role, kind].name} but no {other} of that split. {_EXPECTED}."
            )
    if ("train", "images") not in files:
        names = [file.name for file in files.values()]
        raise DataError(f"{folder} has {shortlist(names)} but no training images. {_EXPECTED}.")
    return folder, prefix, files


def _found(path: Path) -> tuple[Path, dict[str, FileOf]]:
    """Give the folder with idx files that `path` is or holds, and its data sets by their prefix.

    torchvision puts the files into ``MNIST/raw``, and Kaggle some into a folder of their own name.
    """
    folders = [path, path / "raw", *sorted(path.glob("*/raw"))]
    for folder in folders:
        data_sets: dict[str, FileOf] = {}
        for file in _idx_files(folder):
            match = _FILE_NAME.fullmatch(file.name)
            role = None if match is None else _role(match["split"])
            if match is None or role is None:
                continue
            # A file that is there unpacked too is not unpacked again.
            files = data_sets.setdefault(_prefix(match), {})
            files.setdefault((role, match["kind"].lower()), file)
        if data_sets:
            return folder, data_sets
    return path, {}


def _idx_files(folder: Path) -> Iterator[Path]:
    """Give the files in a folder that are idx by their names, unpacked ones first."""
    if not folder.is_dir():
        return
    names = sorted(os.listdir(folder), key=lambda name: (name.lower().endswith(".gz"), name))
    matching = [folder / name for name in names if _FILE_NAME.fullmatch(name)]
    yield from (file for file in matching if file.is_file())
    yield from (file / file.name for file in matching if (file / file.name).is_file())


def _role(text: str) -> Role | None:
    return "test" if text.lower() == "t10k" else role_of(text)


def _prefix(match: re.Match[str]) -> str:
    return match["start"].rstrip("-_.")


def _title(folder: Path) -> str:
    resolved = folder.resolve()
    return resolved.parent.name if resolved.name == "raw" else resolved.name


@dataclass(frozen=True)
class _Header:
    """What a file says of itself."""

    file: Path
    shape: tuple[int, ...]
    size_bytes: int
    """Of the header itself."""

    @property
    def total_bytes(self) -> int:
        return self.size_bytes + prod(self.shape)


def _header(file: Path) -> _Header:
    """Read a file's header.

    Raises
    ------
    DataError
        If it is none, or says other values than bytes.
    """
    start = _read(file, 4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or not 1 <= start[3] <= 4:
        raise DataError(
            f"{file} is no idx file: it begins with {start.hex(' ') or 'nothing'}. {_AGAIN}"
        )
    if start[2] != _UBYTE:
        raise DataError(
            f"{file} holds {_TYPES[start[2]]}; tenfold reads idx files of unsigned bytes (0 to "
            "255). Save images and labels as uint8, for example in an .npz file."
        )
    axes = start[3]
    content = _read(file, 4 + 4 * axes)
    if len(content) < 4 + 4 * axes:
        raise DataError(f"{file} is cut off within its header. {_AGAIN}")
    return _Header(file, struct.unpack(f">{axes}I", content[4:]), len(content))


def _read(file: Path, size: int) -> bytes:
    """Give the first bytes of what a file holds, unpacked."""
    try:
        check_regular_file(file)
        with file.open("rb") as opened:
            if file.suffix.lower() != ".gz":
                return opened.read(size)
            return GzipStream(opened, 2**17, file, "an idx file", ".gz file").read(size)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error


def _values(header: _Header) -> npt.NDArray[np.uint8]:
    """Read the values behind a header.

    Raises
    ------
    DataError
        If there are more or fewer than it says.
    """
    file, expected = header.file, header.total_bytes
    try:
        if file.suffix.lower() == ".gz":
            content, more = _unpacked(file, expected)
        else:
            more = os.stat(file).st_size - expected
            content = b"" if more else read_regular_file(file, expected)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error
    _check_length(header, more)
    return np.frombuffer(content, np.uint8, offset=header.size_bytes).reshape(header.shape)


def _stored(header: _Header, folder: Path | None) -> StoredImages:
    """Give images that are read when asked for: where they lie, or out of a file of pixels.

    Raises
    ------
    DataError
        See `_values`.
    """
    file, (count, height, width) = header.file, header.shape
    if file.suffix.lower() != ".gz":
        _check_length(header, os.stat(file).st_size - header.total_bytes)
        return StoredImages.of(PixelFile(file, (count, height, width, 1), header.size_bytes))

    def chunks() -> Iterator[bytes]:
        with file.open("rb") as opened:
            most = header.total_bytes + 2**20
            stream = GzipStream(opened, most, file, "its header says", ".gz file")
            stream.skip(header.size_bytes)
            left = prod(header.shape)
            while left and (part := stream.read(min(left, CHUNK_BYTES))):
                left -= len(part)
                yield part
            more = -left
            while part := stream.read_some():  # gzip keeps its checksum at the end
                more += len(part)
            _check_length(header, more)

    try:
        return spooled_images(chunks(), header.shape, folder)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error


def _check_length(header: _Header, more: int) -> None:
    """Refuse a file with more (or, below 0, fewer) bytes than its header says."""
    if more:
        what = f"{'too long by' if more > 0 else 'cut off:'} {abs(more):,} bytes"
        shape = " × ".join(map(str, header.shape))
        raise DataError(
            f"{header.file} is {what}{'' if more > 0 else ' are missing'}. Its header says {shape} "
            f"values, {header.total_bytes:,} bytes in all. {_AGAIN}"
        )


def _unpacked(file: Path, expected: int) -> tuple[bytes, int]:
    """Give what a gzip file unpacks to, and how many bytes more than expected it has."""
    with file.open("rb") as opened:
        stream = GzipStream(opened, expected + 2**20, file, "its header says", ".gz file")
        content = stream.read(expected)
        more = len(content) - expected
        # gzip keeps its checksum at the end.
        while part := stream.read_some():
            more += len(part)
    return content, more


def _upright(
    images: npt.NDArray[np.uint8] | StoredImages,
) -> npt.NDArray[np.uint8] | StoredImages:
    if isinstance(images, StoredImages):
        return images.changed(_turned)
    return images.swapaxes(1, 2) if images.ndim >= 3 else images


def _turned(block: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(block.swapaxes(1, 2))


def _mapping_file(folder: Path, prefix: str) -> list[Path]:
    """Give EMNIST's file of what its labels stand for, if it is there."""
    file = folder / f"{prefix}-mapping.txt"
    return [file] if prefix and file.is_file() else []


def _class_names(folder: Path, prefix: str) -> dict[int, str] | None:
    """Give the letters that EMNIST's labels stand for: a line has a label and its letters' codes.

    Raises
    ------
    DataError
        If the file is another.
    """
    names: dict[int, str] = {}
    for file in _mapping_file(folder, prefix):
        try:
            lines = read_regular_file(file, _MAPPING_BYTES).decode("ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} cannot be read: {error}. {_AGAIN}") from error
        for number, line in enumerate(lines, 1):
            codes = line.split()
            if not codes:
                continue
            is_good = len(codes) > 1 and all(code.isascii() and code.isdigit() for code in codes)
            if not is_good or not all(32 < int(code[:9]) < 0xD800 for code in codes[1:]):
                raise DataError(
                    f"{file}, line {number}: {line[:40]!r} is no label with the codes of its "
                    f"letters, such as '10 65'. {_AGAIN}"
                )
            names[int(codes[0][:9])] = "".join(chr(int(code)) for code in codes[1:])
    return names if names and len({*names.values()}) == len(names) else None
