"""The comparison's verdict, text, page and picture."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tenfold.core.record import Interval
from tenfold.core.records.evaluation import ComparedPair, ComparedRun, Comparison
from tenfold.evaluation.differences import holm_adjusted, mcnemar_p_value
from tenfold.evaluation.intervals import wilson_interval
from tenfold.report.comparison import comparison_text, finding, verdict, write_comparison


def comparison(*right: int, discordant: int = 100, names: str = "abc") -> Comparison:
    """Give a comparison of runs that have so many of 1,000 images right."""
    runs = tuple(
        ComparedRun(
            name=name,
            accuracy=number / 1000,
            interval=wilson_interval(number, 1000),
            balanced_accuracy=number / 1000,
            macro_f1=number / 1000,
            model="cnn",
        )
        for name, number in zip(names, right, strict=False)
    )
    pairs = []
    for i, first in enumerate(runs):
        for second in runs[i + 1 :]:
            difference = first.accuracy - second.accuracy
            only_first = round((discordant + 1000 * difference) / 2)
            p = mcnemar_p_value(only_first, discordant - only_first)
            pairs.append(
                ComparedPair(
                    first=first.name,
                    second=second.name,
                    only_first=only_first,
                    only_second=discordant - only_first,
                    difference=difference,
                    interval=Interval(low=difference - 0.02, high=difference + 0.02),
                    p_value=p,
                    adjusted_p_value=p,
                )
            )
    adjusted = holm_adjusted([pair.p_value for pair in pairs])
    return Comparison(
        title="CIFAR-10",
        test_count=1000,
        test_sha256="ab" * 32,
        is_imbalanced=False,
        runs=runs,
        pairs=tuple(
            pair.model_copy(update={"adjusted_p_value": p})
            for pair, p in zip(pairs, adjusted, strict=True)
        ),
    )


def test_a_small_difference_is_none() -> None:
    assert verdict(comparison(800, 806)) == (
        "a and b are not distinguishable on this test set (p = 0.617)."
    )


def test_a_large_difference_names_the_better() -> None:
    assert verdict(comparison(800, 850)) == (
        "b is better than a on this test set, by 5.0 percentage points of accuracy (95% "
        "interval 3.0 to 7.0; p < 0.001)."
    )


@pytest.mark.parametrize(
    ("right", "rivals", "has_clear_pairs"),
    [
        ((850, 845, 780), ("b",), True),
        ((850, 790, 780), (), True),
        ((850, 849, 848), ("b", "c"), False),
    ],
)
def test_of_several_the_best_and_its_rivals(
    right: tuple[int, ...], rivals: tuple[str, ...], has_clear_pairs: bool
) -> None:
    found = finding(comparison(*right))
    assert (found.best.name, found.rivals) == ("a", rivals)
    assert found.has_clear_pairs == has_clear_pairs


def test_text_has_a_row_a_run_and_a_pair() -> None:
    lines = comparison_text(comparison(850, 845, 780)).splitlines()
    assert sum(line.startswith(("a  ", "b  ", "c  ")) for line in lines) == 3
    assert sum(" − " in line for line in lines) == 3
    assert "p (Holm)" in "\n".join(lines)


def test_the_text_needs_no_matplotlib() -> None:
    code = "import sys, tenfold.report.comparison; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("ending", [".html", ".svg"])
def test_files_refer_to_nothing_outside_and_names_are_text(tmp_path: Path, ending: str) -> None:
    hostile = comparison(850, 845).model_copy(update={"title": "<script>alert(1)</script>"})
    path = tmp_path / f"comparison{ending}"
    write_comparison(hostile, path)
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)', text))
    assert text.replace("http://www.w3.org/", "").count("://") == 0
    HTMLParser().feed(text)


def test_few_test_images_are_said(tmp_path: Path) -> None:
    few = comparison(800, 806, 850).model_copy(update={"test_count": 29})
    write_comparison(few, tmp_path / "few.html")
    for text in (comparison_text(few), (tmp_path / "few.html").read_text("utf-8")):
        assert "only 29 images" in text
        assert text.count("(few)") == 3 * len(few.runs)
    assert "only" not in comparison_text(comparison(800, 806)).partition("pair")[0]


def test_several_comparisons_are_corrected_and_say_so() -> None:
    several = comparison(800, 818, 800, discordant=60)
    alone = comparison(800, 818, discordant=60)
    # Of one pair p is below 0.05; of three the same pair is none.
    assert alone.pairs[0].adjusted_p_value == alone.pairs[0].p_value < 0.05
    assert several.pairs[0].p_value == alone.pairs[0].p_value
    assert several.pairs[0].adjusted_p_value > 0.05
    assert not finding(several).has_clear_pairs
    assert "corrected after Holm" in comparison_text(several)
    assert "Holm" not in comparison_text(alone)
