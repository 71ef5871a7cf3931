"""What a comparison of studies says, as facts and as text; needs no Matplotlib, which is slow."""

from __future__ import annotations

from dataclasses import dataclass

from tenfold.core.records.evaluation import ComparedPair, ComparedRun, Comparison
from tenfold.core.text import printable
from tenfold.report.wording import rendered_text, words

SIGNIFICANCE = 0.05
"""Adjusted p-value below which two studies are called different."""


@dataclass(frozen=True)
class Finding:
    """Which of several studies is the best, and how sure that is."""

    best: ComparedRun
    rivals: tuple[str, ...]
    """Those that cannot be told from it."""
    has_clear_pairs: bool
    """Whether any two studies can be told apart."""


def is_clear(pair: ComparedPair) -> bool:
    """Say whether chance is an unlikely explanation of a pair's difference."""
    return pair.adjusted_p_value < SIGNIFICANCE


def finding(comparison: Comparison) -> Finding:
    """Say which study is the best."""
    best = max(comparison.runs, key=lambda run: run.accuracy)
    rivals = [
        pair.second if pair.first == best.name else pair.first
        for pair in comparison.pairs
        if best.name in (pair.first, pair.second) and not is_clear(pair)
    ]
    return Finding(best, tuple(rivals), any(map(is_clear, comparison.pairs)))


def verdict(comparison: Comparison) -> str:
    """Sum a comparison up in one or two sentences."""
    return words("comparison", "verdict", comparison, finding(comparison), is_clear)


def comparison_text(comparison: Comparison) -> str:
    """Give the comparison as plain text for a terminal."""
    pairs = [f"{printable(pair.first)} − {printable(pair.second)}" for pair in comparison.pairs]
    return rendered_text(
        "comparison.txt.j2",
        comparison=comparison,
        finding=finding(comparison),
        is_clear=is_clear,
        pair_names=pairs,
        name_width=max(len("study"), *(len(printable(run.name)) for run in comparison.runs)),
        pair_width=max(len("pair"), *map(len, pairs)),
    )
