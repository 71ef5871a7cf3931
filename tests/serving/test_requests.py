"""Bodies that arrive at the same time; forms, whole and damaged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from encodings.aliases import aliases

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi")
pytest.importorskip("python_multipart")

from tenfold.serving.guard import Refusal
from tenfold.serving.requests import ArrivingBodies, Upload, read_form

STEP = 65_536


async def pieces(parts: Sequence[bytes], then: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    for one in parts:
        yield one
        await asyncio.sleep(0)
    if then is not None:
        await then.wait()
        yield b"end"


def receive(*parts: bytes, most_bytes: int = 1000, held: int = 1000) -> bytes:
    return asyncio.run(ArrivingBodies(held, 5).receive(pieces(parts), most_bytes))


def test_a_body_is_its_pieces() -> None:
    assert receive(b"") == b""
    assert receive(b"ab", b"", b"cd") == b"abcd"


def test_one_that_is_too_large() -> None:
    with pytest.raises(Refusal) as caught:
        receive(b"a" * 600, b"a" * 600)
    assert (caught.value.status, caught.value.code) == (413, "too_large")


def test_one_that_alone_is_too_much() -> None:
    with pytest.raises(Refusal) as caught:
        receive(b"a" * 600, held=500)
    assert (caught.value.status, caught.value.code) == (503, "busy")


def test_one_that_does_not_come() -> None:
    async def run() -> None:
        bodies = ArrivingBodies(1000, 0.02)
        with pytest.raises(Refusal) as caught:
            await bodies.receive(pieces([b"a"], asyncio.Event()), 1000)
        assert (caught.value.status, caught.value.code) == (408, "too_slow")
        assert bodies.held_bytes == 0

    asyncio.run(run())


def test_one_that_comes_steadily_has_longer() -> None:
    async def steadily() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(STEP)
            await asyncio.sleep(0.05)

    async def run() -> bytes:
        return await ArrivingBodies(10 * STEP, 0.1).receive(steadily(), 10 * STEP)

    assert len(asyncio.run(run())) == 4 * STEP


def test_those_that_stall_give_way_to_those_that_come() -> None:
    async def run() -> list[bytes | BaseException]:
        bodies, never = ArrivingBodies(10 * STEP, 5), asyncio.Event()
        stalled = [
            asyncio.create_task(bodies.receive(pieces([bytes(4 * STEP)], never), 10 * STEP))
            for _ in range(2)
        ]
        while bodies.held_bytes < 8 * STEP:
            await asyncio.sleep(0)
        for _ in range(3):
            assert len(await bodies.receive(pieces([bytes(STEP)] * 3), 10 * STEP)) == 3 * STEP
        assert bodies.held_bytes == 4 * STEP, "one was enough"
        never.set()
        outcomes = await asyncio.gather(*stalled, return_exceptions=True)
        assert bodies.held_bytes == 0
        return outcomes

    first, second = asyncio.run(run())
    assert isinstance(first, Refusal)
    assert (first.status, first.code) == (503, "busy")
    assert isinstance(second, bytes)
    assert len(second) == 4 * STEP + 3


TYPE = "multipart/form-data; boundary=XX"


def form(*parts: tuple[str, bytes]) -> bytes:
    lines = b""
    for disposition, content in parts:
        head = f"Content-Disposition: form-data; {disposition}".encode()
        lines += b"--XX\r\n" + head + b"\r\n\r\n" + content + b"\r\n"
    return lines + b"--XX--\r\n"


def read(body: bytes, kind: str = TYPE, most_files: int = 9) -> list[Upload]:
    return asyncio.run(read_form(kind, body, most_files=most_files))


def refused(body: bytes, kind: str = TYPE) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(body, kind)
    return caught.value


@pytest.mark.parametrize("end", [None, -2])
def test_files_are_given_in_order_and_fields_left_out(end: int | None) -> None:
    body = form(
        ('name="image"; filename="a.png"', b"A\r\n--X"),
        ('name="note"', b"hello"),
        ('name="image"; filename="ö"', b""),
    )
    assert read(body[:end]) == [Upload("a.png", b"A\r\n--X"), Upload("ö", b"")]


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("multipart/form-data", form(), "no boundary"),
        ("multipart/form-data; boundary=", form(), "no boundary"),
        (f"multipart/form-data; boundary={'X' * 300}", form(), "exceeds maximum of 256"),
        (TYPE, b"", "ends before its last boundary"),
        (TYPE, form(('name="a"; filename="a"', b"x"))[:-6], "ends before its last boundary"),
        (TYPE, b"--YY\r\n\r\n--YY--", "cannot be read"),
        (TYPE, form(('filename="a"', b"x")), "cannot be read"),
        (
            TYPE,
            b"--XX\r\nContent-Disposition: form-data\r\nX: " + b"y" * 9000 + b"\r\n\r\n--XX--",
            "Maximum header size exceeded",
        ),
    ],
)
def test_damaged_forms(kind: str, body: bytes, reason: str) -> None:
    refusal = refused(body, kind)
    assert (refusal.status, refusal.code) == (400, "bad_form")
    assert reason in refusal.message


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        ('name="i"; filename="a"', "too_many_images", "More than 9 images"),
        ('name="i"', "too_many_fields", "fields"),
    ],
)
@pytest.mark.parametrize("count", [101, 50_000])
def test_a_form_of_very_many_parts_is_not_looked_through(
    kind: str, code: str, reason: str, count: int
) -> None:
    refusal = refused(form((kind, b"x"))[:-8] * count)
    assert (refusal.status, refusal.code) == (413, code)
    assert reason in refusal.message


@pytest.mark.parametrize("filling", [b"a", b"\ra", b"\r\r", b"-a", b" ", b"\t"])
def test_a_line_that_begins_with_the_boundary_is_no_content(filling: bytes) -> None:
    for before in (b"", bytes(2**15 - 60), bytes(2**15 - 70)):
        body = form(('name="i"; filename="a"', before + b"\r\n--XX" + filling))
        assert refused(body).code == "bad_form"


@pytest.mark.parametrize("filling", [b"\r", b"\r\n", b"\r\n--", b"\r\n--X", b"\r\n--Xx", b"-"])
def test_what_is_almost_a_boundary_is_content(filling: bytes) -> None:
    content = filling * 200_000
    (upload,) = read(form(('name="i"; filename="a"', content)), most_files=1)
    assert upload.content == content


def test_others_have_their_turn_meanwhile() -> None:
    turns = 0

    async def run() -> None:
        nonlocal turns
        body = form(('name="i"; filename="a"', bytes(2**20)))
        task = asyncio.create_task(read_form(TYPE, body, most_files=1))
        while not task.done():
            turns += 1
            await asyncio.sleep(0)

    asyncio.run(run())
    assert turns > 20


@given(
    st.sampled_from([*sorted(set(aliases.values())), "idna", "punycode", "undefined", "no such"]),
    st.binary(max_size=30),
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of escape sequences
def test_any_charset_gives_a_name_or_a_refusal(charset: str, name: bytes) -> None:
    body = b'--XX\r\nContent-Disposition: form-data; name="i"; filename="%b"\r\n\r\n\r\n--XX--'
    with contextlib.suppress(Refusal):
        (upload,) = read(body % name, f"{TYPE}; charset={charset}")
        assert isinstance(upload.name, str)


@given(st.binary(max_size=200), st.integers(0, 300), st.binary(max_size=20))
def test_any_bytes_are_a_form_or_a_refusal(content: bytes, cut: int, inserted: bytes) -> None:
    body = form(('name="i"; filename="a"', content))
    body = body[:cut] + inserted + body[cut:]
    for kind in (TYPE, f"multipart/form-data; boundary={inserted.decode('latin-1')}"):
        with contextlib.suppress(Refusal):
            assert all(isinstance(one.content, bytes) for one in read(body, kind))
