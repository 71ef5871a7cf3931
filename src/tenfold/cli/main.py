"""The command line: parse, call, print. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tenfold.cli.cache import cache
from tenfold.cli.exporting import export
from tenfold.cli.options import (
    BudgetOption,
    CoresPerTaskOption,
    CorrectionsOption,
    DataOption,
    DebugOption,
    DeviceOption,
    GpusPerTaskOption,
    GroupByOption,
    GroupColumnOption,
    JobsOption,
    LabelColumnOption,
    ModelOption,
    OfflineOption,
    OnOption,
    OrderByOption,
    OutOption,
    PathColumnOption,
    QuietOption,
    RebalanceOption,
    RecipeOption,
    RunsOption,
    SeedOption,
    SetOption,
    SplitColumnOption,
    StrictOption,
    ThoroughOption,
    UpdateOption,
    WorkersOption,
    echo,
    run_study,
)
from tenfold.cli.review import review
from tenfold.cli.suggest import suggest
from tenfold.cli.tracking import log
from tenfold.cli.training import ablate, find_learning_rate, tune
from tenfold.cli.using import models, predict, serve
from tenfold.core.errors import ClusterLostError, StorageError, TenfoldError
from tenfold.core.files import storage_errors
from tenfold.core.stages import stage_help
from tenfold.core.text import make_tolerant

_EXIT_ERROR = 2
_EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells do


class _Commands(TyperGroup):
    """All commands. Ctrl-C in any of them says how to go on; typer alone would say nothing."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say_stopped()
            raise typer.Exit(_EXIT_INTERRUPTED) from None


app = typer.Typer(
    name="tenfold",
    cls=_Commands,
    help="From labelled images to a classifier and the report that proves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich for the help alone would double its time
)


def _study_command(*stages: str) -> Any:
    """Make a command that runs some stages; none for all."""

    def command(  # noqa: PLR0917 -- typer passes them all by name
        data: DataOption = None,
        recipe: RecipeOption = None,
        model: ModelOption = None,
        out: OutOption = None,
        seed: SeedOption = None,
        budget: BudgetOption = None,
        runs: RunsOption = 1,
        rebalance: RebalanceOption = None,
        corrections: CorrectionsOption = None,
        path_column: PathColumnOption = None,
        label_column: LabelColumnOption = None,
        split_column: SplitColumnOption = None,
        group_column: GroupColumnOption = None,
        group_by: GroupByOption = None,
        order_by: OrderByOption = None,
        device: DeviceOption = "auto",
        assignments: SetOption = None,
        jobs: JobsOption = 1,
        on: OnOption = None,
        cores_per_task: CoresPerTaskOption = None,
        gpus_per_task: GpusPerTaskOption = None,
        workers: WorkersOption = None,
        update: UpdateOption = False,
        strict: StrictOption = False,
        thorough: ThoroughOption = False,
        offline: OfflineOption = False,
        quiet: QuietOption = False,
        debug: DebugOption = False,
    ) -> None:
        del debug  # read by `main`, which shows the trace
        from tenfold.report.findings.reliability import repeats_text
        from tenfold.study.repeats import read_repeats
        from tenfold.study.request import StudyRequest
        from tenfold.study.scaling.place import PlaceRequest
        from tenfold.study.scaling.torchrun import Launch

        if stages in {(), ("train",)} and (launch := Launch.found()) is not None:
            workers = launch.size if workers is None else workers
            launch.check(workers)
            if launch.rank:
                launch.serve(device)
                return
        columns = {
            "path": path_column,
            "label": label_column,
            "split": split_column,
            "group": group_column,
        }
        request = StudyRequest(
            data=data,
            recipe=recipe,
            model=model,
            out=out,
            seed=seed,
            assignments=tuple(assignments or ()),
            is_strict=strict,
            is_thorough=thorough,
            budget=budget,
            stages=stages,
            runs=runs,
            corrections=corrections,
            rebalance=rebalance,
            workers=workers,
            columns={kind: name for kind, name in columns.items() if name is not None},
            group_by=group_by,
            order_by=order_by,
        )
        study = run_study(
            request,
            device=device,
            is_update=update,
            is_offline=offline,
            is_quiet=quiet,
            place=PlaceRequest(on, jobs, cores_per_task, gpus_per_task, workers),
        )
        if runs > 1:
            echo(repeats_text(read_repeats(study.out)))
        page = study.out / "report" / "report.html"
        if page.is_file() and (not stages or "report" in stages):
            echo(f"Report: {page.resolve()}")

    return command


app.command("run", help="Run a whole study: every stage, ending in the report.")(_study_command())
# A stage that needs earlier ones runs them first.
for _stage, _help in stage_help().items():
    app.command(_stage, help=_help)(tune if _stage == "tune" else _study_command(_stage))


@app.command("recipes")
def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe's text.")] = None,
) -> None:
    """List the recipes, or show one."""
    from tenfold.core.settings import recipe_names, recipe_text
    from tenfold.study.recipe import load_recipe

    if name is not None:
        echo(recipe_text(name), nl=False)
        return
    for recipe in recipe_names():
        echo(f"{recipe:10} {load_recipe(recipe).recipe.description}")


app.command("models")(models)


@app.command("data")
def data() -> None:
    """List the data sources and what is on this machine."""
    from tenfold.data.sources.source import SOURCES

    for name in SOURCES:
        source = SOURCES[name]
        echo(f"{name:10} {source.summary}")
        echo(f"{'':10} on this machine: {source.available() or 'no'}")


app.command("cache")(cache)


@app.command("compare")
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of evaluated studies.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a page (.html) or a picture (.svg).")
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Compare studies on the same test images: which is better, or is it chance?"""
    del debug
    from tenfold.report.comparison import comparison_text, write_comparison
    from tenfold.study.comparison import check_ending, compare_runs

    if out is not None:
        check_ending(out)
    comparison = compare_runs(runs)
    echo(comparison_text(comparison))
    if out is not None:
        write_comparison(comparison, out)
        echo(f"Comparison: {out.resolve()}")


app.command("ablate")(ablate)
app.command("export")(export)
app.command("log")(log)
app.command("serve")(serve)
app.command("predict")(predict)
app.command("review")(review)
app.command("suggest")(suggest)
app.command("find-learning-rate")(find_learning_rate)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from tenfold import __version__

        echo(f"tenfold {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """From labelled images to a classifier and the report that proves it."""


def _asked() -> str:
    return shlex.join(["tenfold", *sys.argv[1:]])


def _say_stopped() -> None:
    echo(f"\nStopped. What is complete is kept; to go on, run again: {_asked()}", err=True)


def _open_closed_streams() -> None:
    """Give a stream that the caller closed (``<&-``, some services) an end that takes anything.

    Python has None in its place, and the next file that is opened would take its number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def main() -> None:
    """Run the command line; errors made on purpose are one message and exit code 2."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        make_tolerant(stream)
    try:
        with storage_errors(Path.cwd(), only_known=True):
            app(prog_name="tenfold")
    except KeyboardInterrupt:  # before or after the command itself
        _say_stopped()
        sys.exit(_EXIT_INTERRUPTED)
    except TenfoldError as error:
        if "--debug" in sys.argv:
            echo(traceback.format_exc(), err=True, nl=False)
        else:
            echo(f"Error: {error}", err=True)
        if isinstance(error, StorageError | ClusterLostError):
            echo(f"To go on afterwards, run again: {_asked()}", err=True)
        if isinstance(error, ClusterLostError):
            # Ray's threads, which still wait for it, would crash the end of the interpreter.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(_EXIT_ERROR)
        sys.exit(_EXIT_ERROR)
