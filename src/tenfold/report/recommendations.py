"""What to do next: the findings that ask for something, each with the numbers that show it.

What each says is in ``templates/words/recommendations.j2``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tenfold.core.records.data import AcquireRecord, AuditRecord
from tenfold.core.records.evaluation import ClassificationScores, EvaluateRecord, RepeatsRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.records.tuning import TuneRecord
from tenfold.evaluation.scores import Imbalance
from tenfold.report.findings.data import conflicts, flagged_share
from tenfold.report.findings.evaluation import SURE, Labels, Probabilities, leaning, mistakes
from tenfold.report.findings.reliability import honesty, leading_score, sensitive_to
from tenfold.report.findings.training import course_of
from tenfold.report.findings.tuning import (
    completed_trials,
    execution_spread,
    settings_at_their_edge,
)
from tenfold.report.records import StudyRecords

_FEW_IMAGES = 100
"""Training images a class below which more data is the first thing to try."""

_PAIR_SHARE = 0.15
"""Share of all errors from which on one pair of classes deserves work of its own."""

_PAIR_IMAGES = 10
"""Fewer confusions than this are no finding, whatever their share."""

_SURE_MISTAKES = 10
_SURE_SHARE = 0.1
"""Of all mistakes: from so many on, sure ones are worth a person's time."""

_FLAGGED_SHARE = 0.005
"""Share of suspicious labels from which on going through them is worth a person's time."""

_LEAK_EFFECT = 0.0005
"""Change of the accuracy without leaks that shows in its third digit."""


@dataclass(frozen=True)
class Recommendation:
    """A finding that asks for something: its name, and what was measured."""

    name: str
    facts: Mapping[str, Any]


def recommendations(records: StudyRecords) -> list[Recommendation]:
    """Give the advice that the study's own numbers support; none if nothing stands out."""
    train, evaluate = records.train, records.evaluate
    found = [*_about_data(records.acquire, train)]
    if train is not None:
        found += _about_training(train)
    if evaluate is not None:
        found += _about_errors(evaluate.scores)
        found += _about_probabilities(evaluate)
        if records.test_probabilities is not None and records.test_labels is not None:
            found += _about_sure_mistakes(records.test_probabilities, records.test_labels)
        found += _about_disturbances(evaluate, train)
        if records.repeats is not None:
            found += _about_seeds(records.repeats, evaluate)
    if records.audit is not None:
        found += about_audit(records.audit)
    if records.tune is not None:
        found += _about_search(records.tune)
    return found


def _found(name: str, **facts: Any) -> Recommendation:
    return Recommendation(name, facts)


def _about_data(acquire: AcquireRecord, train: TrainRecord | None) -> Iterator[Recommendation]:
    counts, classes = acquire.train_counts, acquire.classes
    largest, smallest = max(counts), min(counts)
    extremes = {
        "least": classes[counts.index(smallest)],
        "most": classes[counts.index(largest)],
        "smallest": smallest,
        "largest": largest,
    }
    if smallest == 0:
        yield _found("empty-class", **extremes)
    elif Imbalance.of(counts).is_uneven:
        rebalancing = None if train is None else train.rebalancing
        is_rebalanced = rebalancing is not None and rebalancing.method != "none"
        can_be = train is None or train.probe is None  # a head takes no rebalancing
        yield _found("imbalance", **extremes, is_rebalanced=is_rebalanced, can_be_rebalanced=can_be)
    if 0 < smallest < _FEW_IMAGES:
        yield _found("few-images", **extremes)


def _about_training(train: TrainRecord) -> Iterator[Recommendation]:
    course = course_of(train)
    if train.is_head_alone:
        yield _found("fine-tune", train_count=train.train_count)
        return
    if course.is_still_improving:
        yield _found("train-longer", course=course)
    if course.fit == "over":
        yield _found("over-fitting", course=course, is_augmented=train.augmentation != "none")
    if course.fit == "under":
        yield _found("under-fitting", course=course)
    if course.fluctuates:
        yield _found("fluctuation", course=course)
    best, last = course.best_validation_accuracy, course.last_validation_accuracy
    if best is None or last is None or course.chance_fall is None:
        return
    # A third of chance_fall is one standard error: choosing by less than that chooses noise.
    if train.chosen_weights == "last" and best - last > course.chance_fall / 3:
        yield _found("best-epoch", course=course)


