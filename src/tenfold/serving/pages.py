"""Pages from templates: HTML, style and script, as bytes that any server can hand out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tenfold.core.text import printable
from tenfold.report.formats import percent, visible

_REPORT_STYLE = Path(__file__).parent.parent / "report" / "templates" / "style.css"
"""Pages look as the report does because they have its style; each adds to it."""
PageFiles = dict[str, tuple[bytes, str]]
"""Content and media type by address."""


def page_files(
    templates: Path | tuple[Path, ...], name: str, *, template: str | None = None, **values: Any
) -> PageFiles:
    """Give a page, its style and its script, from the files of one name in a folder.

    With `template`, the page itself is of that name, and may extend the one of the same folders.
    """
    folders = templates if isinstance(templates, tuple) else (templates,)
    environment = Environment(
        loader=FileSystemLoader(folders, encoding="utf-8"),
        autoescape=True,  # class names come from folders that anybody may have named
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "printable": printable}
    html = environment.get_template(f"{template or name}.html.j2").render(**values)
    style = _REPORT_STYLE.read_bytes() + b"\n" + (folders[-1] / f"{name}.css").read_bytes()
    return {
        "/": (html.encode(errors="replace"), "text/html"),
        f"/{name}.css": (style, "text/css"),
        f"/{name}.js": ((folders[-1] / f"{name}.js").read_bytes(), "text/javascript"),
    }
