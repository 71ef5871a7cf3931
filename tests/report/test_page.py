"""The page: well-formed, self-contained, accessible, safe, the same for the same records."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from markupsafe import Markup

from tenfold.core.errors import StorageError
from tenfold.core.record import Reference
from tenfold.core.records.training import ProbeRecord, TrainRecord
from tenfold.report.page import page_html, render_page, write_report
from tenfold.report.plots import report_figures
from tenfold.report.records import StudyRecords
from tenfold.report.wording import page_environment

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}


class Outline(HTMLParser):
    """Reads a page, checks that tags are balanced, and keeps what the tests ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def pages(studies: dict[str, StudyRecords], drawn: dict[str, dict[str, str]]) -> dict[str, str]:
    """Give the page of every study."""
    return {
        study: page_html(records, report_figures(records), drawn[study])
        for study, records in studies.items()
    }


def _read(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    outline.close()
    assert outline.open == []
    return outline


def test_refers_to_nothing_outside(pages: dict[str, str], each_study: str) -> None:
    outline = _read(pages[each_study])
    for _, attributes in outline.elements:
        for key in ("src", "href", "xlink:href", "action", "srcset", "data"):
            value = attributes.get(key, "#")
            assert value.startswith(("#", "data:image/png;base64,")), value
    assert not outline.all("script", "link", "iframe", "object", "base")
    assert "@import" not in pages[each_study]
    assert not re.search(r"url\((?!#)", pages[each_study])


def test_is_accessible(pages: dict[str, str], each_study: str) -> None:
    outline = _read(pages[each_study])
    assert outline.all("html") == [{"lang": "en"}]
    assert len(outline.all("h1")) == 1
    for attributes in outline.all("svg"):
        assert attributes["role"] == "img"
        assert attributes["aria-label"]
    assert all("alt" in attributes for attributes in outline.all("img"))
    assert all(attributes.get("scope") in {"row", "col"} for attributes in outline.all("th"))
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    identifiers = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    targets = {attributes["href"][1:] for attributes in outline.all("a")}
    assert targets <= set(identifiers)


def test_captions_are_numbered_without_gaps(pages: dict[str, str], each_study: str) -> None:
    text = " ".join(_read(pages[each_study]).text)
    for kind in ("Figure", "Table"):
        numbers = [int(number) for number in re.findall(rf"\b{kind} (\d+)\.\s", text)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert numbers


def test_has_no_holes_in_its_sentences(pages: dict[str, str], each_study: str) -> None:
    text = " ".join(_read(pages[each_study]).text)
    for hole in (r"\bnan\b", r"\binf\b", r"\bNone\b", r"\bUndefined\b", r"\{\}", r"\.\.(?!\.)"):
        assert not re.search(hole, text), hole
    assert not re.search(r"\b1 (images|epochs|trials|classes|folds|layers|threads)\b", text)


def test_the_same_records_give_the_same_bytes(
    builder: SimpleNamespace, pages: dict[str, str]
) -> None:
    assert render_page(builder.two_class_study()) == pages["two-class"]


@pytest.mark.slow
@pytest.mark.parametrize("study", ["whole", "many-class", "gray"])
@pytest.mark.long
def test_large_studies_too(
    studies: dict[str, StudyRecords], pages: dict[str, str], study: str
) -> None:
    assert render_page(studies[study]) == pages[study]


def test_hostile_names_are_text(pages: dict[str, str], builder: SimpleNamespace) -> None:
    page = pages["many-class"]
    outline = _read(page)
    assert "<script>alert" not in page
    assert "<h1>Owned" not in page
    assert "<img" not in page
    assert "\x00" not in page
    assert "\u202e" not in page
    assert not any("onmouseover" in attributes for _, attributes in outline.elements)
    assert not any("onerror" in attributes for _, attributes in outline.elements)
    text = "".join(outline.text)
    assert "<script>alert('class')</script>" in text
    assert "{{7*7}}" in text
    assert "猫と犬の写真" in text


def test_sections_in_the_originals_order(pages: dict[str, str]) -> None:
    found = re.findall(r'<section id="([\w-]+)">', pages["whole"])
    assert found == [
        "introduction",
        "data-preparation",
        "exploration",
        "modeling",
        "training",
        "evaluation",
        "cross-validation",
        "audit",
        "conclusions",
        "reproduction",
        "provenance",
    ]


def test_a_record_of_an_earlier_version_has_no_cost(builder: SimpleNamespace) -> None:
    records = builder.two_class_study()
    plain = records.train.model_dump()
    del plain["multiply_adds"]
    for layer in plain["layers"]:
        del layer["multiply_adds"]
    page = render_page(dataclasses.replace(records, train=TrainRecord.model_validate(plain)))
    assert "one image takes it" not in page
    assert '<td class="n">–</td></tr></tfoot>' in page


@pytest.mark.parametrize(("fine_tune_epochs", "is_augmented"), [(0, False), (3, True)])
def test_a_head_on_frozen_features(
    real_study: StudyRecords,
    probe: ProbeRecord,
    section: Any,
    fine_tune_epochs: int,
    is_augmented: bool,
) -> None:
    assert real_study.train is not None
    fitted = probe.model_copy(update={"fine_tune_epochs": fine_tune_epochs})
    train = real_study.train.model_copy(update={"probe": fitted})
    text = section("data-preparation", dataclasses.replace(real_study, train=train))
    assert "normalised as they were when the backbone's published weights" in text
    assert ("Augmentation shows the network" in text) == is_augmented
    assert ("Training images are not augmented" in text) != is_augmented


def test_reproduction_only_where_there_is_an_original(pages: dict[str, str]) -> None:
    assert 'id="reproduction"' not in pages["gray"]
    assert "Reproduction" not in pages["two-class"]


def test_absent_stages_name_their_command(pages: dict[str, str]) -> None:
    text = " ".join("".join(_read(pages["two-class"]).text).split())
    for stage in ("explore", "tune", "evaluate", "cross-validate", "audit"):
        assert f"The stage {stage} was not run" in text
        assert f"tenfold {stage} --out 'runs/my pets'" in text
    assert "The model has not been tested yet" in text


def test_left_out_images_are_listed(pages: dict[str, str]) -> None:
    text = "".join(_read(pages["many-class"]).text)
    assert "30 images could not be read and were left out" in text
    assert "<i>29</i>/broken.png" in text


def test_write_report_writes_page_and_figures(builder: SimpleNamespace, tmp_path: Path) -> None:
    path = write_report(builder.two_class_study(), tmp_path / "report")
    assert path == tmp_path / "report" / "report.html"
    assert path.read_text(encoding="utf-8") == render_page(builder.two_class_study())
    names = sorted(file.name for file in (tmp_path / "report" / "figures").iterdir())
    assert names == [
        "class-distribution.png",
        "class-distribution.svg",
        "training-curves.png",
        "training-curves.svg",
    ]


def test_a_file_in_the_way_gets_a_clear_error(builder: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("not a folder")
    with pytest.raises(StorageError, match="Choose another folder with --out"):
        write_report(builder.two_class_study(), tmp_path / "report")


def test_an_unknown_measure_stops_the_report(builder: SimpleNamespace) -> None:
    reference = Reference(label="x", measure="tune.best", value=1.0)
    study = dataclasses.replace(builder.two_class_study(), references=(reference,))
    with pytest.raises(ValueError, match=r"no measure named 'tune\.best'"):
        render_page(study)


class TestSearch:
    def test_a_pruned_trial_is_marked_with_its_last_value(self, pages: dict[str, str]) -> None:
        text = pages["searched"]
        assert "In brackets: a pruned trial&#39;s, when it was stopped." in text
        assert len(re.findall(r">\(0\.\d{4}\)</td>", text)) == 4
        assert text.count("pruned: not among the best after epoch 3") == 4

    def test_the_best_settings_can_be_pasted(self, pages: dict[str, str]) -> None:
        text = " ".join(_read(pages["searched"]).text)
        assert "--set 'model.filters=[64, 32, 64]' --set training.learning_rate=" in text
        assert "[model]\nname = " in text
        assert "in place of its table" in text

    def test_it_says_what_kind_of_search_it_was(self, pages: dict[str, str]) -> None:
        text = " ".join(_read(pages["searched"]).text)
        assert "No trial was begun after 10 min." in text
        assert "2 trials ran at a time" in text
        assert "units (cnn)" in text


def test_whatever_a_template_shows_has_no_character_that_steers() -> None:
    template = page_environment().from_string("{{ name }}{{ picture }}{{ number }}")
    shown = template.render(name="\x1b<\u202e\ud800", picture=Markup("<b>\x9b</b>\n"), number=3)
    assert shown == "\\x1b&lt;\\u202e\\ud800<b>\\x9b</b>\n3"
