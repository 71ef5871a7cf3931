"""The command that mends labels: review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenfold.cli.options import DebugOption, echo
from tenfold.core.errors import need
from tenfold.core.text import printable


def review(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a study.")],
    reviewer: Annotated[
        str | None,
        typer.Option(
            "--reviewer",
            metavar="NAME",
            help="Whose decisions these are. A second person looks without seeing the first one's.",
        ),
    ] = None,
    is_resolving: Annotated[
        bool, typer.Option("--resolve", help="Decide where reviewers disagree.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")
    ] = 8000,
    debug: DebugOption = False,
) -> None:
    """Mend labels in the browser: suspicious ones, near-duplicates, any image.

    Every decision is on the disk at once, in RUN/review. Stop with Ctrl-C and go on whenever you
    like.
    """
    del debug  # read by `main`, which shows the trace
    for module in ("fastapi", "uvicorn", "httptools", "prometheus_client"):
        need(module, extra="serve")
    from tenfold.data.decisions import DEFAULT_REVIEWER, RESOLVED, check_reviewer
    from tenfold.serving.review.app import create_review_app
    from tenfold.serving.review.session import ReviewSession
    from tenfold.serving.review.study import ReviewedStudy
    from tenfold.serving.server import address_of, open_socket, run_server
    from tenfold.serving.settings import ServingSettings

    name = RESOLVED if is_resolving else check_reviewer(reviewer or DEFAULT_REVIEWER)
    session = ReviewSession(ReviewedStudy.read(run), name)
    with open_socket("127.0.0.1", port) as listening:
        app = create_review_app(session)
        title, address = printable(session.study.acquired.title), address_of(listening)
        run_server(
            app,
            listening,
            ServingSettings(),
            on_start=lambda: echo(f"Reviewing {title} at {address} (stop it with Ctrl-C)"),
        )
    echo(f"Stopped. Your decisions: {session.review.folder}")
