"""The command that writes a finished model in forms that others take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenfold.cli.options import DebugOption, QuietOption, echo
from tenfold.core.errors import SettingsError


def export(  # noqa: PLR0917 -- typer passes them all by name
    model: Annotated[Path, typer.Argument(help="A model folder, or a study's run folder.")],
    is_onnx: Annotated[
        bool, typer.Option("--onnx", help="Write an ONNX file: pixels in, probabilities out.")
    ] = False,
    is_int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Write a version with 8-bit numbers beside the ONNX file too, and measure both on "
            "test images.",
        ),
    ] = False,
    web: Annotated[
        Path | None,
        typer.Option(
            "--web",
            metavar="FOLDER",
            help="Write a page that classifies in the browser alone, for any web server.",
        ),
    ] = None,
    hub: Annotated[
        Path | None,
        typer.Option(
            "--hub",
            metavar="FOLDER",
            help="Write a folder for the Hugging Face Hub: card with metadata, weights, ONNX.",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", help="The Hub's name of the model's licence. Default: unknown."),
    ] = None,
    executorch: Annotated[
        Path | None,
        typer.Option(
            "--executorch",
            metavar="FILE",
            help="Write an ExecuTorch program (FILE.pte) for apps on phones.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The ONNX file. Default: MODEL.onnx beside the folder."),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(
            "--onnxruntime-web",
            metavar="PATH",
            help="npm's package onnxruntime-web for --web, packed or unpacked. Default: what of it "
            "is needed is downloaded once.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Images to check with, a source's name or a path. Default: those of the study "
            "that the model is of.",
        ),
    ] = None,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a model for others: as ONNX, as a page for the browser alone, for the Hub, for phones.

    What is written is checked against PyTorch on real images; what differs is not written.
    """
    del debug  # read by `main`, which shows the trace
    if not is_onnx and (web, hub, executorch) == (None, None, None):
        raise SettingsError(
            "Say what to write: tenfold export MODEL --onnx for a file, --web FOLDER for a page, "
            "--hub FOLDER for the Hugging Face Hub, or --executorch FILE.pte for phones."
        )
    for option, is_given, needed, is_there in (
        ("--int8", is_int8, "--onnx", is_onnx),
        ("--out", out is not None, "--onnx", is_onnx),
        ("--onnxruntime-web", runtime is not None, "--web", web is not None),
        ("--license", licence is not None, "--hub", hub is not None),
    ):
        if is_given and not is_there:
            raise SettingsError(f"{option} says something of {needed}, which was not given.")
    place = out or default_path(model)
    if place.suffix != ".onnx":
        raise SettingsError(f"--out must end in .onnx, received {place}.")
    if executorch is not None and executorch.suffix != ".pte":
        raise SettingsError(f"--executorch must end in .pte, received {executorch}.")
    from tenfold.serving.export import export_onnx, export_text, images_for
    from tenfold.training.model_folder import read_model_folder

    packaged = read_model_folder(model)
    images = images_for(model, data, packaged.record)
    if is_onnx:
        echo(export_text(export_onnx(packaged, place, images, is_int8=is_int8), images.place))
    if web is not None:
        from tenfold.cli.terminal import TerminalProgress
        from tenfold.serving.web.folder import export_web, web_text

        progress = TerminalProgress(is_quiet=quiet)
        echo(web_text(export_web(packaged, web, images, progress, runtime=runtime), images.place))
    if hub is not None:
        from tenfold.serving.hub import export_hub, hub_text

        written = export_hub(packaged, hub, images, licence=licence or "unknown")
        echo(hub_text(written, images.place))
    if executorch is not None:
        from tenfold.serving.mobile import executorch_text, export_executorch

        parity = export_executorch(packaged, executorch, images)
        echo(executorch_text(parity, executorch, images.place))


def default_path(model: Path) -> Path:
    """Give the file that a model is exported to unless ``--out`` says otherwise.

    ``runs/fast-digits`` and ``runs/fast-digits/model`` both give ``runs/fast-digits.onnx``.
    """
    folder = model.absolute()
    if folder.name == "model" and (folder.parent / "acquire").is_dir():
        folder = folder.parent
    return folder.with_name(f"{folder.name}.onnx")
