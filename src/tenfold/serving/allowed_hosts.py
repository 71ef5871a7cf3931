"""The names by which a server answers.

A page of another site that makes its own name point at this machine (DNS rebinding) is, for the
browser, the server's own page, and reads what it likes. Only the request's ``Host`` tells.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

from tenfold.core.errors import SettingsError

ANY = "*"
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_AUTHORITY = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(?::([0-9]{0,5}))?")


class AllowedHosts:
    """Says whether a request is meant for this server.

    ``localhost`` and loopback addresses always are, and so is the address that it is bound to. A
    server bound to all addresses answers to any IP address, which nobody can rebind, and to the
    machine's name. All other names or addresses have to be given, without port; ``*`` stands for
    any. What is no name is a `SettingsError`.
    """

    def __init__(self, bound: str = "127.0.0.1", names: Iterable[str] = ()) -> None:
        self._is_any = False
        self.given: set[str] = set()
        for name in names:
            host = _normal(name)
            if name.strip() == ANY:
                self._is_any = True
            elif host is None:
                raise SettingsError(
                    f"--allowed-host {name!r} is no name of a host. Give the name that clients "
                    "write in the address, without port: models.example.org, 10.0.0.5 or [::1]; "
                    "* allows every name."
                )
            else:
                self.given.add(host)
        self._names = self.given | {"localhost"}
        own = _normal(bound)
        address = _address(own or "")
        self._takes_addresses = own != "localhost" if address is None else address.is_unspecified
        if own is not None:
            self._names.add(own)
        if address is not None and address.is_unspecified:
            self._names.add(socket.gethostname().lower().rstrip("."))

    def allow(self, header: bytes) -> bool:
        """Say whether a ``Host`` header names this server."""
        parts = split_authority(header.decode("latin-1"))
        return parts is not None and self._allows(parts[0])

    def _allows(self, host: str) -> bool:
        if self._is_any or host in self._names:
            return True
        address = _address(host)
        return address is not None and (self._takes_addresses or address.is_loopback)


def split_authority(text: str) -> tuple[str, int | None] | None:
    """Give host, in one spelling, and port of an authority; None if it is none."""
    match = _AUTHORITY.fullmatch(text)
    host = None if match is None else _normal(match[1])
    if match is None or host is None:
        return None
    port = int(match[2]) if match[2] else None
    return None if port is not None and port > 65_535 else (host, port)


def _normal(text: str) -> str | None:
    """Give a name in small letters without a last dot, an address in its shortest spelling."""
    name = text.strip().lower()
    if name.startswith("[") and name.endswith("]"):
        address = _address(name[1:-1].partition("%")[0])
        return None if address is None or address.version == 4 else str(address)
    name = name.removesuffix(".")
    address = _address(name.partition("%")[0])
    if address is not None:
        return str(address)
    # The last label of a name is never a number: 127.1 and 0x7f000001 are spellings of addresses.
    is_name = len(name) < 254 and _NAME.fullmatch(name) and not name.rpartition(".")[2][0].isdigit()
    return name if is_name else None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
