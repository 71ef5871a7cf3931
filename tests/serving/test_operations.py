"""How a server is run: below a path, with rates, with TLS, and its end."""

from __future__ import annotations

import datetime
import json
import signal
import ssl
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import SettingsError
from tenfold.serving.operations import Operations, TlsFiles, parse_root_path
from tenfold.serving.tokens import Tokens

TOKEN = "s3cret-s3cret-s3cret"
ALLOWED = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def write_certificate(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TlsFiles]:
    """Give a function that makes a certificate for localhost and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def make(password: bytes | None = None) -> TlsFiles:
        folder = tmp_path_factory.mktemp("tls")
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .sign(key, hashes.SHA256())
        )
        encryption = (
            serialization.NoEncryption()
            if password is None
            else serialization.BestAvailableEncryption(password)
        )
        files = TlsFiles(folder / "certificate.pem", folder / "key.pem")
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
            )
        )
        return files

    return make


class TestRates:
    def test_beyond_it_is_told_when_to_come_again(self, tmp_path: Path, client: Any) -> None:
        path = tmp_path / "tokens"
        path.write_text(f"shop {TOKEN} 2/hour\nlab another-s3cret-another\n")
        one = client(operations=Operations(Tokens.read(path)))
        statuses = [one("GET", "/api/model", headers=ALLOWED).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        answer = one("GET", "/v2/models", headers=ALLOWED)
        assert answer.status == 429
        assert 1700 < int(answer.headers["retry-after"]) <= 1800
        assert "2 requests a hour" not in answer.json["error"]
        assert answer.json["error"].startswith("This token may make 2 requests an hour.")
        other = {"authorization": "Bearer another-s3cret-another"}
        assert one("GET", "/api/model", headers=other).status == 200
        assert one("GET", "/health", headers=ALLOWED).status == 200, "it is never counted"
        assert one("GET", "/api/model").status == 401
        assert "Tiny animals" not in one("GET", "/").body.decode(), "the page asks for a token"


class TestRootPath:
    @pytest.mark.parametrize("before", ["", "/models/cats"])
    def test_a_proxy_may_take_it_away_or_not(self, before: str, client: Any, make_png: Any) -> None:
        one = client(operations=Operations(root_path="/models/cats"))
        for path in ("/", "/page.css", "/health", "/api/model", "/v2/models"):
            assert one("GET", before + path).status == 200, path
        assert one("POST", f"{before}/api/predict", make_png()).status == 200
        assert one("GET", f"{before}/models/cats/models/cats/").status == 404
        servers = one("GET", f"{before}/openapi.json").json["servers"]
        assert servers == [{"url": "/models/cats"}]
        counted = one("GET", f"{before}/metrics").body.decode()
        assert 'path="/api/predict",status="200"} 1' in counted

    def test_the_page_without_its_slash(self, client: Any) -> None:
        one = client(operations=Operations(root_path="/models/cats"))
        answer = one("GET", "/models/cats")
        assert (answer.status, answer.headers["location"]) == (308, "/models/cats/")
        assert one("GET", "/models/catsuit").status == 404

    def test_the_token_is_wanted_below_it_too(self, client: Any) -> None:
        one = client(token="secret", operations=Operations(root_path="/m"))
        for path, status in (("/m/api/model", 401), ("/m/metrics", 401), ("/m/health", 200)):
            assert one("GET", path).status == status

    @pytest.mark.parametrize(
        "text", ["cats", "/a b", "/a//b", "/../a", "/a?b", "/api", "/v2/x", "http://a/b", "/é"]
    )
    def test_what_is_no_path(self, text: str) -> None:
        with pytest.raises(SettingsError, match="--root-path"):
            parse_root_path(text)

    def test_slashes_at_the_end_do_not_count(self) -> None:
        assert [parse_root_path(one) for one in ("", "/", "/a/b/")] == ["", "", "/a/b"]


def test_a_draining_server_answers_and_is_not_ready(client: Any, make_png: Any) -> None:
    operations = Operations()
    one = client(operations=operations)
    assert one("GET", "/health/ready").status == 200
    operations.is_draining = True
    for path in ("/health", "/health/ready", "/v2/health/ready"):
        assert one("GET", path).status == 503
    assert one("GET", "/health/live").status == 200
    assert one("POST", "/api/predict", make_png()).status == 200


class TestTlsFiles:
    def test_files_that_cannot_be_used(self, tmp_path: Path, write_certificate: Any) -> None:
        good, other, locked = (write_certificate(one) for one in (None, None, b"password"))
        (tmp_path / "text").write_text("no certificate")
        assert TlsFiles.of(good.certificate, good.key) == good
        assert TlsFiles.of(None, None) is None
        for certificate, key, reason in (
            (good.certificate, None, "--tls-key is missing"),
            (None, good.key, "--tls-certificate is missing"),
            (good.certificate, other.key, "cannot be used"),
            (locked.certificate, locked.key, "password"),
            (tmp_path / "text", good.key, "cannot be used"),
            (tmp_path / "none", good.key, "is no file"),
        ):
            with pytest.raises(SettingsError, match=reason):
                TlsFiles.of(certificate, key)


@pytest.mark.slow  # it starts a process
def test_a_server_with_everything_and_its_end(
    start_server: Any, onnx_file: Path, tmp_path: Path, write_certificate: Any
) -> None:
    files = write_certificate()
    (tmp_path / "tokens").write_text(f"shop {TOKEN}\n")
    server = start_server(
        *(str(onnx_file), "--tls-certificate", str(files.certificate), "--tls-key", str(files.key)),
        *("--tokens", str(tmp_path / "tokens"), "--access-log", str(tmp_path / "log")),
        *("--root-path", "/cats", "--set", "stop_delay_seconds=60"),
    )
    assert " at https://127.0.0.1:" in server.first_line
    context = ssl.create_default_context(cafile=str(files.certificate))
    address = f"https://localhost:{server.port}/cats"
    request = urllib.request.Request(f"{address}/api/model", headers=ALLOWED)
    with urllib.request.urlopen(request, context=context, timeout=20) as answer:
        assert json.load(answer)["title"] == "Tiny animals"
    server.process.send_signal(signal.SIGTERM)
    status = 200
    while status == 200:  # until the signal has arrived
        try:
            urllib.request.urlopen(f"{address}/health", context=context, timeout=20).close()
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
    assert status == 503
    with urllib.request.urlopen(request, context=context, timeout=20) as answer:
        assert answer.status == 200, "it still answers"
    code, out, errors = server.stop(signal.SIGTERM)  # again: it need not wait
    assert (code, out, errors) == (0, "Stopped.\n", "")
    statuses = [json.loads(line)["status"] for line in (tmp_path / "log").read_text().splitlines()]
    assert (statuses[0], statuses[-1], statuses[-2]) == (200, 200, 503)
