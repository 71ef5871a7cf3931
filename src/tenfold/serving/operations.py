"""What whoever runs a server gives it beside a model: tokens, a log, a place below others."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tenfold.core.errors import SettingsError
from tenfold.serving.access_log import AccessLog
from tenfold.serving.tokens import Tokens

if TYPE_CHECKING:  # it imports OpenTelemetry
    from tenfold.serving.spans import Spans

_OWN = frozenset({"api", "health", "metrics", "v2"})
"""How the server's own addresses begin; below one of these nobody could tell which is meant."""
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


@dataclass
class Operations:
    """How one server is run."""

    tokens: Tokens | None = None
    """None where clients need to show none."""
    access_log: AccessLog | None = None
    spans: Spans | None = None
    """None where no traces are exported."""
    root_path: str = ""
    """Below which a proxy has the server's addresses, ``/models/cats``; see `parse_root_path`."""
    is_draining: bool = False
    """Whether the server is about to stop: it answers, and says that it is not ready."""

    def close(self) -> None:
        """Write what the log still has, and export the last spans."""
        if self.access_log is not None:
            self.access_log.close()
        if self.spans is not None:
            self.spans.close()


def parse_root_path(text: str) -> str:
    """Give a path that addresses lie below, without a last slash; empty for none.

    Raises
    ------
    SettingsError
        If it is none.
    """
    path = text.strip().rstrip("/")
    parts = path.split("/")[1:]
    if path and (not _ROOT_PATH.fullmatch(path) or {".", ".."} & set(parts) or parts[0] in _OWN):
        raise SettingsError(
            f"--root-path {text!r} is no path. Write what the proxy has before the server's own "
            "addresses, with letters, digits, dots, hyphens and underscores: /models/cats. "
            f"It cannot begin as they do: {', '.join(sorted(_OWN))}."
        )
    return path


@dataclass(frozen=True)
class TlsFiles:
    """A certificate with its chain, and its private key, as PEM files."""

    certificate: Path
    key: Path

    @classmethod
    def of(cls, certificate: Path | None, key: Path | None) -> TlsFiles | None:
        """Give the files that are meant, tried out; None where no TLS is wanted.

        Raises
        ------
        SettingsError
            If only one is given, or they cannot be used together.
        """
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            missing = "--tls-key" if key is None else "--tls-certificate"
            raise SettingsError(
                f"{missing} is missing: TLS needs the certificate's file (with its chain) and the "
                "key's. Give both, or neither for plain HTTP."
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for path in (certificate, key):
            if not path.is_file():
                raise SettingsError(f"{path} is no file. TLS needs PEM files.")
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise SettingsError(
                f"{certificate} and {key} cannot be used for TLS ({_reason(error)}). Both have to "
                "be PEM files, the key without a password and of the first certificate in its file."
            ) from None
        return cls(certificate, key)


def _no_password() -> bytes:
    raise ValueError("the key has a password")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
