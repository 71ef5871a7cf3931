from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.array_files import load_array, load_arrays


def test_arrays_come_back_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(3))
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(3), y=np.zeros((2000, 2000)))
    assert load_array(tmp_path / "a.npy").tolist() == [0, 1, 2]
    assert load_arrays(tmp_path / "a.npz").keys() == {"x", "y"}
    assert load_arrays(tmp_path / "a.npz", "x").keys() == {"x"}
    with pytest.raises(ValueError, match="KeyError"):
        load_arrays(tmp_path / "a.npz", "z")
    with pytest.raises(ValueError, match="several arrays"):
        load_array(tmp_path / "a.npz")


def _npy(header: str) -> bytes:
    text = header.encode().ljust(500) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


HOSTILE = {
    "far too many numbers": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2**60,)}"),
    "numbers of terabytes": _npy(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}"
    ),
    "a negative shape": _npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-5,)}"),
    "a pickled array": _npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
    "a nested header": _npy("(" * 400),
    "no header": b"\x93NUMPY\x01\x00",
    "a pickle": b"\x80\x04N.",
    "nothing": b"",
    "text": b"text",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_array_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.npy").write_bytes(HOSTILE[name])
    with pytest.raises(ValueError, match=r"Error: "):
        load_array(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", HOSTILE[name])
    # NumPy gives what has not the beginning of an array as bytes.
    if HOSTILE[name].startswith(b"\x93NUMPY"):
        with pytest.raises(ValueError, match=r"Error: "):
            load_arrays(tmp_path / "a.npz", "x")


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"{number}.npy", bytes(2**26))
    (tmp_path / "a.npz").write_bytes(content.getvalue())
    with pytest.raises(ValueError, match=r"unpack to 335,544,320"):
        load_arrays(tmp_path / "a.npz", "0")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    for load in (load_array, load_arrays):
        with pytest.raises(OSError, match="a pipe or a device"):
            load(tmp_path / "a.npy")
