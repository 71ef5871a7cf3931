"""Options that commands share, and how a command runs a study and prints."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.core.text import escaped

if TYPE_CHECKING:
    from tenfold.study.request import ResolvedRequest, StudyRequest
    from tenfold.study.scaling.place import PlaceRequest

DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="A source's name (see `tenfold data`), a path or an address. Default: CIFAR-10 if it "
        "is on this machine, else the bundled digits.",
    ),
]
PathColumnOption = Annotated[
    str | None,
    typer.Option("--path-column", metavar="NAME", help="A table's column of image files."),
]
LabelColumnOption = Annotated[
    str | None, typer.Option("--label-column", metavar="NAME", help="A table's column of labels.")
]
SplitColumnOption = Annotated[
    str | None, typer.Option("--split-column", metavar="NAME", help="A table's column of splits.")
]
GroupColumnOption = Annotated[
    str | None,
    typer.Option(
        "--group-column",
        metavar="NAME",
        help="A table's column of what stays together: one patient, writer or video.",
    ),
]
GroupByOption = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="RULE",
        help="What stays together in splits and folds: a table's column, folder, path:2 (a part of "
        "the path), name:PATTERN (a pattern with one group, e.g. name:(\\w+)_\\d+), exif:camera, "
        "exif:day, or series. Default: series are looked for; none looks for none.",
    ),
]
OrderByOption = Annotated[
    str | None,
    typer.Option(
        "--order-by",
        metavar="RULE",
        help="Test on the newest images: by a table's column, exif:time or name:PATTERN.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="A recipe's name (see `tenfold recipes`) or a TOML file. Default: what suits the data "
        "that --data names.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="The architecture (see `tenfold models`), in the place of the recipe's. Without "
        "--recipe, a recipe that is made for it is taken if there is one.",
    ),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="The run folder. Default: runs/RECIPE-SOURCE.")
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="The one seed of everything random.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, e.g. training.epochs=3."),
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="Time to train in, e.g. 90s, 10m, 2h: the network's size and its epochs are chosen "
        "for it. With run, train and cross-validate.",
    ),
]
RunsOption = Annotated[
    int,
    typer.Option(
        "--runs",
        min=1,
        help="Train and test so many times, each with another seed, and report mean and spread. "
        "With run, train and evaluate.",
    ),
]
CorrectionsOption = Annotated[
    Path | None,
    typer.Option(
        "--corrections",
        metavar="FILE",
        help="Train and score with labels that you corrected: a run folder's "
        "audit/label_issues.csv with its column action edited. 'none' takes them away.",
    ),
]
RebalanceOption = Annotated[
    str | None,
    typer.Option(
        "--rebalance",
        metavar="NAME",
        help="What to do about classes of different size: none, inverse, effective-number, "
        "over-sample, under-sample, logit-adjust, or auto. With run, tune, train and "
        "cross-validate.",
    ),
]
JobsOption = Annotated[
    int,
    typer.Option("--jobs", min=1, help="Tasks at a time, in processes that share the cores."),
]
OnOption = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="CLUSTER",
        help="Run independent tasks on a Ray cluster: HOST:PORT, or ray for what RAY_ADDRESS says.",
    ),
]
CoresPerTaskOption = Annotated[
    int | None,
    typer.Option(
        "--cores-per-task",
        min=1,
        help="On a cluster. Default: as many as let all tasks, or as many as fit, run at a time.",
    ),
]
GpusPerTaskOption = Annotated[
    int | None,
    typer.Option("--gpus-per-task", min=0, help="On a cluster. Default: 1 if it has some."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Share the training among so many processes, here or with --on on a cluster: the "
        "weights are the same for any number. With run and train.",
    ),
]
UpdateOption = Annotated[
    bool,
    typer.Option("--update", help="Take new settings into an existing run folder."),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Stop at an unreadable image instead of leaving it out.")
]
ThoroughOption = Annotated[
    bool,
    typer.Option(
        "--thorough",
        help="Disturb all test images and compare all pairs that may be duplicates, however long "
        "that takes. With run, evaluate and what needs it.",
    ),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Never download.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print results and errors only.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")]


def run_study(
    request: StudyRequest,
    *,
    device: str,
    is_update: bool,
    is_offline: bool,
    is_quiet: bool,
    place: PlaceRequest | None = None,
) -> ResolvedRequest:
    """Run the stages that were asked for, with a line on standard error for each.

    Parameters
    ----------
    request
        What to run, and with which settings.
    device
        Name of the device.
    is_update
        Whether new settings may replace those of an existing run folder.
    is_offline
        Whether downloads are forbidden.
    is_quiet
        Whether errors alone are said.
    place
        Where independent work runs; None for this process.

    Raises
    ------
    TenfoldError
        Whatever goes wrong, with a message for people.
    """
    from tenfold.cli.terminal import TerminalProgress
    from tenfold.report.findings.data import choice_sentence
    from tenfold.study.scaling.place import PlaceRequest
    from tenfold.study.study import Study

    progress = TerminalProgress(is_quiet=is_quiet)
    started_at = _process_start()
    # Before data are read or recipes tried: a cluster that is not there is said at once.
    with (place or PlaceRequest()).open(device=device, progress=progress) as opened:
        resolved = request.resolve(progress, is_offline=is_offline)
        progress.say(resolved.sentence)
        if resolved.choice is not None:
            progress.say(choice_sentence(resolved.choice))
        progress.say(f"Run folder: {resolved.out}")
        if (
            request.budget
            and not request.stages
            and not resolved.settings.cross_validate.is_enabled
        ):
            progress.say(
                "Cross-validation is left out, as every fold would take the budget again. For it: "
                f"tenfold cross-validate --out {shlex.quote(str(resolved.out))}"
            )
        study = Study(
            resolved.settings,
            resolved.out,
            device=device,
            progress=progress,
            update=is_update,
            is_offline=is_offline,
            corrections=resolved.corrections,
            place=opened,
            choice=resolved.choice,
            # Trying recipes is left out of a time budget, as reading data is.
            started_at=started_at + resolved.choice_seconds,
        )
        for outcome in study.run(*request.stages, runs=request.runs):
            progress.say(outcome.sentence())
    return resolved


def echo(message: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print some lines with every character to be seen; see `core.text.escaped`.

    Parameters
    ----------
    message
        Text of any lines.
    err
        Print to standard error.
    nl
        End the line.
    """
    # Not click's: it writes UTF-8 to a stream that is ASCII.
    stream = sys.stderr if err else sys.stdout
    stream.write(escaped(message, keep="\n\t") + ("\n" if nl else ""))
    stream.flush()


def _process_start() -> float:
    """Give the moment at which this process began, on `time.monotonic`'s clock.

    Libraries are imported before a command runs, which takes seconds from a cold disk. Where the
    system does not tell (outside of Linux), the moment of the call.
    """
    now = time.monotonic()
    try:
        # The 22nd field, counted behind the name, which may hold anything (man proc).
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begun = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return now - max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - begun)
    except (OSError, ValueError, IndexError, AttributeError):
        return now
