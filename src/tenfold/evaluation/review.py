"""What a review of labels tells so far: how often they are wrong by rank, how people agree."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from tenfold.core.record import Interval, Record
from tenfold.evaluation.intervals import wilson_interval

BLOCK = 50
"""Ranks that are counted together: an interval of 50 images that held no wrong label ends at 7%."""


class SeenRanks(Record):
    """Labels at some ranks that somebody looked at."""

    first: int
    """Rank, from 1 for the most suspicious."""
    last: int
    seen: int
    wrong: int
    """Relabelled or dropped."""
    unsure: int
    interval: Interval | None
    """95%, of the share of wrong ones among those seen (Wilson); None if none was seen."""


class ReviewYield(Record):
    """How often the labels of one list were wrong, as far as somebody looked."""

    seen: int
    wrong: int
    unsure: int
    blocks: tuple[SeenRanks, ...]
    """By rank, those alone of which at least one was seen."""
    last: SeenRanks | None
    """The `BLOCK` least suspicious of those seen; None while fewer were seen."""


class ReviewAgreement(Record):
    """How two people agree about the labels that both looked at."""

    first: str
    second: str
    images: int
    share: float | None
    """Of the images with the same outcome: class, dropped, or unclear. None without images."""
    kappa: float | None
    """Cohen's; None where it is not defined, as when both always came to one outcome."""


def review_yield(verdicts: Sequence[str | None]) -> ReviewYield:
    """Count wrong labels by rank.

    Parameters
    ----------
    verdicts
        Of each label in the order of suspicion: keep, relabel, drop, unsure; None for not seen.
    """
    seen = [place for place, verdict in enumerate(verdicts) if verdict is not None]
    starts = sorted({place // BLOCK * BLOCK for place in seen})
    whole = _counted(verdicts, seen, 1, len(verdicts))
    return ReviewYield(
        seen=whole.seen,
        wrong=whole.wrong,
        unsure=whole.unsure,
        blocks=tuple(
            _counted(
                verdicts,
                [place for place in seen if start <= place < start + BLOCK],
                start + 1,
                min(start + BLOCK, len(verdicts)),
            )
            for start in starts
        ),
        last=None
        if len(seen) < BLOCK
        else _counted(verdicts, seen[-BLOCK:], seen[-BLOCK] + 1, seen[-1] + 1),
    )


def _counted(
    verdicts: Sequence[str | None], places: Sequence[int], first: int, last: int
) -> SeenRanks:
    chosen = [verdicts[place] for place in places]
    wrong = sum(verdict in ("relabel", "drop") for verdict in chosen)
    return SeenRanks(
        first=first,
        last=last,
        seen=len(chosen),
        wrong=wrong,
        unsure=sum(verdict == "unsure" for verdict in chosen),
        interval=wilson_interval(wrong, len(chosen)) if chosen else None,
    )


def review_agreement(
    first: str, second: str, outcomes: Sequence[tuple[str, str]]
) -> ReviewAgreement:
    """Compare two people's outcomes image by image.

    Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological
    Measurement 20 (1960): the share of agreement above what both would reach by chance, were each
    to draw outcomes as often as they did give them.
    """
    kappa = None
    if len({outcome for pair in outcomes for outcome in pair}) > 1:
        from sklearn.metrics import cohen_kappa_score

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = float(cohen_kappa_score(*zip(*outcomes, strict=True)))
        kappa = None if math.isnan(value) else value
    agreed = sum(one == other for one, other in outcomes)
    return ReviewAgreement(
        first=first,
        second=second,
        images=len(outcomes),
        share=agreed / len(outcomes) if outcomes else None,
        kappa=kappa,
    )
