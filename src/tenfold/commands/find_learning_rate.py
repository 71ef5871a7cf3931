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

    from rich.console import Console

    from tenfold import learning_rate_finding
    from tenfold.core.files import write_text
    from tenfold.engine.device import choose_device
    from tenfold.engine.training import Trainer
    from tenfold.mirroring.decision import decide_mirroring
    from tenfold.recipe import DEFAULT_RECIPE, load_recipe
    from tenfold.reporting.figures.canvas import svg_text
    from tenfold.reporting.figures.rate_sweep import draw_rate_sweep
    from tenfold.reporting.figures.svg import standalone_svg
    from tenfold.reporting.interpretation_data import mirror_sentence
    from tenfold.reporting.rate_sweep_text import rate_sweep_csv, rate_sweep_text
    from tenfold.sources.finding import find_source
    from tenfold.terminal import TerminalProgress

    settings = load_recipe(recipe or DEFAULT_RECIPE, tuple(assignments or ()), seed=seed)
    progress = TerminalProgress(Console(stderr=True), is_quiet=is_quiet)
    source, path, sentence = find_source(data)
    progress.say(sentence)
    dataset = source.load(path, settings.source_options(is_offline=is_offline), progress)
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
    record = learning_rate_finding.find_learning_rate(
        trainer, plan, train, data=dataset.title, low=low, high=high, steps=steps
    )
    folder = out or Path("runs") / f"learning-rate-{settings.recipe.name}-{source.name}"
    picture = svg_text(partial(draw_rate_sweep, record))
    description = (
        f"Loss over a rising learning rate: lowest at {record.lowest_rate:.2g}, falling fastest at "
        f"{record.steepest_rate:.2g}."
    )
    write_text(folder / "learning_rate.csv", rate_sweep_csv(record))
    write_text(
        folder / "learning_rate.svg",
        standalone_svg(picture, name="learning-rate", description=description),
    )
    echo(rate_sweep_text(record))
    echo(f"\nPicture and numbers: {folder.resolve()}")
