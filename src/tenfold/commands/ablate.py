"""``tenfold ablate``: what is each ingredient of a recipe worth?"""

from __future__ import annotations

from typing import Annotated

import typer

from tenfold.commands.options import (
    DataOption,
    DebugOption,
    DeviceOption,
    OfflineOption,
    OutOption,
    QuietOption,
    SeedOption,
    SetOption,
)
from tenfold.commands.tune import JobsOption

RecipeArgument = Annotated[
    str | None, typer.Argument(help="A recipe's name or a TOML file.", show_default="fast")
]
SeedsOption = Annotated[
    int, typer.Option("--seeds", min=1, help="Trainings of each variant, with other seeds.")
]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, help="Of every training; no fewer steps are set.")
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NAME", help="Switch off this ingredient alone; repeatable."),
]


def command(  # noqa: PLR0917 -- typer passes them all by name
    recipe: RecipeArgument = None,
    data: DataOption = None,
    out: OutOption = None,
    seeds: SeedsOption = 3,
    epochs: EpochsOption = None,
    only: OnlyOption = None,
    jobs: JobsOption = 1,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    assignments: SetOption = None,
    offline: OfflineOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Switch off one ingredient of a recipe at a time: what does each bring?"""
    del debug  # read by `main`, which shows the trace
    from rich.console import Console

    from tenfold.ablating.ablation import AblationRequest, run_ablation
    from tenfold.reporting.ablation_text import ablation_table
    from tenfold.terminal import TerminalProgress

    progress = TerminalProgress(Console(stderr=True), is_quiet=quiet)
    folder, record = run_ablation(
        AblationRequest(
            recipe=recipe,
            data=data,
            out=out,
            seeds=seeds,
            epochs=epochs,
            only=tuple(only or ()),
            jobs=jobs,
            seed=seed,
            device=device,
            assignments=tuple(assignments or ()),
            is_offline=offline,
        ),
        progress,
    )
    Console().print(ablation_table(record))
    for sentence in record.sentences:
        typer.echo(sentence)
    typer.echo(f"Ablation: {folder.resolve()}")
