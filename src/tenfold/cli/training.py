"""The commands that train beside a study: tune, ablate, find-learning-rate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.cli.options import (
    CoresPerTaskOption,
    CorrectionsOption,
    DataOption,
    DebugOption,
    DeviceOption,
    GpusPerTaskOption,
    JobsOption,
    OfflineOption,
    OnOption,
    OutOption,
    QuietOption,
    RebalanceOption,
    RecipeOption,
    SeedOption,
    SetOption,
    StrictOption,
    UpdateOption,
    echo,
    run_study,
)

if TYPE_CHECKING:
    from tenfold.core.progress import Progress
    from tenfold.data.dataset import ImageDataset
    from tenfold.report.figures.canvas import Draw
    from tenfold.study.recipe import StudySettings


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
    on: OnOption = None,
    cores_per_task: CoresPerTaskOption = None,
    gpus_per_task: GpusPerTaskOption = None,
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
    from tenfold.study.scaling.place import PlaceRequest

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
        place=PlaceRequest(on, jobs, cores_per_task, gpus_per_task),
    )
    record = TuneRecord.read(study.out / "tune" / "record.json")
    if record.skipped is None:
        echo(f"Best settings: {command_options(record.best_assignments)}")


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
    jobs: JobsOption = 1,
    on: OnOption = None,
    cores_per_task: CoresPerTaskOption = None,
    gpus_per_task: GpusPerTaskOption = None,
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

    from tenfold.cli.terminal import TerminalProgress
    from tenfold.core.files import write_text
    from tenfold.report.figures.search import draw_ablation
    from tenfold.report.findings.tuning import ablation_csv, ablation_text
    from tenfold.study.ablation import Ablation, parse_names
    from tenfold.study.recipe import load_recipe
    from tenfold.study.scaling.place import PlaceRequest

    settings = load_recipe(recipe, tuple(assignments or ()))
    ingredients = parse_names(settings, only or ())
    progress = TerminalProgress(is_quiet=is_quiet)
    request = PlaceRequest(on, jobs, cores_per_task, gpus_per_task)
    with request.open(device=device, progress=progress) as place:
        dataset = _read_data(data, settings, is_offline=is_offline, progress=progress)
        folder = out or Path("runs") / f"ablation-{settings.recipe.name}-{dataset.source}"
        progress.say(f"Folder: {folder}")
        ablation = Ablation(
            settings=settings,
            train=dataset.train,
            classes=dataset.classes,
            mirror_keeps_class=_decide_mirroring(dataset, settings, progress),
            ingredients=ingredients,
            seeds=tuple(range(settings.seed, settings.seed + seeds)),
            out=folder,
        )
        record = ablation.run(data=dataset.title, device=device, progress=progress, place=place)
    text = ablation_text(record)
    write_text(folder / "ablation.md", text + "\n")
    write_text(folder / "ablation.csv", ablation_csv(record))
    _write_picture(
        folder / "ablation.svg",
        partial(draw_ablation, record),
        name="ablation",
        description="Dots: accuracy lost without each ingredient, with 95% intervals.",
    )
    echo(text)
    echo(f"\nTable, picture and numbers: {folder.resolve()}")


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

    from tenfold.cli.terminal import TerminalProgress
    from tenfold.core.files import write_text
    from tenfold.core.settings import DEFAULT_RECIPE
    from tenfold.report.figures.search import draw_rate_sweep
    from tenfold.report.findings.tuning import rate_sweep_csv, rate_sweep_text
    from tenfold.study.learning_rate import find_learning_rate as find_rate
    from tenfold.study.recipe import load_recipe
    from tenfold.training.device import choose_device
    from tenfold.training.loop import Trainer

    settings = load_recipe(recipe or DEFAULT_RECIPE, tuple(assignments or ()), seed=seed)
    progress = TerminalProgress(is_quiet=is_quiet)
    dataset = _read_data(data, settings, is_offline=is_offline, progress=progress)
    mirror_keeps_class = _decide_mirroring(dataset, settings, progress)
    trainer = Trainer(
        settings.training,
        settings.seed,
        choose_device(device),
        mirror_keeps_class=mirror_keeps_class,
        classes=dataset.classes,
        progress=progress,
    )
    train = dataset.train
    plan = settings.network_plan(train.images.shape[1:], len(dataset.classes))
    record = find_rate(trainer, plan, train, data=dataset.title, low=low, high=high, steps=steps)
    folder = out or Path("runs") / f"learning-rate-{settings.recipe.name}-{dataset.source}"
    write_text(folder / "learning_rate.csv", rate_sweep_csv(record))
    _write_picture(
        folder / "learning_rate.svg",
        partial(draw_rate_sweep, record),
        name="learning-rate",
        description=f"Loss over a rising learning rate: lowest at {record.lowest_rate:.2g}, "
        f"falling fastest at {record.steepest_rate:.2g}.",
    )
    echo(rate_sweep_text(record))
    echo(f"\nPicture and numbers: {folder.resolve()}")


def _read_data(
    data: str | None, settings: StudySettings, *, is_offline: bool, progress: Progress
) -> ImageDataset:
    """Find a data set as ``--data`` names it, say which it is, and read it as the settings ask."""
    from tenfold.data.sources.finding import find_source

    source, path, sentence = find_source(data, progress, is_offline=is_offline)
    progress.say(sentence)
    return source.load(path, settings.source_options(is_offline=is_offline), progress)


def _decide_mirroring(dataset: ImageDataset, settings: StudySettings, progress: Progress) -> bool:
    """Say whether training mirrors images, and why."""
    from tenfold.evaluation.mirroring import decide_mirroring
    from tenfold.report.findings.data import mirror_sentence

    mirroring = decide_mirroring(
        dataset.train, dataset.classes, settings.data.mirror_keeps_class, seed=settings.seed
    )
    progress.say(mirror_sentence(mirroring.keeps_class, mirroring.record))
    return mirroring.keeps_class


def _write_picture(path: Path, draw: Draw, *, name: str, description: str) -> None:
    """Write a figure as an SVG file of its own."""
    from tenfold.core.files import write_text
    from tenfold.report.figures.canvas import standalone_svg, svg_text

    write_text(path, standalone_svg(svg_text(draw), name=name, description=description))
