"""The names by which a server answers, and the token that it asks for."""

from __future__ import annotations

import pytest

from tenfold.core.errors import SettingsError
from tenfold.serving.guard import TOKEN_VARIABLE, AllowedHosts, read_token

LOOPBACK = ("localhost", "LocalHost:8000", "localhost.", "127.0.0.1:80", "127.0.0.2", "[::1]:1")
NONE = (
    "",
    " ",
    "localhost:x",
    "localhost:99999",
    "local host",
    "a@localhost",
    "localhost/",
    "localhost,evil.example",
    "[::1",
    "::1",
    "[localhost]",
    "[127.0.0.1]",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "localhost\0",
    "..",
    "a" * 300,
)
OTHERS = ("evil.example", "localhost.evil.example", "evil-localhost", "127.0.0.1.nip.io")


@pytest.mark.parametrize("bound", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "::", "10.0.0.5"])
def test_loopback_always_and_others_never(bound: str) -> None:
    hosts = AllowedHosts(bound)
    assert all(hosts.allow(one.encode()) for one in LOOPBACK)
    assert not any(hosts.allow(one.encode("latin-1")) for one in (*NONE, *OTHERS))
    assert not hosts.allow(b"\xff")


@pytest.mark.parametrize(
    ("bound", "host", "is_allowed"),
    [
        ("127.0.0.1", "10.0.0.5", False),
        ("127.0.0.1", "0.0.0.0", False),
        ("localhost", "10.0.0.5", False),
        ("10.0.0.5", "10.0.0.5:8000", True),
        ("10.0.0.5", "10.0.0.6", False),
        ("fe80::1%eth0", "[FE80:0::1]:80", True),
        ("box.lan", "BOX.lan.:8000", True),
        ("box.lan", "10.0.0.5", True),  # what the name stands for, which cannot be rebound
        ("0.0.0.0", "192.168.1.7:8000", True),
        ("::", "[2001:db8::1]", True),
    ],
)
def test_what_it_is_bound_to(bound: str, host: str, is_allowed: bool) -> None:
    assert AllowedHosts(bound).allow(host.encode()) is is_allowed


def test_further_names() -> None:
    hosts = AllowedHosts("127.0.0.1", ["Models.Example.org.", "10.0.0.5", "[2001:DB8::1]"])
    for one in ("models.example.org", "MODELS.example.org.:443", "10.0.0.5:1", "[2001:db8::1]:1"):
        assert hosts.allow(one.encode())
    assert not hosts.allow(b"example.org")
    assert not hosts.allow(b"a.models.example.org")


def test_any_name() -> None:
    hosts = AllowedHosts("127.0.0.1", ["*"])
    assert hosts.allow(b"anything.example")
    assert not hosts.allow(b"no name at all")


@pytest.mark.parametrize(
    "name", ["", " ", "http://a.example", "a.example:80", "a b", "*.example.org"]
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(SettingsError, match=r"--allowed-host .* is no name of a host"):
        AllowedHosts("127.0.0.1", [name])


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


def test_none() -> None:
    assert read_token(None) is None


@pytest.mark.parametrize(
    "given", ["open sesame", "open sesame\n", "\topen sesame\r\n", " open sesame"]
)
def test_what_files_add_does_not_count(given: str) -> None:
    assert read_token(given) == "open sesame"


@pytest.mark.parametrize("given", ["", " ", "\n", "\r\n"])
def test_an_empty_one_is_not_none(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="The token is empty"):
        read_token(given)
    monkeypatch.setenv(TOKEN_VARIABLE, given)
    with pytest.raises(SettingsError, match="The token is empty"):
        read_token(None)


@pytest.mark.parametrize("given", ["schlüssel", "a\nb", "a\0b", "ключ", "a\x7f"])
def test_what_no_header_carries(given: str) -> None:
    with pytest.raises(SettingsError, match="cannot be sent in a header") as caught:
        read_token(given)
    assert given not in str(caught.value)
