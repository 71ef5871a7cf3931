"""What a comparison of studies says, in plain words."""

from __future__ import annotations

from tenfold.core.records.comparison import ComparedPair, Comparison
from tenfold.reporting.formats import count, counted, in_sentence, join, percent

SIGNIFICANCE = 0.05
"""Adjusted p-value below which two studies are called different."""


def is_clear(pair: ComparedPair) -> bool:
    """Say whether chance is an unlikely explanation of a pair's difference."""
    return pair.adjusted_p_value < SIGNIFICANCE


def pair_verdict(pair: ComparedPair, *, is_only: bool) -> str:
    """Say which of two studies is better, or that they cannot be told apart.

    Parameters
    ----------
    pair
        The two.
    is_only
        Whether the comparison has no other pair, so that nothing had to be corrected.
    """
    first, second = in_sentence(pair.first), in_sentence(pair.second)
    after = "" if is_only else " after Holm's correction"
    p_text = p_value(pair.adjusted_p_value)
    if not is_clear(pair):
        return f"{first} and {second} are not distinguishable on this test set (p {p_text}{after})."
    better, worse, low, high = first, second, pair.interval.low, pair.interval.high
    if pair.difference < 0:
        better, worse, low, high = second, first, -high, -low
    return (
        f"{better} is better than {worse} on this test set, by "
        f"{abs(100 * pair.difference):.1f} percentage points of accuracy (95% interval "
        f"{100 * low:.1f} to {100 * high:.1f}; p {p_text}{after})."
    )


def verdict(comparison: Comparison) -> str:
    """Sum a comparison up in one or two sentences."""
    if len(comparison.pairs) == 1:
        return pair_verdict(comparison.pairs[0], is_only=True)
    clear = [pair for pair in comparison.pairs if is_clear(pair)]
    if not clear:
        return f"No two of the {len(comparison.runs)} studies are distinguishable on this test set."
    best = max(comparison.runs, key=lambda run: run.accuracy)
    rivals = [
        pair.second if pair.first == best.name else pair.first
        for pair in comparison.pairs
        if best.name in (pair.first, pair.second) and not is_clear(pair)
    ]
    text = f"{in_sentence(best.name)} has the highest accuracy, {percent(best.accuracy)}"
    if rivals:
        return (
            f"{text}, but is not distinguishable from {join(map(in_sentence, rivals))} on this "
            "test set."
        )
    return f"{text}, clearly more than every other."


def method_sentences(comparison: Comparison) -> list[str]:
    """Say how it was compared."""
    sentences = [
        f"All were tested on the same {counted(comparison.test_count, 'image')}, so each pair is "
        "compared image by image: only images that one gets right and the other wrong tell them "
        "apart. The p-value is that of McNemar's exact test, the interval that of a paired "
        "bootstrap over the images."
    ]
    if len(comparison.pairs) > 1:
        sentences.append(
            f"The p-values of the {count(len(comparison.pairs))} pairs are corrected after Holm, "
            "since of many pairs one differs by chance; the intervals are each pair's own."
        )
    sentences.append(
        "The comparison is of these trained models: another seed would have given others (see "
        "tenfold train --runs)."
    )
    return sentences


def imbalance_sentences(comparison: Comparison) -> list[str]:
    """Warn where accuracy, which the test compares, is that of the large classes."""
    if not comparison.is_imbalanced:
        return []
    return [
        "The classes differ in size, so accuracy is mostly that of the large ones: read balanced "
        "accuracy and macro F1 beside it."
    ]


def p_value(value: float) -> str:
    """Write a p-value, for example ``= 0.032`` or ``< 0.001``."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
