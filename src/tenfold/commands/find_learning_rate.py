"""``tenfold find-learning-rate``: which learning rate suits a recipe on these data?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def find_learning_rate(  # noqa: PLR0917 -- typer passes them all by name
    data: Annotated[
        str | None,
        typer.Option("--data", help="A source's name or a path, as for `tenfold run`."),
    ] = None,
    recipe: Annotated[
        str, typer.Option("--recipe", help="A recipe's name (see `tenfold recipes`) or TOML file.")
    ] = "fast",
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
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The one seed of everything random.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the recipe."),
    ] = None,
    is_offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
    is_quiet: Annotated[bool, typer.Option("--quiet", help="Print the result only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Train for some steps with a rising learning rate, and suggest one to train with.

    A table, a picture and the numbers; the network is thrown away. Validation and test images have
    no part in it.
    """
    del debug
    from functools import partial

    from rich.console import Console

    from tenfold import learning_rate_finding
    from tenfold.core.files import write_text
    from tenfold.engine.device import choose_device
    from tenfold.recipe import load_recipe
    from tenfold.reporting.figures.canvas import svg_text
    from tenfold.reporting.figures.rate_sweep import draw_rate_sweep
    from tenfold.reporting.figures.svg import standalone_svg
    from tenfold.reporting.rate_sweep_text import rate_sweep_csv, rate_sweep_text
    from tenfold.sources.finding import find_source
    from tenfold.sources.source import SourceOptions
    from tenfold.terminal import TerminalProgress

    settings = load_recipe(recipe, tuple(assignments or ()), seed=seed)
    progress = TerminalProgress(Console(stderr=True), is_quiet=is_quiet)
    source, path, sentence = find_source(data)
    progress.say(sentence)
    dataset = source.load(
        path,
        SourceOptions(
            seed=settings.seed,
            test_fraction=settings.data.test_fraction,
            image_size_px=settings.data.image_size_px,
            is_strict=settings.data.is_strict,
            is_offline=is_offline,
        ),
        progress,
    )
    record = learning_rate_finding.find_learning_rate(
        settings,
        dataset,
        low=low,
        high=high,
        steps=steps,
        device=choose_device(device),
        progress=progress,
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
    typer.echo(rate_sweep_text(record))
    typer.echo(f"\nPicture and numbers: {folder.resolve()}")
