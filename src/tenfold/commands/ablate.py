"""``tenfold ablate``: what is each ingredient of a recipe worth?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenfold.commands.options import (
    DataOption,
    DebugOption,
    DeviceOption,
    OfflineOption,
    QuietOption,
    SetOption,
)
from tenfold.commands.output import echo
from tenfold.commands.running import read_data, write_picture


def ablate(  # noqa: PLR0917 -- typer passes them all by name
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name (see `tenfold recipes`) or a TOML file.")
    ] = "fast",
    data: DataOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder. Default: runs/ablation-RECIPE-SOURCE.")
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Trainings with and without each ingredient.")
    ] = 3,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Trainings at a time; they share the cores.")
    ] = 1,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="INGREDIENT", help="Try this one; as often as you like."),
    ] = None,
    device: DeviceOption = "auto",
    assignments: SetOption = None,
    is_offline: OfflineOption = False,
    is_quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Switch one ingredient of a recipe off at a time and say what it is worth.

    A tenth of the training images is held out of all trainings and scored; the test split has no
    part in it. Finished trainings are kept: the same command goes on where it stopped.
    """
    del debug  # read by `main`, which shows the trace
    from functools import partial

    from tenfold.core.files import write_text
    from tenfold.evaluation.mirroring import decide_mirroring
    from tenfold.report.figures.search import draw_ablation
    from tenfold.report.findings.data import mirror_sentence
    from tenfold.report.findings.tuning import ablation_csv, ablation_text
    from tenfold.study.ablation import Ablation, parse_names
    from tenfold.study.recipe import load_recipe
    from tenfold.terminal import TerminalProgress

    settings = load_recipe(recipe, tuple(assignments or ()))
    ingredients = parse_names(settings, only or ())
    progress = TerminalProgress(is_quiet=is_quiet)
    dataset = read_data(data, settings, is_offline=is_offline, progress=progress)
    folder = out or Path("runs") / f"ablation-{settings.recipe.name}-{dataset.source}"
    progress.say(f"Folder: {folder}")
    mirroring = decide_mirroring(
        dataset.train, dataset.classes, settings.data.mirror_keeps_class, seed=settings.seed
    )
    progress.say(mirror_sentence(mirroring.keeps_class, mirroring.record))
    record = Ablation(
        settings=settings,
        train=dataset.train,
        classes=dataset.classes,
        mirror_keeps_class=mirroring.keeps_class,
        ingredients=ingredients,
        seeds=tuple(range(settings.seed, settings.seed + seeds)),
        out=folder,
    ).run(data=dataset.title, device=device, jobs=jobs, progress=progress)
    text = ablation_text(record)
    write_text(folder / "ablation.md", text + "\n")
    write_text(folder / "ablation.csv", ablation_csv(record))
    write_picture(
        folder / "ablation.svg",
        partial(draw_ablation, record),
        name="ablation",
        description="Dots: accuracy lost without each ingredient, with 95% intervals.",
    )
    echo(text)
    echo(f"\nTable, picture and numbers: {folder.resolve()}")
