"""The command that logs a study to where others keep their experiments."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from tenfold.cli.options import DebugOption, echo
from tenfold.core.errors import SettingsError
from tenfold.core.text import shortlist


def log(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A study's run folder.")],
    mlflow: Annotated[
        str | None,
        typer.Option(
            "--mlflow",
            metavar="URI",
            help="MLflow's tracking server or database: http://127.0.0.1:5000, sqlite:///mlflow.db",
        ),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(
            "--experiment",
            metavar="NAME",
            envvar="MLFLOW_EXPERIMENT_NAME",
            help="MLflow's experiment. Default: the data set's title.",
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            "--tensorboard",
            metavar="FOLDER",
            help="Write event files for TensorBoard to a folder of the study's own below this one.",
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Log a study to MLflow or TensorBoard: settings, curves, scores, figures and the model.

    The same command adds what is new; nothing is logged twice.
    """
    del debug  # read by `main`, which shows the trace
    if mlflow is None and tensorboard is None:
        raise SettingsError(
            f"Say where to log to: tenfold log {shlex.quote(str(run))} --mlflow URI for MLflow, "
            "--tensorboard FOLDER for TensorBoard, or both."
        )
    from tenfold.serving.tracking.facts import study_facts

    facts = study_facts(run)
    if tensorboard is not None:
        from tenfold.serving.tracking.tensorboard_log import log_to_tensorboard, tensorboard_text

        echo(tensorboard_text(log_to_tensorboard(facts, tensorboard), tensorboard))
    if mlflow is not None:
        from tenfold.serving.tracking.mlflow_log import log_to_mlflow, mlflow_text

        name = experiment or facts.tags["data.title"]
        echo(mlflow_text(log_to_mlflow(facts, mlflow, name), facts))
    if facts.missing:
        echo(
            f"Not there yet: {shortlist(facts.missing)}. Make it, and log again: "
            f"tenfold run --out {shlex.quote(str(run))}"
        )
