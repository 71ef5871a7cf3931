"""Connections over a socket: what is no request, too long, too slow, or two in one."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("onnxruntime")

POST = b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
LAST = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
H2C = b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"


@pytest.fixture(scope="module")
def server(serve_here: Any) -> Any:
    return serve_here(receive_seconds=0.4, body_mib=1, memory_mib=4)


def length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body)


def statuses(received: bytes) -> list[int]:
    return [int(one) for one in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def code(received: bytes) -> str:
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    return str(json.loads(body)["error"]["code"])


class TestUpgrade:
    @pytest.mark.parametrize("kind", [b"h2c", b"websocket", b"TLS/1.0, HTTP/1.1", b"foo"])
    def test_the_body_is_the_body(self, kind: bytes, server: Any, make_png: Any) -> None:
        content = make_png()
        wish = b"Connection: Upgrade, close\r\nUpgrade: " + kind + b"\r\n"
        received = server.send(POST + wish + length(content), content)
        assert statuses(received) == [200]
        assert b'"probability"' in received

    def test_a_body_of_chunks(self, server: Any, make_png: Any) -> None:
        content = make_png()
        chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
        wish = b"Connection: Upgrade, close\r\n" + H2C
        assert statuses(server.send(POST + wish + CHUNKED + chunk)) == [200]

    def test_a_body_is_never_a_request(self, server: Any) -> None:
        inner = GET + b"\r\n"
        wish = b"Connection: Upgrade\r\n" + H2C
        received = server.send(POST + wish + length(inner), inner, GET + LAST + b"\r\n")
        assert statuses(received) == [422, 200]

    def test_two_after_each_other(self, server: Any, make_png: Any) -> None:
        content = make_png()
        one = POST + b"Connection: Upgrade\r\n" + H2C + length(content) + content
        assert statuses(server.send(one + one + GET + LAST + b"\r\n")) == [200, 200, 200]

    def test_what_else_is_wrong_is_said(self, server: Any) -> None:
        wish = b"Connection: Upgrade\r\n" + H2C
        received = server.send(POST + wish + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
        assert (statuses(received), code(received)) == ([501], "transfer_coding")

    def test_a_tunnel_is_refused(self, server: Any) -> None:
        received = server.send(b"CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n" + GET + b"\r\n")
        assert statuses(received) == [405]


class TestTooMuch:
    @pytest.mark.parametrize(
        "head",
        [
            GET + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
            GET + b"X: " + b"a" * 700_000,
            GET + b"a" * 700_000,
            GET + b"X: a\r\n" * 101 + b"\r\n",
            GET + (b"X: " + b"a" * 700 + b"\r\n") * 99 + b"\r\n",
        ],
        ids=["value", "endless value", "endless name", "many", "together"],
    )
    def test_headers(self, head: bytes, server: Any) -> None:
        received = server.send(head)
        assert statuses(received) == [431]
        assert code(received) == "head_too_large"

    def test_headers_that_may_be(self, server: Any) -> None:
        head = GET + LAST + b"X: " + b"a" * 60_000 + b"\r\n" + b"Y: a\r\n" * 90 + b"\r\n"
        assert statuses(server.send(head)) == [200]

    @pytest.mark.parametrize("rest", [b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b""])
    def test_an_address(self, rest: bytes, server: Any) -> None:
        received = server.send(b"GET /" + b"a" * 9000 + rest)
        assert (statuses(received), code(received)) == ([414], "target_too_long")

    @pytest.mark.parametrize(
        "body",
        [
            b"3;a=" + b"b" * 2_000_000,
            b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 300_000,
            b"3\r\nabc\r\n0\r\nX: " + b"y" * 2_000_000,
            b"1\r\na\r\n" * 300_000,
        ],
        ids=["extension", "trailers", "trailer", "tiny chunks"],
    )
    def test_around_chunks(self, body: bytes, server: Any) -> None:
        received = server.send(POST + CHUNKED + body)
        assert (statuses(received), code(received)) == ([400], "bad_request")

    def test_a_trailer_is_no_header(self, server: Any, make_png: Any) -> None:
        content = make_png()
        body = b"%x;a=b\r\n%b\r\n0\r\nContent-Type: application/json\r\n\r\n" % (
            len(content),
            content,
        )
        assert statuses(server.send(POST + LAST + CHUNKED + body)) == [200]

    def test_requests_in_advance(self, server: Any) -> None:
        given = statuses(server.send((GET + b"\r\n") * 1000))
        assert set(given) == {200}
        assert len(given) < 100


class TestNoRequest:
    @pytest.mark.parametrize(
        ("request_bytes", "status"),
        [
            (b"hello\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
            (b"GET /health\r\n\r\n", 505),
            (b"GET /health HTTP/1.1\r\n\r\n", 400),
            (GET + b"Host: localhost\r\n\r\n", 400),
            (GET + b"X: a\0b\r\n\r\n", 400),
            (GET + b"X: a\r\n b\r\n\r\n", 400),
            (GET + b"X : a\r\n\r\n", 400),
            (b"GET /health HTTP/1.1\nHost: localhost\n\n", 400),
            (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
            (POST + b"Content-Length: 3\r\n" + CHUNKED + b"0\r\n\r\n", 400),
            (POST + b"Content-Length: +3\r\n\r\nabc", 400),
            (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
            (POST + b"Transfer-Encoding: identity\r\n\r\nabc", 501),
            (POST.replace(b"1.1", b"1.0") + CHUNKED + b"0\r\n\r\n", 501),
            (POST + CHUNKED + b"zz\r\n", 400),
        ],
    )
    def test_is_refused_in_our_shape_and_nothing_follows(
        self, request_bytes: bytes, status: int, server: Any
    ) -> None:
        received = server.send(request_bytes + GET + b"\r\n")
        assert statuses(received) == [status]
        assert code(received)
        assert b"connection: close" in received

    def test_what_was_asked_before_is_answered(self, server: Any) -> None:
        received = server.send(GET + b"\r\ngarbage\r\n\r\n")
        assert statuses(received) == [200]

    def test_a_body_that_breaks_off_later(self, server: Any) -> None:
        received = server.send(POST + CHUNKED + b"3\r\nabc\r\n", b"zz\r\n")
        assert (statuses(received), code(received)) == ([400], "bad_request")

    @pytest.mark.parametrize(
        ("target", "host", "status"),
        [
            (b"http://evil.example/health", b"localhost", 421),
            (b"http://localhost/health", b"evil.example", 200),
            (b"http://localhost", b"localhost", 200),
            (b"*", b"localhost", 404),
            (b"/%68ealth", b"localhost", 200),
            (b"/%00%ff", b"localhost", 404),
        ],
    )
    def test_targets(self, target: bytes, host: bytes, status: int, server: Any) -> None:
        head = b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + LAST + b"\r\n"
        assert statuses(server.send(head)) == [status]

    def test_the_old_version_needs_no_host(self, server: Any) -> None:
        assert statuses(server.send(b"GET /health HTTP/1.0\r\n\r\n")) == [200]

    def test_head_has_no_body(self, server: Any) -> None:
        received = server.send(b"HEAD" + GET[3:] + b"\r\n" + GET + LAST + b"\r\n")
        assert statuses(received) == [200, 200]
        assert received.count(b"content-length: 15") == 2
        assert received.count(b'{"status":"ok"}') == 1

    def test_whoever_asks_first_may_send(self, server: Any, make_png: Any) -> None:
        content = make_png()
        with server.connect() as client:
            client.sendall(POST + LAST + b"Expect: 100-continue\r\n" + length(content))
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(content)
            assert statuses(server.read(client)) == [200]

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (GET + b"Content-Length: 900\r\n\r\nabc", 200),
            (POST + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", 413),
            (POST.replace(b"localhost", b"evil.example") + b"Content-Length: 900\r\n\r\nabc", 421),
        ],
    )
    def test_an_answer_before_the_end_ends_the_connection(
        self, head: bytes, status: int, server: Any
    ) -> None:
        received = server.send(head)
        assert statuses(received) == [status]
        assert b"connection: close" in received

    def test_a_large_body_does_not_hide_its_refusal(self, server: Any) -> None:
        received = server.send(POST + length(bytes(3_000_000)), bytes(3_000_000))
        assert (statuses(received), code(received)) == ([413], "too_large")


class TestTooSlow:
    """The server closes each of these by itself; a hang would fail by the socket's own limit."""

    @pytest.mark.parametrize(
        ("start", "drip", "given"),
        [
            (b"", b"", []),
            (b"", b"\r\n", []),
            (POST, b"X: y\r\n", []),
            (POST, b"x", []),
            (b"GET /", b"x", []),
            (GET + b"\r\n", b"\r\n", [200]),
            (GET + b"\r\nG", b"", [200]),
            (POST + b"Content-Length: 9999\r\n\r\n", b"x", [408]),
            (POST + CHUNKED, b"1\r\nx\r\n", [408]),
            (POST + CHUNKED + b"3;a=", b"b", [408]),
            (POST + CHUNKED + b"0\r\n", b"x: y\r\n", [408]),
            (GET + b"Content-Length: 9999\r\n\r\n", b"x", [200]),
            (POST.replace(b"predict", b"no") + b"Content-Length: 9999\r\n\r\n", b"x", [404]),
        ],
    )
    def test_a_drip(self, start: bytes, drip: bytes, given: list[int], server: Any) -> None:
        with server.connect() as client:
            client.sendall(start)
            client.settimeout(0.1)
            received = b""
            for _ in range(100):
                try:
                    if drip:
                        client.sendall(drip)
                    part = client.recv(65_536)
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
                if not part:
                    break
                received += part
            else:
                raise AssertionError("it is never closed")
        assert statuses(received) == given

    def test_a_client_that_does_not_read(self, serve_here: Any) -> None:
        server = serve_here(receive_seconds=0.2)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", server.port))
            server.wait_until(lambda state: bool(state.connections))
            question = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 60
            for asked in range(60, 6000, 60):  # the system holds some megabytes of answers
                with contextlib.suppress(ConnectionError):
                    deaf.sendall(question)
                server.wait_until(
                    lambda state, asked=asked: (
                        state.total_requests == asked or not state.connections
                    )
                )
            server.wait_until(lambda state: not state.connections and not state.tasks)


