"""A comparison of studies as text; needs no matplotlib, which is slow to import."""

from __future__ import annotations

from tenfold.core.records.comparison import Comparison
from tenfold.core.text import printable
from tenfold.reporting import formats, interpretation_comparison
from tenfold.reporting.interpretation_comparison import pair_verdict, verdict


def comparison_text(comparison: Comparison) -> str:
    """Give the comparison as plain text for a terminal."""
    names = [printable(run.name) for run in comparison.runs]
    name_width = max(map(len, names))
    name_width = max(name_width, len("study"))
    lines = [
        f"{printable(comparison.title)}, {formats.counted(comparison.test_count, 'test image')}",
        "",
        f"{'study':{name_width}}  accuracy  95% interval      balanced  macro F1",
    ]
    lines += [
        f"{name:{name_width}}  {formats.score(run.accuracy, 4):8}  "
        f"{formats.interval(run.interval):16}  {formats.score(run.balanced_accuracy, 4):8}  "
        f"{formats.score(run.macro_f1, 4)}"
        for name, run in zip(names, comparison.runs, strict=True)
    ]
    pair_width = max(len(_pair_name(pair.first, pair.second)) for pair in comparison.pairs)
    pair_width = max(pair_width, len("pair"))
    lines += [
        "",
        f"{'pair':{pair_width}}  only 1st  only 2nd  points  95% interval    "
        f"p{' (Holm)' if len(comparison.pairs) > 1 else ''}",
    ]
    for pair in comparison.pairs:
        ends = (
            f"{formats.signed(100 * pair.interval.low, 2)} to "
            f"{formats.signed(100 * pair.interval.high, 2)}"
        )
        p_text = interpretation_comparison.p_value(pair.adjusted_p_value).removeprefix("= ")
        lines.append(
            f"{_pair_name(pair.first, pair.second):{pair_width}}  {pair.only_first:8,}  "
            f"{pair.only_second:8,}  {formats.signed(100 * pair.difference, 2):>6}  {ends:14}  "
            f"{p_text}"
        )
    lines.append("")
    if len(comparison.pairs) > 1:
        lines += [f"- {pair_verdict(pair, is_only=False)}" for pair in comparison.pairs]
    lines += interpretation_comparison.imbalance_sentences(comparison)
    lines.append(verdict(comparison))
    return "\n".join(lines)


def _pair_name(first: str, second: str) -> str:
    return f"{printable(first)} − {printable(second)}"
