"""``tenfold find-learning-rate``: which learning rate suits a recipe on these data?"""

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
    RecipeOption,
    SeedOption,
    SetOption,
)
from tenfold.commands.output import echo
from tenfold.commands.running import read_data, write_picture


def find_learning_rate(  # noqa: PLR0917 -- typer passes them all by name
    data: DataOption = None,
    recipe: RecipeOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder. Default: runs/learning-rate-RECIPE-SOURCE."),
    ] = None,
    low: Annotated[
        float | None, typer.Option("--low", help="First rate. Default: the training's / 1,000.")
    ] = None,
    high: Annotated[
        float | None, typer.Option("--high", help="Last rate. Default: the training's × 100.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Rates to try, one a step.")] = 150,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    assignments: SetOption = None,
    is_offline: OfflineOption = False,
    is_quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Train for some steps with a rising learning rate, and suggest one to train with.

    A table, a picture and the numbers; the network is thrown away. Validation and test images have
    no part in it.
    """
    del debug  # read by `main`, which shows the trace
    from functools import partial

    from tenfold.core.files import write_text
    from tenfold.core.settings import DEFAULT_RECIPE
    from tenfold.evaluation.mirroring import decide_mirroring
    from tenfold.report.figures.curves import draw_rate_sweep
    from tenfold.report.findings.data import mirror_sentence
    from tenfold.report.findings.tuning import rate_sweep_csv, rate_sweep_text
    from tenfold.study.learning_rate import find_learning_rate as find_rate
    from tenfold.study.recipe import load_recipe
    from tenfold.terminal import TerminalProgress
    from tenfold.training.device import choose_device
    from tenfold.training.loop import Trainer

    settings = load_recipe(recipe or DEFAULT_RECIPE, tuple(assignments or ()), seed=seed)
    progress = TerminalProgress(is_quiet=is_quiet)
    dataset = read_data(data, settings, is_offline=is_offline, progress=progress)
    train, classes = dataset.train, dataset.classes
    mirroring = decide_mirroring(
        train, classes, settings.data.mirror_keeps_class, seed=settings.seed
    )
    progress.say(mirror_sentence(mirroring.keeps_class, mirroring.record))
    trainer = Trainer(
        settings.training,
        settings.seed,
        choose_device(device),
        mirror_keeps_class=mirroring.keeps_class,
        classes=classes,
        progress=progress,
    )
    plan = settings.network_plan(train.images.shape[1:], len(classes))
    record = find_rate(trainer, plan, train, data=dataset.title, low=low, high=high, steps=steps)
    folder = out or Path("runs") / f"learning-rate-{settings.recipe.name}-{dataset.source}"
    write_text(folder / "learning_rate.csv", rate_sweep_csv(record))
    write_picture(
        folder / "learning_rate.svg",
        partial(draw_rate_sweep, record),
        name="learning-rate",
        description=f"Loss over a rising learning rate: lowest at {record.lowest_rate:.2g}, "
        f"falling fastest at {record.steepest_rate:.2g}.",
    )
    echo(rate_sweep_text(record))
    echo(f"\nPicture and numbers: {folder.resolve()}")
