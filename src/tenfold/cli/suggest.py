"""The command that says which images to label next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenfold.cli.options import DebugOption, DeviceOption, QuietOption, echo
from tenfold.core.errors import DataError, SettingsError, UnknownNameError
from tenfold.core.text import counted, printable

_EXIT_SOME_UNREADABLE = 1
"""As of predict: every other image was looked at."""


def suggest(  # noqa: PLR0917 -- typer passes them all by name
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model folder, or a study's run folder.")
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER...", help="Unlabelled images: folders, searched at any depth, or files."
        ),
    ],
    count: Annotated[int, typer.Option("--count", min=1, help="Suggest so many images.")] = 100,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", help="Write a table with an empty column to fill labels in."
        ),
    ] = None,
    copy_to: Annotated[
        Path | None,
        typer.Option(
            "--copy-to",
            metavar="FOLDER",
            help="Copy the images into a new folder, numbered, with such a table beside them.",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="badge: unsure and unlike each other, by gradients (arXiv 1906.03671); clusters: "
            "the unsure ones, clustered (arXiv 1901.05954); margin: the unsure ones.",
        ),
    ] = "badge",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn.")] = 0,
    max_megapixels: Annotated[
        float,
        typer.Option(
            "--max-megapixels",
            min=1e-6,
            max=100_000,
            help="Read no image of more million pixels.",
        ),
    ] = 250.0,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Say which unlabelled images to label next: what would teach the model most, first.

    Without --csv and --copy-to their paths are printed, one a line. An image that cannot be read is
    reported and the rest goes on; the exit code is then 1.

    Examples:

      tenfold suggest runs/transfer-photos unlabelled/ --count 200 --copy-to to-label/

      tenfold suggest runs/transfer-photos unlabelled/ --csv to-label.csv

      tenfold run --data to-label/labels.csv
    """
    del debug  # read by `main`, which shows the trace
    if model.suffix == ".onnx" and not model.is_dir():
        raise SettingsError(
            f"{model} is an exported file, which gives no features to tell images apart by. Give "
            "the model folder, or the run folder, that it was exported from."
        )
    from tenfold.classifier import load
    from tenfold.cli.terminal import TerminalProgress
    from tenfold.core.files import write_text
    from tenfold.data.images.formats import DecodingLimits
    from tenfold.serving.prediction import find_images
    from tenfold.serving.suggest import (
        METHODS,
        check_new_folder,
        copy_suggestions,
        suggest_images,
        suggestions_csv,
    )

    if method not in METHODS:
        raise UnknownNameError("method", method, tuple(METHODS))
    if copy_to is not None:
        check_new_folder(copy_to)
    classifier = load(model, device=device)
    found = find_images(images)
    if not found.files and not found.left_out:
        raise DataError(
            f"There is no image in {', '.join(images)}. Give folders that hold some (files that "
            f"are no images by their name: {found.ignored:,})."
        )
    progress = TerminalProgress(is_quiet=quiet)
    suggestions = suggest_images(
        classifier,
        found,
        count,
        method=method,
        seed=seed,
        progress=progress,
        limits=DecodingLimits(pixels=int(max_megapixels * 1e6)),
    )
    for left_out in suggestions.unreadable:
        echo(f"Cannot be read: {printable(left_out.path)}: {left_out.reason}.", err=True)
    classes = classifier.model_record_.classes
    chosen = suggestions.chosen
    if copy_to is not None and chosen:
        copy_suggestions(suggestions, classes, copy_to)
        progress.say(f"{counted(len(chosen), 'image')} to label: {copy_to.resolve()}")
    if csv is not None:
        write_text(csv, suggestions_csv(suggestions, classes))
        progress.say(f"{len(chosen):,} of {suggestions.looked_at:,} images: {csv.resolve()}")
    if csv is None and copy_to is None:
        for one in chosen:
            echo(printable(one.name))
    if suggestions.unreadable:
        raise typer.Exit(_EXIT_SOME_UNREADABLE)
