"""Forms, whole and damaged."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.serving.multipart import read_form
from tenfold.serving.refusal import Refusal

pytest.importorskip("python_multipart")

TYPE = "multipart/form-data; boundary=XX"


def form(*parts: tuple[str, bytes]) -> bytes:
    lines = b""
    for disposition, content in parts:
        head = f"Content-Disposition: form-data; {disposition}".encode()
        lines += b"--XX\r\n" + head + b"\r\n\r\n" + content + b"\r\n"
    return lines + b"--XX--\r\n"


def test_files_are_given_in_order_and_fields_left_out() -> None:
    body = form(
        ('name="image"; filename="a.png"', b"A\r\n--X"),
        ('name="note"', b"hello"),
        ('name="image"; filename="ö \\"b\\".png"', b""),
    )
    uploads = read_form(TYPE, body, most_files=9)
    assert [one.content for one in uploads] == [b"A\r\n--X", b""]
    assert uploads[0].name == "a.png"


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("multipart/form-data", form(), "no boundary"),
        (TYPE, b"", "ends before its last boundary"),
        (TYPE, form(('name="a"; filename="a"', b"x"))[:-6], "ends before its last boundary"),
        (TYPE, b"--YY\r\n\r\n--YY--", "cannot be read"),
        (
            TYPE,
            b"--XX\r\nContent-Disposition: form-data\r\nX: " + b"y" * 9000 + b"\r\n\r\n--XX--",
            "Maximum header size exceeded",
        ),
    ],
)
def test_damaged_forms(kind: str, body: bytes, message: str) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        read_form(kind, body, most_files=9)
    assert caught.value.status == 400


def test_a_form_of_very_many_parts_is_not_looked_through() -> None:
    many_files = form(('name="i"; filename="a"', b"x"))[:-8] * 50_000
    with pytest.raises(Refusal, match="More than 9 images") as caught:
        read_form(TYPE, many_files, most_files=9)
    assert caught.value.status == 413
    many_fields = form(('name="i"', b"x"))[:-8] * 50_000
    with pytest.raises(Refusal, match="fields") as caught:
        read_form(TYPE, many_fields, most_files=9)
    assert caught.value.status == 413


@pytest.mark.parametrize("filling", [b"\r", b"\r\n", b"\r\n--", b"\r\n--X", b"\r\n--Xx", b"-"])
def test_what_is_almost_a_boundary_is_content(filling: bytes) -> None:
    content = filling * 200_000
    (upload,) = read_form(TYPE, form(('name="i"; filename="a"', content)), most_files=1)
    assert upload.content == content


@given(st.binary(max_size=200), st.integers(0, 300), st.binary(max_size=20))
def test_any_bytes_are_a_form_or_a_refusal(content: bytes, cut: int, inserted: bytes) -> None:
    body = form(('name="i"; filename="a"', content))
    body = body[:cut] + inserted + body[cut:]
    for kind in (TYPE, f"multipart/form-data; boundary={inserted.decode('latin-1')}"):
        with contextlib.suppress(Refusal):
            assert all(
                isinstance(one.content, bytes) for one in read_form(kind, body, most_files=9)
            )
