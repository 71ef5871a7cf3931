"""``tenfold serve``: a finished model behind a page and an API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tenfold.commands.options import DebugOption
from tenfold.commands.output import echo

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(  # noqa: PLR0917 -- typer passes them all by name
    model: Annotated[
        Path,
        typer.Argument(
            help="A model folder, a study's run folder, or a file that `tenfold export` wrote."
        ),
    ],
    host: Annotated[
        str,
        typer.Option("--host", help="Where to listen; 0.0.0.0 for everyone who can reach you."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")
    ] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="TENFOLD_TOKEN",
            show_envvar=True,
            help="What clients must send as `Authorization: Bearer TOKEN`. Better in the "
            "environment than on the command line, which others may see.",
        ),
    ] = None,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            help="A name by which browsers and programs reach the server, e.g. "
            "models.example.org; may be given again. Loopback and what --host names are allowed "
            "already; * allows every name.",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a limit, e.g. body_mib=8."),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Serve a model: a page to drop images on, and an API.

    Stop it with Ctrl-C; requests that were begun are answered first.
    """
    del debug  # read by `main`, which shows the trace
    from tenfold.core.errors import need

    for module in (
        "fastapi",
        "uvicorn",
        "httptools",
        "python_multipart",
        "prometheus_client",
        "onnxruntime",
    ):
        need(module, extra="serve")
    from tenfold.core.settings import parse_assignment
    from tenfold.core.text import printable
    from tenfold.serving.app import create_app
    from tenfold.serving.guard import AllowedHosts, read_token
    from tenfold.serving.model import prepare_model
    from tenfold.serving.server import address_of, open_socket, run_server
    from tenfold.serving.settings import ServingSettings

    changes: dict[str, Any] = dict(parse_assignment(text) for text in assignments or ())
    settings = ServingSettings.parse(changes)
    own_token = read_token(token)
    hosts = AllowedHosts(host, allowed_hosts or ())
    with open_socket(host, port) as listening:
        served = prepare_model(model)
        if served.notice is not None:
            echo(served.notice, err=True)
        app = create_app(
            served.model, settings, token=own_token, hosts=hosts, explainer=served.explainer
        )
        if host not in _LOOPBACK and own_token is None:
            echo(
                "Everyone who can reach this machine can use the model. Set TENFOLD_TOKEN to ask "
                "for a token.",
                err=True,
            )
        title, address = printable(served.model.description.title), address_of(listening)
        run_server(
            app,
            listening,
            settings,
            on_start=lambda: echo(f"Serving {title} at {address} (stop it with Ctrl-C)"),
        )
    echo("Stopped.")
