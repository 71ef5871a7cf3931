"""Turn matplotlib's SVG into one that fits a page: themed, self-contained, without clashing ids."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from tenfold.reporting.figures.canvas import CSS_VARIABLES

_SVG = "http://www.w3.org/2000/svg"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
_FONT = "ui-sans-serif, system-ui, sans-serif"

THEME = """\
:root{--ink:#1d1f21;--muted:#5d646b;--grid:#d9dde1;--surface:#fff;\
--series-1:#0072b2;--series-2:#d55e00;--series-3:#009e73}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e8e6e1;--muted:#a3a9b0;--grid:#33383d;\
--surface:#15171a;--series-1:#56b4e9;--series-2:#f2945a;--series-3:#3cc79b}}"""
"""The variables that figures refer to, for a file of its own; the page's style sheet has the
same."""


def inline_svg(text: str, *, name: str, description: str) -> str:
    """Give an ``<svg>`` element for an HTML page.

    Parameters
    ----------
    text
        What matplotlib wrote.
    name
        Prefix of all ids, unique on the page.
    description
        What the figure shows, for those who cannot see it.
    """
    return _serialized(_clean(text, name, description))


def standalone_svg(text: str, *, name: str, description: str) -> str:
    """Give an SVG file that follows the reader's light or dark mode by itself."""
    root = _clean(text, name, description)
    root.set("xmlns", _SVG)
    width, height = root.get("viewBox", "0 0 0 0").split()[2:]
    root.set("width", width)
    root.set("height", height)
    root.set("font-family", _FONT)
    style = ElementTree.Element("style")
    style.text = THEME
    root.insert(0, style)
    return _serialized(root) + "\n"


def _clean(text: str, name: str, description: str) -> ElementTree.Element:
    # The text is matplotlib's own, not a stranger's: entity tricks cannot occur in it.
    root = ElementTree.fromstring(text)
    _drop(root, {"metadata", "style"})
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        _clean_attributes(element, name, used)
    for unwanted in ("width", "height", "version"):
        root.attrib.pop(unwanted, None)
    # matplotlib sets these by a style rule for everything, which would reach the whole page.
    root.set("stroke-linejoin", "round")
    root.set("stroke-linecap", "butt")
    root.set("role", "img")
    root.set("aria-label", description)
    return root


def _drop(root: ElementTree.Element, tags: set[str]) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in tags:
                parent.remove(child)


def _clean_attributes(element: ElementTree.Element, name: str, used: set[str]) -> None:
    attributes = dict(element.attrib)
    element.attrib.clear()
    for key, value in attributes.items():
        if key == "id":
            if value in used:
                element.set("id", f"{name}-{value}")
        elif key == _XLINK_HREF:
            element.set("href", f"#{name}-{value[1:]}" if value.startswith("#") else value)
        else:
            element.set(key.rpartition("}")[2], _themed(value, name))


def _themed(value: str, name: str) -> str:
    for placeholder, variable in CSS_VARIABLES.items():
        value = value.replace(placeholder, variable)
    value = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", value)
    return re.sub(r"font(-family)?:([^;]*?)\s*'DejaVu Sans'[^;]*", _page_font, value)


def _page_font(match: re.Match[str]) -> str:
    """Let text take the page's font: ``font: 10px 'DejaVu Sans', ...`` becomes the size alone."""
    if match.group(1):
        return "font-family: inherit"
    parts = match.group(2).split()
    size = next((part for part in parts if part.endswith("px")), "12px")
    weight = " font-weight: bold;" if "bold" in parts or "700" in parts else ""
    return f"{weight} font-size: {size}".strip()


def _serialized(root: ElementTree.Element) -> str:
    text = ElementTree.tostring(root, encoding="unicode")
    return re.sub(r">\s+<", "><", text).strip()