class TestMany:
    @pytest.mark.parametrize(
        "start", [b"", POST, POST + b"Content-Length: 99\r\n\r\nabc", GET + b"\r\n"]
    )
    def test_those_that_wait_give_way(
        self, start: bytes, serve_here: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tenfold.serving.server._MOST_CONNECTIONS", 20)
        server = serve_here()
        waiting = [server.connect() for _ in range(30)]
        for one in waiting:
            one.sendall(start)
        for _ in range(3):
            assert statuses(server.send(GET + LAST + b"\r\n")) == [200]
        for one in waiting:
            one.close()

    def test_all_are_answered(
        self, serve_here: Any, monkeypatch: pytest.MonkeyPatch, hanging: Any, make_png: Any
    ) -> None:
        monkeypatch.setattr("tenfold.serving.server._MOST_CONNECTIONS", 2)
        server = serve_here(hanging)
        content = make_png()
        with server.connect() as one, server.connect() as two:
            for client in (one, two):
                client.sendall(POST + LAST + length(content) + content)
            server.wait_until(lambda state: len(state.tasks) == 2)
            received = server.send(GET + LAST + b"\r\n")
            assert (statuses(received), code(received)) == ([503], "busy")
            hanging.may_run.set()
            assert statuses(server.read(one)) == statuses(server.read(two)) == [200]

    def test_slow_uploads_do_not_keep_others_out(self, serve_here: Any, make_png: Any) -> None:
        server = serve_here(body_mib=1, memory_mib=4)
        content = make_png()
        slow = [server.connect() for _ in range(6)]
        for one in slow:
            one.sendall(POST + b"Content-Length: 1048576\r\n\r\n" + bytes(1_000_000))
        for _ in range(5):
            assert statuses(server.send(POST + LAST + length(content) + content)) == [200]
        for one in slow:
            one.close()
