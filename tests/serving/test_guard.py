"""Who may ask: by the token, the site and the name of the server."""

from __future__ import annotations

from typing import Any

import pytest

from tenfold.core.errors import SettingsError

pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")

from tenfold.serving.guard import TOKEN_VARIABLE, AllowedHosts, read_token

BYTES = {"content-type": "application/octet-stream"}
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


class TestToken:
    @pytest.mark.parametrize("path", ["/api/predict", "/api/explain", "/api/model", "/metrics"])
    @pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic right", "Bearer rightx", "ö"])
    def test_without_it(self, path: str, given: str | None, client: Any) -> None:
        headers = {} if given is None else {"authorization": given}
        method = "POST" if path in ("/api/predict", "/api/explain") else "GET"
        answer = client(token="right")(method, path, b"", headers)
        assert (answer.status, answer.json["error"]["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert b"right" not in answer.body

    def test_with_it(self, client: Any, make_png: Any) -> None:
        headers = {"authorization": "Bearer right"} | BYTES
        assert client(token="right")("POST", "/api/predict", make_png(), headers).status == 200

    @pytest.mark.parametrize(
        "path",
        ["/openapi.json", "/docs", "/nothing", "/api/../metrics", "//api/model", "/API/model"],
    )
    def test_nothing_else_is_told_either(self, path: str, client: Any) -> None:
        assert client(token="right")("GET", path).status == 401

    @pytest.mark.parametrize(
        ("given", "status"),
        [("bearer right", 200), ("BEARER  right ", 200), ("Bearer right\xe9", 401), ("right", 401)],
    )
    def test_how_it_may_be_written(self, given: str, status: int, client: Any) -> None:
        answer = client(token="right")("GET", "/api/model", b"", {"authorization": given})
        assert answer.status == status

    def test_the_page_tells_nothing_of_the_model(self, client: Any) -> None:
        one = client(token="right")
        for path in ("/", "/page.js", "/page.css", "/health", "/health/live", "/health/ready"):
            text = one("GET", path).body.decode().lower()
            for secret in ("animals", "dög", "owl", "75.0%", "1,200", "cnn"):
                assert secret not in text, path

    @pytest.mark.parametrize("path", ["/", "/page.js", "/health", "/health/live", "/health/ready"])
    def test_the_page_is_open(self, path: str, client: Any) -> None:
        assert client(token="right")("GET", path).status == 200


class TestOtherSites:
    @pytest.mark.parametrize(
        "host",
        ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "x@localhost", "", "ö"],
    )
    @pytest.mark.parametrize("path", ["/", "/api/model", "/api/explain", "/health", "/metrics"])
    def test_another_name_is_refused(self, host: str, path: str, client: Any) -> None:
        answer = client()("POST" if path == "/api/explain" else "GET", path, b"", {"host": host})
        assert (answer.status, answer.json["error"]["code"]) == (421, "wrong_host")
        assert "--allowed-host" in answer.json["error"]["message"]

    def test_a_name_that_was_allowed(self, client: Any) -> None:
        one = client(hosts=AllowedHosts("127.0.0.1", ["Models.example.org."]))
        for host in ("models.example.org", "MODELS.example.org:8443", "localhost:1", "[::1]"):
            assert one("GET", "/health", b"", {"host": host}).status == 200

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"sec-fetch-site": "cross-site"}, 403),
            ({"sec-fetch-site": "same-site"}, 403),
            ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
            ({"sec-fetch-site": "anything"}, 403),
            ({"sec-fetch-site": "same-origin", "origin": "http://localhost:8000"}, 200),
            ({"sec-fetch-site": "none"}, 200),
            ({"origin": "http://evil.example"}, 403),
            ({"origin": "null"}, 403),
            ({"origin": "http://localhost:3000"}, 403),
            ({"origin": "http://localhost:8000"}, 200),
            ({"origin": "HTTP://LOCALHOST:8000"}, 403),  # as no browser writes it
            ({}, 200),
        ],
    )
    @pytest.mark.parametrize("method", ["POST", "GET"])
    def test_a_page_of_another_site_is_refused(
        self, method: str, headers: dict[str, str], status: int, client: Any, make_png: Any
    ) -> None:
        path, body = ("/api/predict", make_png()) if method == "POST" else ("/api/model", b"")
        answer = client()(method, path, body, {"host": "localhost:8000"} | headers)
        assert answer.status == status
        if status != 200:
            assert answer.json["error"]["code"] == "cross_site"

    def test_a_link_to_the_page_works(self, client: Any) -> None:
        link = {
            "host": "localhost",
            "sec-fetch-site": "cross-site",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        }
        one = client()
        assert one("GET", "/", b"", link).status == 200
        assert one("GET", "/", b"", link | {"sec-fetch-dest": "iframe"}).status == 403
        assert one("POST", "/api/predict", b"x", link).status == 403

    def test_behind_a_proxy_with_a_name_of_its_own(self, client: Any, make_png: Any) -> None:
        one = client(hosts=AllowedHosts("127.0.0.1", ["models.example.org"]))
        headers = {"host": "127.0.0.1:8000", "origin": "https://models.example.org"}
        assert one("POST", "/api/predict", make_png(), headers).status == 200


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
