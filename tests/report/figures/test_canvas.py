"""Figures: the same bytes for the same data, themed, nothing from outside, nothing cut off."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

from matplotlib import get_data_path
from matplotlib.figure import Figure
from PIL import Image, ImageFont

from tenfold.report.figures.canvas import (
    CSS_VARIABLES,
    PLACEHOLDERS,
    Palette,
    inline_svg,
    new_figure,
    png_bytes,
    standalone_svg,
    svg_text,
)
from tenfold.report.plots import report_figures


def test_drawing_again_gives_the_same_bytes(builder: SimpleNamespace) -> None:
    figures = report_figures(builder.two_class_study())
    for figure in figures.values():
        assert svg_text(figure.draw) == svg_text(figure.draw)
        assert png_bytes(figure.draw) == png_bytes(figure.draw)


def test_png_is_drawn_in_real_colours(builder: SimpleNamespace) -> None:
    figure = report_figures(builder.two_class_study())["class-distribution"]
    with Image.open(io.BytesIO(png_bytes(figure.draw))) as image:
        assert image.width == 1440
        colours = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=1 << 24) or []}
    assert (0x00, 0x72, 0xB2) in colours
    assert tuple(bytes.fromhex(PLACEHOLDERS.series[0][1:])) not in colours


def test_svg_is_themed_and_self_contained(
    drawn: dict[str, dict[str, str]], each_study: str
) -> None:
    for name, text in drawn[each_study].items():
        svg = inline_svg(text, name=name, description="what it shows")
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == "what it shows"
        assert not any(placeholder in svg for placeholder in CSS_VARIABLES)
        assert "DejaVu" not in svg
        assert "http" not in svg
        assert "<style" not in svg
        identifiers = [element.get("id") for element in root.iter() if element.get("id")]
        assert len(identifiers) == len(set(identifiers))
        assert all(identifier.startswith(f"{name}-") for identifier in identifiers)
        used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
        assert used == set(identifiers)


def test_text_stays_inside_the_figure(drawn: dict[str, dict[str, str]], each_study: str) -> None:
    """Horizontal text starts and ends inside, measured with the wide font of the layout."""
    font = ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), 100)
    for name, text in drawn[each_study].items():
        root = ElementTree.fromstring(inline_svg(text, name=name, description="x"))
        width, height = (float(part) for part in root.get("viewBox", "").split()[2:])
        for element in root.iter("text"):
            if "rotate(-0 " not in element.get("transform", "rotate(-0 "):
                continue
            style = element.get("style", "")
            size = float(re.search(r"font-size: ([\d.]+)px", style).group(1))  # type: ignore[union-attr]
            length = font.getlength(element.text or "") * size / 100
            anchor = re.search(r"text-anchor: (\w+)", style)
            before = {"end": 1.0, "middle": 0.5, "start": 0.0}[
                anchor.group(1) if anchor else "start"
            ]
            left = float(element.get("x", "0")) - before * length
            assert left > -1, (name, element.text)
            assert left + length < width + 1, (name, element.text)
            assert 0 < float(element.get("y", "0")) < height + 0.3 * size, (name, element.text)


def test_standalone_files_bring_their_colours(drawn: dict[str, dict[str, str]]) -> None:
    text = standalone_svg(drawn["two-class"]["training-curves"], name="a", description="b")
    assert 'xmlns="http://www.w3.org/2000/svg"' in text
    assert "prefers-color-scheme:dark" in text
    for variable in set(re.findall(r"var\((--[\w-]+)\)", text)):
        assert f"{variable}:" in text


def test_no_text_makes_a_picture_that_is_no_xml() -> None:
    def draw(palette: Palette) -> Figure:
        figure = new_figure(60)
        figure.text(0, 0, "\x1b[2J\x00\ufffe", color=palette.ink)
        return figure

    assert r"\x1b[2J\x00\ufffe" in standalone_svg(svg_text(draw), name="a", description="b")
