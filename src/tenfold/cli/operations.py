"""Options of `tenfold serve` that say how the server is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.cli.options import echo
from tenfold.core.errors import SettingsError

if TYPE_CHECKING:
    from tenfold.serving.operations import Operations

TokensOption = Annotated[
    Path | None,
    typer.Option(
        "--tokens",
        metavar="FILE",
        help="Several tokens instead of one, a line each: NAME TOKEN, and a rate if wanted, e.g. "
        "100/minute. The file may change while the server runs.",
    ),
]
AccessLogOption = Annotated[
    str | None,
    typer.Option(
        "--access-log",
        metavar="FILE",
        help="Write one line of JSON a request; - for standard output.",
    ),
]
RootPathOption = Annotated[
    str,
    typer.Option(
        "--root-path",
        metavar="PATH",
        help="What a proxy has before the server's own addresses, e.g. /models/cats.",
    ),
]
TlsCertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-certificate",
        metavar="FILE",
        help="Serve HTTPS: the certificate and its chain, as PEM.",
    ),
]
TlsKeyOption = Annotated[
    Path | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key, as PEM.")
]


def parse_operations(
    token: str | None, tokens: Path | None, access_log: str | None, root_path: str
) -> Operations:
    """Give how a server is run, as the options say; `token` is the one that was given beside.

    Raises
    ------
    SettingsError
        If they cannot be followed.
    """
    from tenfold.serving.access_log import AccessLog
    from tenfold.serving.operations import Operations, parse_root_path
    from tenfold.serving.telemetry import open_spans
    from tenfold.serving.tokens import Tokens

    if token is not None and tokens is not None:
        raise SettingsError(
            "--token (or TENFOLD_TOKEN) and --tokens were both given. Choose one: put the token "
            f"into {tokens} as a line of its own, with a name."
        )
    operations = Operations(
        tokens=None if tokens is None else Tokens.read(tokens),
        root_path=parse_root_path(root_path),
        access_log=None if access_log is None else AccessLog(access_log),
    )
    try:
        operations.spans = open_spans()
    except SettingsError as error:  # the variables are often set for a whole machine
        echo(str(error), err=True)
    return operations
