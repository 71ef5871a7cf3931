"""The commands that use a finished model: models, predict, serve."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenfold.cli.operations import (
    AccessLogOption,
    RootPathOption,
    TlsCertificateOption,
    TlsKeyOption,
    TokensOption,
    parse_operations,
)
from tenfold.cli.options import (
    CoresPerTaskOption,
    DebugOption,
    DeviceOption,
    GpusPerTaskOption,
    JobsOption,
    OnOption,
    QuietOption,
    echo,
)
from tenfold.core.errors import DataError, SettingsError, need
from tenfold.core.text import printable

if TYPE_CHECKING:
    from tenfold.serving.prediction import Predicted
    from tenfold.serving.prediction_outputs import PredictionOutput


def models(  # noqa: PLR0917 -- typer passes them all by name
    name: Annotated[str | None, typer.Argument(help="Show this model's layers.")] = None,
    image_size: Annotated[
        str,
        typer.Option(
            "--image-size", metavar="HxWxC", help="Height, width and channels of the images."
        ),
    ] = "32x32x3",
    classes: Annotated[int, typer.Option("--classes", min=2, help="Number of classes.")] = 10,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, e.g. model.depth=56."),
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: DebugOption = False,
) -> None:
    """List the models, or show one: its settings, layers, parameters, multiply-adds."""
    del debug  # read by `main`, which shows the trace
    if name is None:
        _list_models(is_json)
        return
    image_shape = parse_image_size(image_size)
    settings = _model_settings(name, assignments or [])
    from tenfold.cli.terminal import show_model
    from tenfold.models.summary import summarize_model

    summary = summarize_model(name, settings, image_shape=image_shape, class_count=classes)
    if is_json:
        echo(summary.model_dump_json(indent=2))
    else:
        show_model(summary)


_IMAGE_SIZE = re.compile(r"(\d{1,5})(?:[x×](\d{1,5}))?(?:[x×](\d{1,5}))?", re.ASCII)
_MOST_PX = 4096


def parse_image_size(text: str) -> tuple[int, int, int]:
    """Give height, width and channels of ``32x32x3``, ``32x32`` (three channels) or ``32``.

    Raises
    ------
    SettingsError
        If it is none of these, or a number is out of range.
    """
    match = _IMAGE_SIZE.fullmatch(text.strip().lower())
    if match is not None:
        height = int(match.group(1))
        width, channels = int(match.group(2) or height), int(match.group(3) or 3)
        if 1 <= min(height, width) <= max(height, width) <= _MOST_PX and 1 <= channels <= 4:
            return height, width, channels
    raise SettingsError(
        f"{text!r} is not an image size. Write HEIGHTxWIDTHxCHANNELS, for example 32x32x3 (up to "
        f"{_MOST_PX} pixels, 1 to 4 channels)."
    )


def _model_settings(name: str, assignments: list[str]) -> dict[str, Any]:
    from tenfold.core.settings import parse_assignment, with_values
    from tenfold.models.model import MODELS

    changes = dict(parse_assignment(text) for text in assignments)
    for setting in changes:
        if not setting.startswith("model.") or setting == "model.name":
            raise SettingsError(
                f"--set {setting} does not name a setting of a model. Write model.SETTING=value, "
                "for example model.width=2; the argument says which model: tenfold models NAME."
            )
    # Assignments may name a place in a list, so they change the defaults.
    defaults = {"model": MODELS[name].settings_type().plain()}
    settings: dict[str, Any] = with_values(defaults, changes)["model"]
    return settings


def _list_models(is_json: bool) -> None:
    from tenfold.models.model import MODELS

    lines = {name: MODELS[name].summary for name in MODELS}
    if is_json:
        echo(json.dumps(lines, indent=2, ensure_ascii=False))
        return
    width = max(map(len, lines))
    for name, line in lines.items():
        echo(f"{name:{width}}  {line}")


_MOST_MEGAPIXELS = 100_000

_EXIT_SOME_UNREADABLE = 1
"""Every other image was predicted."""


def predict(  # noqa: PLR0915, PLR0917 -- typer passes them all by name
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A model folder, a study's run folder, or a file that `tenfold export` wrote.",
        ),
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
    jobs: JobsOption = 1,
    on: OnOption = None,
    cores_per_task: CoresPerTaskOption = None,
    gpus_per_task: GpusPerTaskOption = None,
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

      tenfold predict fast-digits.onnx photos/ --csv photos.csv

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
    is_here = (on, jobs, cores_per_task, gpus_per_task) == (None, 1, None, None)
    if explain is not None and not is_here:
        raise SettingsError(
            "--explain is done in this process alone. Leave out --jobs and --on, or --explain."
        )
    from tenfold.cli.terminal import TerminalProgress
    from tenfold.data.images.formats import DecodingLimits
    from tenfold.serving.prediction import find_images, load_model, predict_files

    loaded = load_model(model, device=device, is_explained=explain is not None)
    found = find_images(images, sys.stdin.buffer)
    if not found.files and not found.left_out:
        raise DataError(
            f"There is no image in {', '.join(images)}. Give image files, or folders that hold "
            f"some (files that are no images by their name: {found.ignored:,})."
        )
    # Rows on a terminal show the progress themselves, and a bar between them would be torn.
    shows_bar = csv is not None or not sys.stdout.isatty()
    progress = TerminalProgress(is_quiet=quiet)
    if loaded.notice:
        progress.say(loaded.notice)
    unreadable = 0
    with ExitStack() as stack:
        output = stack.enter_context(_output(csv, is_json, loaded.classes, top))
        page = None
        if explain is not None and loaded.explained is not None:
            from tenfold.serving.explanation import Explainer, ExplanationPage

            explainer = Explainer.of(*loaded.explained)
            record = loaded.explained[1].record
            page = stack.enter_context(ExplanationPage.in_folder(explain, record, top))
        limits = DecodingLimits(pixels=int(max_megapixels * 1e6))
        bar = progress if shows_bar else None

        def take(result: Predicted) -> None:
            nonlocal unreadable
            output.add(result)
            if result.probabilities is None:
                unreadable += 1
                if csv is not None or not is_json:
                    name = printable(result.name)
                    echo(f"Cannot be read: {name}: {result.reason}.", err=True)
            elif page is not None:
                page.add(result, explainer)

        if is_here:
            for result in predict_files(loaded.model, found, bar, limits=limits):
                take(result)
        else:
            from tenfold.cli.predictions import predict_by
            from tenfold.study.scaling.place import PlaceRequest

            asked = PlaceRequest(on, jobs, cores_per_task, gpus_per_task)
            shown = bar or TerminalProgress(is_quiet=True)
            with asked.open(device=device, progress=progress) as place:
                predict_by(place, model, loaded, found, take, shown, device, limits)
    if csv is not None:
        progress.say(f"{len(found.files):,} images: {csv.resolve()}")
    if explain is not None:
        progress.say(f"Explanations: {(explain / 'index.html').resolve()}")
    if unreadable:
        raise typer.Exit(_EXIT_SOME_UNREADABLE)


@contextmanager
def _output(
    csv: Path | None, is_json: bool, classes: tuple[str, ...], top: int
) -> Iterator[PredictionOutput]:
    from tenfold.serving.prediction_outputs import CsvOutput, JsonOutput, TableOutput

    if csv is not None:
        with CsvOutput.to_file(csv, classes, top) as output:
            yield output
    elif is_json:
        yield JsonOutput(classes, top, echo)
    else:
        yield TableOutput(classes, top, echo)


_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(  # noqa: PLR0917 -- typer passes them all by name
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...",
            help="A model folder, a study's run folder, or a file that `tenfold export` wrote; "
            "NAME=MODEL to choose its name in addresses. The first one has the page.",
        ),
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(
            "--watch",
            metavar="FOLDER",
            help="Serve the highest version of each model in FOLDER/NAME/VERSION; a new one takes "
            "over while the server runs.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", help="Where to listen; 0.0.0.0 for everyone who can reach you."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")
    ] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="TENFOLD_TOKEN",
            show_envvar=True,
            help="What clients must send as `Authorization: Bearer TOKEN`. Better in the "
            "environment than on the command line, which others may see.",
        ),
    ] = None,
    tokens: TokensOption = None,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            help="A name by which browsers and programs reach the server, e.g. "
            "models.example.org; may be given again. Loopback and what --host names are allowed "
            "already; * allows every name.",
        ),
    ] = None,
    root_path: RootPathOption = "",
    tls_certificate: TlsCertificateOption = None,
    tls_key: TlsKeyOption = None,
    access_log: AccessLogOption = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a limit, e.g. body_mib=8."),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Serve models: a page to drop images on, and an API.

    Stop it with Ctrl-C; requests that were begun are answered first.
    """
    del debug  # read by `main`, which shows the trace
    from tenfold.serving.onnx_model import onnx_runtime

    for module in ("fastapi", "uvicorn", "httptools", "python_multipart", "prometheus_client"):
        need(module, extra="serve")
    onnx_runtime(extra="serve")
    from tenfold.core.settings import parse_assignment
    from tenfold.serving.app import create_app
    from tenfold.serving.guard import AllowedHosts, read_token
    from tenfold.serving.operations import TlsFiles
    from tenfold.serving.server import address_of, open_socket, run_server
    from tenfold.serving.settings import ServingSettings
    from tenfold.serving.starting import models_to_serve
    from tenfold.serving.watching import WatchedFolder

    changes: dict[str, Any] = dict(parse_assignment(text) for text in assignments or ())
    settings = ServingSettings.parse(changes)
    own_token = read_token(token)
    operations = parse_operations(own_token, tokens, access_log, root_path)
    tls = TlsFiles.of(tls_certificate, tls_key)
    hosts = AllowedHosts(host, allowed_hosts or ())
    with open_socket(host, port) as listening:
        watched = None if watch is None else WatchedFolder(watch)
        default, *others = models_to_serve(models or (), watched)
        for one in (default, *others):
            if one.served.notice is not None:
                echo(one.served.notice, err=True)
        app = create_app(
            default.served.model,
            settings,
            token=own_token,
            hosts=hosts,
            explainer=default.served.explainer,
            name=default.name,
            version=default.version,
            others=others,
            watched=watched,
            operations=operations,
        )
        if host not in _LOOPBACK and own_token is None and operations.tokens is None:
            echo(
                "Everyone who can reach this machine can use the model. Set TENFOLD_TOKEN to ask "
                "for a token.",
                err=True,
            )
        title = printable(default.served.model.description.title)
        if others:
            title += f" and {len(others)} more"
        del default, others, one  # or a model would be held that another has replaced
        address = address_of(listening, is_tls=tls is not None)
        run_server(
            app,
            listening,
            settings,
            on_start=lambda: echo(f"Serving {title} at {address} (stop it with Ctrl-C)"),
            operations=operations,
            tls=tls,
        )
    echo("Stopped.")