def _about_errors(scores: ClassificationScores) -> Iterator[Recommendation]:
    confusion, size = scores.confusion, len(scores.classes)
    errors = sum(sum(row) - row[i] for i, row in enumerate(confusion))
    pairs = [
        (confusion[i][j] + confusion[j][i], i, j) for i in range(size) for j in range(i + 1, size)
    ]
    # With few classes a pair has a large share by arithmetic alone: ask for twice the even share.
    if pairs and errors:
        worst, i, j = max(pairs, key=lambda pair: (pair[0], -pair[1], -pair[2]))
        if worst >= _PAIR_IMAGES and worst / errors >= max(_PAIR_SHARE, 2 / len(pairs)):
            names = scores.classes[i].name, scores.classes[j].name
            yield _found("confused-pair", names=names, confused=worst, errors=errors)
    over, under = leaning(scores)
    if over or under:
        yield _found("leaning", over=over, under=under)


def _about_probabilities(evaluate: EvaluateRecord) -> Iterator[Recommendation]:
    if honesty(evaluate.calibration) == "dishonest":
        yield _found("calibration", calibration=evaluate.calibration)


def _about_sure_mistakes(probabilities: Probabilities, labels: Labels) -> Iterator[Recommendation]:
    found = mistakes(probabilities, labels)
    if found.sure >= _SURE_MISTAKES and found.sure / found.count >= _SURE_SHARE:
        yield _found("sure-mistakes", mistakes=found, sure=SURE)


def _about_disturbances(
    evaluate: EvaluateRecord, train: TrainRecord | None
) -> Iterator[Recommendation]:
    worst = sensitive_to(evaluate.robustness)[:1] if evaluate.robustness else []
    is_head_alone = train is not None and train.is_head_alone
    for one in worst:
        yield _found("disturbance", worst=one, is_head_alone=is_head_alone)


def _about_seeds(repeats: RepeatsRecord, evaluate: EvaluateRecord) -> Iterator[Recommendation]:
    name = leading_score(repeats)
    ends = getattr(evaluate.intervals, name)
    least = repeats.least_differences[name]
    # Half the interval's width is what the choice of test images moves the score by.
    if least > (ends.high - ends.low) / 2:
        yield _found("seeds", score=name, least_difference=least, runs=len(repeats.runs))


def about_audit(audit: AuditRecord) -> Iterator[Recommendation]:
    """Give the advice that conflicts, labels and leaks support."""
    if pairs := conflicts(audit.duplicates):
        yield _found("conflicts", pairs=pairs)
    if flagged := [one for one in audit.labels if flagged_share(one) > _FLAGGED_SHARE]:
        yield _found("label-issues", splits=flagged)
    leaked, scores = audit.duplicates.leaked_test_images, audit.scores
    if (
        leaked
        and scores.without_leaks is not None
        and abs(scores.plain.accuracy - scores.without_leaks.accuracy) >= _LEAK_EFFECT
    ):
        yield _found("leaks", leaked=leaked, scores=scores)


def _about_search(tune: TuneRecord) -> Iterator[Recommendation]:
    completed = completed_trials(tune)
    if edges := settings_at_their_edge(tune):
        yield _found("search-edge", edges=edges)
    if len(completed) < 2 * len(tune.space):
        yield _found(
            "few-trials", trials=len(completed), dimensions=len(tune.space), sampler=tune.sampler
        )
    spread = execution_spread(tune)
    if spread is not None and len(completed) > 1:
        lead = (completed[0].value or 0.0) - (completed[1].value or 0.0)
        if lead < spread:
            yield _found("close-trials", lead=lead, spread=spread)
