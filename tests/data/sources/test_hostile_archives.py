"""Archives made to cost time or memory: each is refused with a sentence, at a bounded cost."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import DataError
from tenfold.core.progress import SilentProgress
from tenfold.data.sources.cifar10_files import looks_like_archive, read_archive
from tenfold.data.sources.cifar10_formats import Cifar10Arrays

RECORDS = 7
BATCH = RECORDS * 3073
END = bytes(1024)
Bounded = Callable[[int], AbstractContextManager[None]]


def header(
    name: str, size: int | bytes = 0, kind: bytes = b"0", *, link: str = "", tail: bytes = b""
) -> bytes:
    """Give a tar header; `size` as bytes stands in the field as it is."""
    field = b"%011o\0" % size if isinstance(size, int) else size.ljust(12, b"\0")
    block = bytearray(512)
    block[:100] = name.encode().ljust(100, b"\0")
    block[100:124] = b"0000644\0" * 3
    block[124:136], block[136:148] = field, b"%011o\0" % 0
    block[148:156], block[156:157] = b" " * 8, kind
    block[157:257] = link.encode().ljust(100, b"\0")
    block[257:265] = b"ustar\x0000"
    block[345 : 345 + len(tail)] = tail
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: str, content: bytes = b"", kind: bytes = b"0") -> bytes:
    return header(name, len(content), kind) + content + bytes(-len(content) % 512)


def huge(exponent: int) -> bytes:
    """Give a size in GNU's base 256."""
    return b"\x80" + (2**exponent - 1).to_bytes(11, "big")


def pax(content: bytes, kind: bytes = b"x") -> bytes:
    return member("pax", content, kind)


def packed(*blocks: bytes) -> bytes:
    return gzip.compress(b"".join(blocks), 1)


def bomb(count: int) -> bytes:
    """Give a gzip of `count` MiB of zeros, without having them in memory."""
    squeeze = zlib.compressobj(9, wbits=31)
    parts = [squeeze.compress(bytes(2**20)) for _ in range(count)]
    return b"".join([*parts, squeeze.flush()])


