"""``tenfold export``: a finished model as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenfold.commands.options import DebugOption
from tenfold.commands.output import echo


def export(  # noqa: PLR0917 -- typer passes them all by name
    model: Annotated[Path, typer.Argument(help="A model folder, or a study's run folder.")],
    is_onnx: Annotated[
        bool, typer.Option("--onnx", help="Write an ONNX file (the only kind there is).")
    ] = False,
    is_int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Write a version with 8-bit numbers too, and measure both on test images.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file. Default: MODEL.onnx beside the folder.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Images to check with, a source's name or a path. Default: those of the study "
            "that the model is of.",
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Write a model as one file: pixels in, calibrated probabilities out.

    The file is checked against PyTorch on real images; a file that differs is not written.
    """
    del debug  # read by `main`, which shows the trace
    from tenfold.core.errors import SettingsError
    from tenfold.serving.export import export_onnx, export_text
    from tenfold.serving.onnx_graph import images_for
    from tenfold.training.model_folder import read_model_folder

    if not is_onnx:
        raise SettingsError("Say which kind of file to write: tenfold export MODEL --onnx")
    packaged = read_model_folder(model)
    images = images_for(model, data, packaged.record)
    place = out or default_path(model)
    if place.suffix != ".onnx":
        raise SettingsError(f"--out must end in .onnx, received {place}.")
    echo(export_text(export_onnx(packaged, place, images, is_int8=is_int8), images.place))


def default_path(model: Path) -> Path:
    """Give the file that a model is exported to unless ``--out`` says otherwise.

    ``runs/fast-digits`` and ``runs/fast-digits/model`` both give ``runs/fast-digits.onnx``.
    """
    folder = model.absolute()
    if folder.name == "model" and (folder.parent / "acquire").is_dir():
        folder = folder.parent
    return folder.with_name(f"{folder.name}.onnx")
