"""What is said about files that are not used: how many of which kind, and what can be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# fmt: off
_PICTURES = frozenset({
    ".czi", ".fits", ".h5", ".hdf5", ".icns", ".ico", ".jps", ".jxr", ".lif", ".mat", ".mha",
    ".mhd", ".nd2", ".npy", ".npz", ".nrrd", ".pcx", ".pdf", ".raw", ".sgi", ".svs", ".tfrecord",
    ".tfrecords", ".xbm", ".xpm",
})
_VIDEOS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"})
# fmt: on
ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"})

_MOST_ENDINGS = 4  # More kinds of files in one sentence are not read by anyone.


def endings(others: Counter[str]) -> str:
    """Give how many files have which ending, most of them first: ``.heic 38, .txt 2``."""
    ordered = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{ending or 'no ending'} {count:,}" for ending, count in ordered[:_MOST_ENDINGS]]
    rest = sum(count for _, count in ordered[_MOST_ENDINGS:])
    return ", ".join([*shown, *([f"others {rest:,}"] if rest else [])])


def remedy(others: Iterable[str]) -> str:
    """Say what can be done about files of these endings; empty if they need not be images."""
    known = set(others)
    advice = []
    if found := sorted(known & _PICTURES):
        advice.append(f"Convert {', '.join(found)} files to PNG or JPEG to have them used.")
    if found := sorted(known & _VIDEOS):
        advice.append(f"Save frames of {', '.join(found)} files as PNG or JPEG to have them used.")
    if found := sorted(known & ARCHIVES):
        advice.append(f"Unpack {', '.join(found)} files to have what is in them used.")
    if "" in known:
        advice.append("Give images without an ending one, such as .jpg, to have them used.")
    return " ".join(advice)
