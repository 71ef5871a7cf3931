"""The page for people: three files that refer to nothing outside this server."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tenfold.core.text import printable
from tenfold.exporting.onnx_description import OnnxDescription
from tenfold.report.formats import percent, visible
from tenfold.serving.serving_settings import ServingSettings

_TEMPLATES = Path(__file__).parent / "templates"
_REPORT_STYLE = Path(__file__).parent.parent / "reporting" / "templates" / "style.css"
"""The page looks as the report does because it has its style; page.css adds to it."""


def page_files(
    description: OnnxDescription, settings: ServingSettings, *, needs_token: bool, explains: bool
) -> dict[str, tuple[bytes, str]]:
    """Give content and media type by address; the page tells and keeps the limits of `settings`."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,  # class names come from folders that anybody may have named
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "printable": printable}
    html = environment.get_template("page.html.j2").render(
        model=description,
        settings=settings,
        needs_token=needs_token,
        explains=explains,
        version=metadata.version("tenfold"),
    )
    style = _REPORT_STYLE.read_bytes() + b"\n" + (_TEMPLATES / "page.css").read_bytes()
    return {
        "/": (html.encode(errors="replace"), "text/html"),
        "/page.css": (style, "text/css"),
        "/page.js": ((_TEMPLATES / "page.js").read_bytes(), "text/javascript"),
    }
