"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="A source's name (see `tenfold data`) or a path. Default: CIFAR-10 if it is on this "
        "machine, else the bundled digits.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", help="A recipe's name (see `tenfold recipes`) or a TOML file."),
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
UpdateOption = Annotated[
    bool,
    typer.Option("--update", help="Take new settings into an existing run folder."),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Stop at an unreadable image instead of leaving it out.")
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Never download.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print results and errors only.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")]
