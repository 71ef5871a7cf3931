"""The command that mends labels: review."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.cli.options import DebugOption, DeviceOption, OfflineOption, QuietOption, echo
from tenfold.core.errors import DataError, SettingsError, need
from tenfold.core.text import counted, printable

if TYPE_CHECKING:
    from tenfold.data.reviews import Review
    from tenfold.serving.review.study import ReviewedStudy


def review(  # noqa: PLR0917 -- typer passes them all by name
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
    added: Annotated[
        Path | None,
        typer.Option(
            "--add",
            metavar="FILE",
            help="Add the decisions of a corrections file to those of --reviewer, and end.",
        ),
    ] = None,
    is_retraining: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="Train again with what all reviewers came to, in a folder of its own, and compare "
            "both on the same test images.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="That folder. Default: RUN-mended, beside the run folder."),
    ] = None,
    device: DeviceOption = "auto",
    offline: OfflineOption = False,
    quiet: QuietOption = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")
    ] = 8000,
    debug: DebugOption = False,
) -> None:
    """Mend labels in the browser: suspicious ones, near-duplicates, any image.

    Every decision is on the disk at once, in RUN/review. Stop with Ctrl-C and go on whenever you
    like.

    Examples:

      tenfold review runs/fast-digits

      tenfold review runs/fast-digits --reviewer ben

      tenfold review runs/fast-digits --resolve

      tenfold review runs/fast-digits --retrain
    """
    del debug  # read by `main`, which shows the trace
    if sum((is_resolving, added is not None, is_retraining)) > 1:
        raise SettingsError("Give one of --resolve, --add and --retrain at a time.")
    if is_resolving and reviewer is not None:
        raise SettingsError(
            "--resolve decides where reviewers disagree, for all of them. Leave --reviewer out."
        )
    if out is not None and not is_retraining:
        raise SettingsError("--out is the folder of --retrain. Give both, or neither.")
    from tenfold.data.reviews import DEFAULT_REVIEWER, RESOLVED, check_reviewer

    name = RESOLVED if is_resolving else check_reviewer(reviewer or DEFAULT_REVIEWER)
    if added is not None:
        _add(run, name, added)
    elif is_retraining:
        _retrain(run, out, device=device, is_offline=offline, is_quiet=quiet)
    else:
        _serve(run, name, port)


def _serve(run: Path, name: str, port: int) -> None:
    for module in ("fastapi", "uvicorn", "httptools", "prometheus_client"):
        need(module, extra="serve")
    from tenfold.serving.review.app import create_review_app
    from tenfold.serving.review.session import ReviewSession
    from tenfold.serving.review.study import ReviewedStudy
    from tenfold.serving.server import address_of, open_socket, run_server
    from tenfold.serving.settings import ServingSettings

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


def _review_of(run: Path) -> tuple[ReviewedStudy, Review]:
    """Read a study and what was decided about it."""
    from tenfold.data.reviews import REVIEW, Review
    from tenfold.serving.review.study import ReviewedStudy

    study = ReviewedStudy.read(run)
    return study, Review(run / REVIEW, study.source_labels, study.earlier, study.classes)


def _add(run: Path, name: str, path: Path) -> None:
    from tenfold.data.corrections import parse_corrections, read_corrections
    from tenfold.data.reviews import entries_of

    study, review = _review_of(run)
    content = read_corrections(path)
    corrections = parse_corrections(
        content,
        path.name,
        train=study.splits["train"].given.labels,
        test=study.splits["test"].given.labels,
        classes=study.classes,
    )
    entries = list(entries_of(content, path.name, corrections, study.source_labels, study.classes))
    new = review.add(name, entries)
    echo(f"{path} holds {counted(len(entries), 'decision')}, {new:,} of them new to {name}.")
    disagreements = len(review.disagreements())
    if disagreements:
        echo(
            f"Reviewers disagree about {counted(disagreements, 'image')}, which stay as they are "
            f"until it is resolved: tenfold review {shlex.quote(str(run))} --resolve"
        )


def _retrain(run: Path, out: Path | None, *, device: str, is_offline: bool, is_quiet: bool) -> None:
    from tenfold.cli.terminal import TerminalProgress
    from tenfold.report.correction_effect import correction_effect_text
    from tenfold.study.correction_effect import ENDING, correction_effect, mended_study

    _, review = _review_of(run)
    if not review.journals(with_resolved=True):
        raise DataError(
            f"Nothing was decided about the labels of {run} yet. Look at them first: tenfold "
            f"review {shlex.quote(str(run))}"
        )
    progress = TerminalProgress(is_quiet=is_quiet)
    whole = run.absolute()
    place = out or whole.with_name(whole.name + ENDING)
    study = mended_study(
        run,
        review.write_corrections(),
        place,
        device=device,
        progress=progress,
        is_offline=is_offline,
    )
    progress.say(f"Run folder: {place}")
    for outcome in study.run("evaluate"):
        progress.say(outcome.sentence())
    echo(correction_effect_text(correction_effect(run, place)))
    disagreements = len(review.open_disagreements())
    if disagreements:
        echo(
            f"Left as they were: {counted(disagreements, 'image')} about which reviewers disagree."
        )
    echo(f"The rest of that study and its report: tenfold run --out {shlex.quote(str(place))}")
