"""A folder that any web server can hand out, in which the browser does all the rest."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tenfold.core.errors import DataError
from tenfold.core.files import recover_folder, replace_folder, storage_errors, write_json
from tenfold.core.progress import Progress
from tenfold.serving.export import (
    Parity,
    RealImages,
    checked_images,
    exported_model,
    foreign_files,
    parity_text,
)
from tenfold.serving.pages import page_files
from tenfold.serving.settings import ServingSettings
from tenfold.serving.web.runtime import VERSION, runtime_files
from tenfold.training.model_folder import PackagedModel

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = (
    *("web.js", "worker.js", "picture.js"),
    *("jpeg.js", "samples.js", "png.js", "resize.js"),
)
RUNTIME_FOLDER = "onnxruntime"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src data: blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; "
    "form-action 'none'"
)
"""The page's Content-Security-Policy; a server may send it with every file as well."""
_OWN = {"index.html", "page.css", "page.js", *SCRIPTS, "model.onnx", "model.json", RUNTIME_FOLDER}


@dataclass(frozen=True)
class WebExport:
    """What was written."""

    folder: Path
    parity: Parity
    size_bytes: int


def export_web(
    model: PackagedModel,
    folder: Path,
    images: RealImages,
    progress: Progress,
    *,
    runtime: Path | None = None,
) -> WebExport:
    """Write a folder with a model, what computes it in a browser, and a page.

    Parameters
    ----------
    folder
        New, empty, or of an earlier export, which is replaced.
    images
        To check the exported model with.
    runtime
        See `tenfold.serving.web.runtime.runtime_files`.

    Raises
    ------
    DataError
        If something else is in the folder.
    ExportError
        If what was exported does not give what the model gives.
    """
    if others := foreign_files(folder, _OWN):
        raise DataError(
            f"{folder} holds other things ({others}), which --web would replace. Give a new folder."
        )
    contents = {
        f"{RUNTIME_FOLDER}/{name}": content
        for name, content in runtime_files(runtime, progress).items()
    }
    exported = exported_model(model, checked_images(images))
    description = exported.model.description
    page = page_files(
        (TEMPLATES, TEMPLATES.parent.parent / "templates"),
        "page",
        template="web",
        model=description,
        settings=ServingSettings(),
        needs_token=False,
        explains=False,
        policy=POLICY,
        version=metadata.version("tenfold"),
    )
    contents |= {
        (address.strip("/") or "index.html"): content for address, (content, _) in page.items()
    }
    contents |= {name: (TEMPLATES / name).read_bytes() for name in SCRIPTS}
    contents["model.onnx"] = exported.content
    notice = (TEMPLATES / "onnxruntime-licence.txt").read_text(encoding="utf-8")
    contents[f"{RUNTIME_FOLDER}/LICENSE.txt"] = notice.replace("VERSION", VERSION).encode()
    partial = folder.absolute().with_name(f".{folder.absolute().name}.partial")
    with storage_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        for name, content in contents.items():
            place = partial / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        write_json(partial / "model.json", description.model_dump(mode="json"))
        recover_folder(folder.absolute())
        replace_folder(partial, folder.absolute())
    return WebExport(folder, exported.parity, sum(map(len, contents.values())))


def web_text(export: WebExport, place: str) -> str:
    """Give the check's result, and how to look at the page; `place` is where images are from."""
    return "\n".join(
        (
            parity_text(export.parity, place),
            f"Written: {export.folder} ({export.size_bytes / 1e6:.1f} MB). Any web server can hand "
            "it out; to look at it here: python -m http.server --bind 127.0.0.1 --directory "
            f"{export.folder}",
        )
    )
