"""``tenfold predict``: what a finished model makes of images."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.commands.options import DebugOption, DeviceOption, QuietOption
from tenfold.commands.output import echo
from tenfold.core.errors import DataError, SettingsError
from tenfold.core.text import printable

if TYPE_CHECKING:
    from tenfold.serving.prediction import PredictionOutput

_MOST_MEGAPIXELS = 100_000

EXIT_SOME_UNREADABLE = 1
"""Every other image was predicted."""


def predict(  # noqa: PLR0917 -- typer passes them all by name
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model folder, or the run folder of a study.")
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Image files, folders (searched at any depth), or - for one image on "
            "standard input.",
        ),
    ],
    top: Annotated[int, typer.Option("--top", min=1, help="Show so many classes.")] = 3,
    is_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON an image.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a table for spreadsheets.")
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain",
            metavar="FOLDER",
            help="Write a page with heat maps and the most similar training images.",
        ),
    ] = None,
    max_megapixels: Annotated[
        float,
        typer.Option("--max-megapixels", help="Read no image of more million pixels."),
    ] = 250.0,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Tell what images show, with calibrated probabilities.

    Images of any size, colour or gray. One that cannot be read is reported and the rest goes on;
    the exit code is then 1.

    Examples:

      tenfold predict runs/fast-digits photo.jpg

      tenfold predict runs/fast-digits photos/ --top 5 --csv photos.csv

      tenfold predict runs/fast-digits photos/ --explain explained/

      curl -s https://example.org/cat.jpg | tenfold predict runs/fast-digits - --json
    """
    del debug  # read by `main`, which shows the trace
    if not 0 < max_megapixels <= _MOST_MEGAPIXELS:
        raise SettingsError(
            f"--max-megapixels is {max_megapixels:g}; it must be above 0, and at most "
            f"{_MOST_MEGAPIXELS:,}."
        )
    if is_json and csv is not None:
        raise SettingsError("--json and --csv were both given. Choose one.")
    from contextlib import ExitStack

    from tenfold.classifier import classifier_of
    from tenfold.data.images.formats import DecodingLimits
    from tenfold.serving.prediction import find_images, predict_files
    from tenfold.terminal import TerminalProgress
    from tenfold.training.model_folder import outdated_notice, read_model_folder

    packaged = read_model_folder(model)
    classifier = classifier_of(packaged, device=device)
    found = find_images(images, sys.stdin.buffer)
    if not found.files and not found.left_out:
        raise DataError(
            f"There is no image in {', '.join(images)}. Give image files, or folders that hold "
            f"some (files that are no images by their name: {found.ignored:,})."
        )
    classes = packaged.record.classes
    # Rows on a terminal show the progress themselves, and a bar between them would be torn.
    shows_bar = csv is not None or not sys.stdout.isatty()
    progress = TerminalProgress(is_quiet=quiet)
    if notice := outdated_notice(model):
        progress.say(notice)
    unreadable = 0
    with ExitStack() as stack:
        output = stack.enter_context(_output(csv, is_json, classes, top))
        page = None
        if explain is not None:
            from tenfold.serving.explanation import Explainer, ExplanationPage

            explainer = Explainer.of(classifier, packaged)
            page = stack.enter_context(ExplanationPage.in_folder(explain, packaged.record, top))
        limits = DecodingLimits(pixels=int(max_megapixels * 1e6))
        bar = progress if shows_bar else None
        for result in predict_files(classifier, found, bar, limits=limits):
            output.add(result)
            if result.probabilities is None:
                unreadable += 1
                if csv is not None or not is_json:
                    name = printable(result.name)
                    echo(f"Cannot be read: {name}: {result.reason}.", err=True)
            elif page is not None:
                page.add(result, explainer)
    if csv is not None:
        progress.say(f"{len(found.files):,} images: {csv.resolve()}")
    if explain is not None:
        progress.say(f"Explanations: {(explain / 'index.html').resolve()}")
    if unreadable:
        raise typer.Exit(EXIT_SOME_UNREADABLE)


@contextmanager
def _output(
    csv: Path | None, is_json: bool, classes: tuple[str, ...], top: int
) -> Iterator[PredictionOutput]:
    from tenfold.serving.prediction import CsvOutput, JsonOutput, TableOutput

    if csv is not None:
        with CsvOutput.to_file(csv, classes, top) as output:
            yield output
    elif is_json:
        yield JsonOutput(classes, top, echo)
    else:
        yield TableOutput(classes, top, echo)
