"""The whole page of the real study, word by word.

A change of wording shows as a change of ``golden/page.txt``; after looking at it, write it with

    TENFOLD_UPDATE_GOLDEN=1 pytest tests/report/test_golden_page.py

What depends on the machine is masked: durations, dates, digests, versions, and what follows from
scores, since processors round differently.
"""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path

from tenfold.report.page import page_html
from tenfold.report.plots import report_figures
from tenfold.report.records import StudyRecords

GOLDEN = Path(__file__).parent / "golden" / "page.txt"
INLINE = {"a", "b", "em", "code", "span", "wbr"}
CELLS = {"td", "th"}
NOT_READ = {"style", "pre"}
"""The second is the listing of all settings, which changes with every default."""

MASKS = (
    (r"[0-9a-f]{64}|\b[0-9a-f]{12}\b", "DIGEST"),
    (r"\d{4}-\d\d-\d\d( \d\d:\d\d)?|\b\d+ [A-Z][a-z]+ 20\d\d", "DATE"),
    (r"under 0\.1 s|(\d+ h )?\d+ min( \d+ s)?|\d+(\.\d)? s\b", "TIME"),
    (r"(classified|proposed|epoch|up in) [\d,]+", r"\1 #"),
    (r"\d+(\.\d+){2,}\S*|\d+\.\d+\+\S+", "VERSION"),
    (r"[+−-]?\d+\.\d+|\b(?!95%)\d+(?=%)", "#"),
)


class _Text(HTMLParser):
    """Keeps a page's visible text, a line a block, and what is said of its figures."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.text += "" if tag in INLINE else " | " if tag in CELLS else "\n"
        if tag == "svg":
            self.text += f"[{dict(attributes)['aria-label']}]"

    def handle_endtag(self, tag: str) -> None:
        while self.open.pop() != tag:
            pass
        self.text += "" if tag in INLINE | CELLS else "\n"

    def handle_data(self, data: str) -> None:
        if not NOT_READ & set(self.open):
            self.text += data.replace("\n", " ")


def _visible_text(records: StudyRecords) -> str:
    figures = report_figures(records)
    # The words of a figure without its drawing, which takes longest and is tested elsewhere.
    empty = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    page = _Text()
    page.feed(page_html(records, figures, dict.fromkeys(figures, empty)))
    text = page.text.replace(str(records.run_folder), "RUN")
    text = text.replace(records.acquire.location, "IMAGES")
    assert records.train is not None
    text = text.replace(records.train.device, "DEVICE")
    for pattern, mask in MASKS:
        text = re.sub(pattern, mask, text)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line) + "\n"


def test_the_page_says_what_it_said(real_study: StudyRecords) -> None:
    text = _visible_text(real_study)
    if os.environ.get("TENFOLD_UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text, encoding="utf-8")
    assert text.splitlines() == GOLDEN.read_text(encoding="utf-8").splitlines()
