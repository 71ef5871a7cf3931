"""``tenfold tune``: search settings, of one model or over several."""

from __future__ import annotations

from typing import Annotated

import typer

from tenfold.commands.options import (
    CorrectionsOption,
    DataOption,
    DebugOption,
    DeviceOption,
    OfflineOption,
    OutOption,
    QuietOption,
    RebalanceOption,
    RecipeOption,
    SeedOption,
    SetOption,
    StrictOption,
    UpdateOption,
)
from tenfold.commands.output import echo
from tenfold.commands.running import run_study

ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="A model to search; several times to choose among several. Default: the recipe's.",
    ),
]
TrialsOption = Annotated[
    int | None, typer.Option("--trials", min=1, help="Sets of values to try, at most.")
]
TimeOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="Begin no trial after this time, e.g. 10m. Without --trials as many as it allows.",
    ),
]
JobsOption = Annotated[
    int,
    typer.Option("--jobs", min=1, help="Processes; each has its share of the cores."),
]
SamplerOption = Annotated[
    str | None, typer.Option("--sampler", help="random, or tpe, which learns from the trials.")
]
PrunerOption = Annotated[
    str | None,
    typer.Option("--pruner", help="Stops bad trials early: none, median, halving or hyperband."),
]


def tune(  # noqa: PLR0917 -- typer passes them all by name
    data: DataOption = None,
    recipe: RecipeOption = None,
    out: OutOption = None,
    model: ModelsOption = None,
    trials: TrialsOption = None,
    budget: TimeOption = None,
    jobs: JobsOption = 1,
    sampler: SamplerOption = None,
    pruner: PrunerOption = None,
    seed: SeedOption = None,
    corrections: CorrectionsOption = None,
    rebalance: RebalanceOption = None,
    device: DeviceOption = "auto",
    assignments: SetOption = None,
    update: UpdateOption = False,
    strict: StrictOption = False,
    offline: OfflineOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Search the settings."""
    del debug  # read by `main`, which shows the trace
    from tenfold.core.records.tuning import TuneRecord
    from tenfold.report.formats import command_options
    from tenfold.study.request import StudyRequest

    models = tuple(dict.fromkeys(model or ()))
    named = {"tune.sampler": sampler, "tune.pruner": pruner}
    chosen = [f"{name}={value}" for name, value in named.items() if value is not None]
    request = StudyRequest(
        data=data,
        recipe=recipe,
        out=out,
        seed=seed,
        assignments=(*(assignments or ()), *chosen),
        is_strict=strict,
        budget=budget,
        stages=("tune",),
        corrections=corrections,
        rebalance=rebalance,
        model=models[0] if len(models) == 1 else None,
        models=models if len(models) > 1 else (),
        trials=trials,
    )
    study = run_study(
        request,
        device=device,
        is_update=update,
        is_offline=offline,
        is_quiet=quiet,
        jobs=jobs,
    )
    record = TuneRecord.read(study.out / "tune" / "record.json")
    if record.skipped is None:
        echo(f"Best settings: {command_options(record.best_assignments)}")
