"""The templates, which hold the wording: for pages, and as plain text for what is no page."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tenfold.core.text import counted, format_duration, printable
from tenfold.report import formats

_TEMPLATES = Path(__file__).parent / "templates"


@cache
def page_environment() -> Environment:
    """Give the templates as those of HTML pages, with the filters that they use."""
    return _environment(is_html=True)


def words(template: str, macro: str, *facts: object) -> str:
    """Give what a macro of ``templates/words/TEMPLATE.j2`` says of facts: plain text, one line.

    For a figure's description and the terminal; a page imports the macro itself.
    """
    module = _text_environment().get_template(f"words/{template}.j2").module
    return _one_line(getattr(module, macro)(*facts))


def rendered_text(template: str, **facts: object) -> str:
    """Give a whole template that is no page, without its last line end."""
    return _text_environment().get_template(template).render(facts).removesuffix("\n")


class Numbering:
    """Counts figures and tables in the order in which the page shows them."""

    def __init__(self) -> None:
        self._figures = 0
        self._tables = 0
        self._subsections: dict[str, int] = {}

    def figure(self) -> int:
        """Give the next figure's number."""
        self._figures += 1
        return self._figures

    def table(self) -> int:
        """Give the next table's number."""
        self._tables += 1
        return self._tables

    def subsection(self, section: str) -> int:
        """Give the next subsection's number within a section."""
        self._subsections[section] = self._subsections.get(section, 0) + 1
        return self._subsections[section]


@cache
def _text_environment() -> Environment:
    return _environment(is_html=False)


def _environment(*, is_html: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=is_html,  # class names and paths come from folders that anybody may have named
        finalize=formats.visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cases": formats.cases,
        "command_options": formats.command_options,
        "count": formats.count,
        "counted": counted,
        "duration": formats.duration,
        "few": formats.few_images,
        "in_sentence": formats.in_sentence,
        "interval": formats.interval,
        "large": formats.large,
        "listed": formats.join,
        "number": formats.number,
        "on_few": formats.on_few,
        "of_hundred": formats.of_hundred,
        "one_line": _one_line,
        "percent": formats.percent,
        "percent_interval": formats.percent_interval,
        "points": formats.points,
        "printable": printable,
        "breakable": _breakable,
        "score": formats.score,
        "shape": formats.shape,
        "setting_name": formats.setting_name,
        "setting_value": formats.setting_value,
        "signed": formats.signed,
        "time_span": format_duration,
        "json": lambda value: json.dumps(value, indent=2, ensure_ascii=False, default=str),
        "markdown": _markdown,
        "markup": Markup,
        "toml": formats.toml_text,
        "valued": formats.valued,
    }
    return environment


def _one_line(text: str) -> str:
    """Give text whose lines a template has broken as one line."""
    return " ".join(text.split())


def _markdown(text: str) -> str:
    """Give a name from outside so that Markdown and HTML show it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", printable(text)) if text else ""


def _breakable(text: str) -> Markup:
    """Let a line break after ``=`` and ``_``, so that settings fit a narrow column."""
    return Markup("<wbr>").join(re.split(r"(?<=[=_])", text))