GZIP_START = b"\x1f\x8b\x08"
HOSTILE: dict[str, Callable[[], bytes]] = {
    "an extended header of 2^88 bytes": lambda: packed(header("p", huge(88), b"x"), END),
    "a file of 2^88 bytes": lambda: packed(header("data_batch_1.bin", huge(88)), END),
    "a skipped file of 2^62 bytes": lambda: packed(header("big", huge(62)), END),
    "a long name of 2^40 bytes": lambda: packed(header("L", huge(40), b"L"), END),
    "an extended header that says 2^88": lambda: packed(
        pax(b"33 size=309485009821345068724781056\n"), header("big"), END
    ),
    "a file that ends before its size": lambda: packed(header("big", 2**24)),
    "a negative size": lambda: packed(header("big", b"\xff" * 11 + b"\0"), END),
    "a negative octal size": lambda: packed(header("big", b"-0000000777"), END),
    "a size that is no number": lambda: packed(header("big", b"1_0"), END),
    "a decimal size that is none": lambda: packed(pax(b"11 size=-9\n"), header("big"), END),
    "1,500 long names": lambda: packed(member("L", b"a\0", b"L") * 1500, member("x"), END),
    "1,500 long links": lambda: packed(member("K", b"a\0", b"K") * 1500, member("x"), END),
    "1,500 extended headers": lambda: packed(pax(b"9 path=a\n") * 1500, member("x"), END),
    "1,500 global headers": lambda: packed(pax(b"9 path=a\n", b"g") * 1500, member("x"), END),
    "an extended header of 3 MB": lambda: packed(pax(b"9 path=a\n" * 300_000), END),
    "a long name of 3 MB": lambda: packed(member("L", bytes(3_000_000), b"L"), END),
    "digits without end": lambda: packed(pax(b"1" * 1_000_000), member("x"), END),
    "a record of no bytes": lambda: packed(pax(b"0 path=a\n"), member("x"), END),
    "a record that goes back": lambda: packed(pax(b"-9 path=a\n"), member("x"), END),
    "a record past its header": lambda: packed(pax(b"999 path=a\n"), member("x"), END),
    "a record without a name": lambda: packed(pax(b"5 ab\n"), member("x"), END),
    "a sparse file": lambda: packed(header("x", 512, b"S", tail=b"\xff" * 160), END),
    "an extended sparse map": lambda: packed(
        pax(b"28 GNU.sparse.map=1,x,2,,,,\n"), header("data_batch_1.bin", 512), END
    ),
    "a sparse map in the content": lambda: packed(
        pax(b"22 GNU.sparse.major=1\n"), member("data_batch_1.bin", b"9" * 512), END
    ),
    "thousands of tiny files": lambda: packed(*[member(f"{n}") for n in range(1500)], END),
    "a wrong checksum": lambda: packed(header("x").replace(b"x", b"y"), END),
    "half a header": lambda: packed(header("x")[:300]),
    "no header": lambda: packed(b"text " * 1000),
    "a bomb in a file": lambda: packed(header("zeros", 2**35), bytes(2**25), END),
    "a bomb of small files": lambda: packed(*[header("z", 2**17) + bytes(2**17)] * 300, END),
    "a bomb after the end": lambda: bomb(40),
    "another batch size": lambda: packed(member("data_batch_1.bin", bytes(BATCH + 1)), END),
    "a pickle of another size": lambda: packed(header("data_batch_1", 2**24), bytes(2**24), END),
    "class names of 20 MB": lambda: packed(member("batches.meta", bytes(20_000_000)), END),
    "a link": lambda: packed(header("data_batch_1.bin", kind=b"2", link="/etc/passwd"), END),
    "a hard link": lambda: packed(header("data_batch_1.bin", BATCH, b"1", link="x"), END),
    "a character device": lambda: packed(header("data_batch_1.bin", kind=b"3"), END),
    "a named pipe": lambda: packed(header("data_batch_1.bin", kind=b"6"), END),
    "a folder": lambda: packed(header("data_batch_1.bin", kind=b"5"), END),
    "an unknown kind": lambda: packed(header("data_batch_1.bin", BATCH, b"%"), bytes(BATCH), END),
    "nothing": lambda: b"",
    "no gzip": lambda: b"PK\x03\x04" + bytes(1000),
    "a cut gzip": lambda: packed(member("x", bytes(range(256)) * 9), END)[:-9],
    "a name in gzip without end": lambda: GZIP_START + b"\x08" + bytes(6) + b"a" * 2**21,
    "deflated blocks of nothing": lambda: (
        GZIP_START + bytes(7) + b"\0\0\0\xff\xff" * 2_000_000 + b"\1\0\0\xff\xff" + bytes(8)
    ),
    "thousands of empty gzips": lambda: gzip.compress(b"") * 20_500,
    "what follows is no gzip": lambda: packed(member("x"), END) + b"something else",
    "a far end": lambda: packed(member("x"), END) + bytes(2**25),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_at_a_bounded_cost(name: str, tmp_path: Path, bounded: Bounded) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(HOSTILE[name]())
    arrays = Cifar10Arrays(RECORDS)
    with bounded(2**23):
        looks_like_archive(path)
        with pytest.raises(DataError, match=r"a\.tar\.gz") as caught:
            read_archive(path, arrays, SilentProgress())
    message = str(caught.value)
    assert len(message) < 600
    assert message.endswith((".", "again."))


def test_looking_into_a_bomb_unpacks_little(tmp_path: Path, bounded: Bounded) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(packed(header("zeros", 10**8)) + bomb(20))
    with bounded(2**20):
        assert not looks_like_archive(path)


def test_an_archive_far_larger_than_cifar10_is_not_read_to_its_end(
    tmp_path: Path, bounded: Bounded
) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(packed(END))
    with path.open("r+b") as file:
        file.truncate(10**13)  # Sparse: takes no space.
    with bounded(2**20), pytest.raises(DataError, match="far larger than CIFAR-10"):
        read_archive(path, Cifar10Arrays(RECORDS), SilentProgress())


def _batches(tiny: Any, *, before: str = "") -> list[bytes]:
    return [member(f"{before}{name}", content) for name, content in tiny.binary_files().items()]


def _in_blocks(content: bytes) -> bytes:
    """Compress as bgzip does: a member for each piece."""
    return b"".join(gzip.compress(content[at : at + 2**16]) for at in range(0, len(content), 2**16))


def test_unusual_archives_of_cifar10_are_read(tiny_cifar10: Any, tmp_path: Path) -> None:
    plain = b"".join(_batches(tiny_cifar10))
    long_name = "d" * 150 + "/data_batch_1.bin"
    record = f"{len(long_name) + 10} path={long_name}\n"
    assert record.startswith(f"{len(record)} ")
    first = tiny_cifar10.binary_files()["data_batch_1.bin"]
    rest = b"".join(_batches(tiny_cifar10)[1:])
    unusual = {
        "in blocks, as bgzip compresses": _in_blocks(plain + END),
        "in blocks, padded": _in_blocks(plain + END) + bytes(100_000),
        "without an end": packed(plain),
        "with records of zeros": packed(plain, bytes(2**20)),
        "a long name, GNU": packed(
            member("././@LongLink", long_name.encode() + b"\0", b"L"),
            member("d" * 100, first),
            rest,
        ),
        "a long name, pax": packed(pax(record.encode()), member("d" * 100, first), rest),
        "sizes in base 256": packed(
            header("data_batch_1.bin", b"\x80" + struct.pack(">3xQ", BATCH)),
            first,
            bytes(-BATCH % 512),
            rest,
        ),
        "a size in an extended header": packed(
            pax(b"14 size=%d\n" % BATCH),
            header("data_batch_1.bin"),
            first,
            bytes(-BATCH % 512),
            rest,
        ),
        "a Mac's other files": packed(
            member("._data_batch_1.bin", b"\0\5\x16\7"), pax(b"20 SCHILY.xattr.a=b\n"), plain
        ),
    }
    for name, content in unusual.items():
        path = tmp_path / "a.tar.gz"
        path.write_bytes(content)
        assert looks_like_archive(path), name
        arrays = Cifar10Arrays(RECORDS)
        read_archive(path, arrays, SilentProgress())
        train, test = arrays.splits()
        images = np.concatenate([train.images, test.images])
        assert np.array_equal(images, tiny_cifar10.expected_images()), name


def test_names_come_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(packed(member("\x1b]0;title\x07\r\n\u202e"), END))
    with pytest.raises(DataError, match="no file of CIFAR-10") as caught:
        read_archive(path, Cifar10Arrays(RECORDS), SilentProgress())
    assert str(caught.value).isprintable()
