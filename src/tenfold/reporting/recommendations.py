"""What to do next: each advice follows from a measurement and names it."""

from __future__ import annotations

from collections.abc import Iterator

from tenfold.core.records.evaluate import ClassificationScores
from tenfold.core.records.train import TrainRecord
from tenfold.reporting.formats import count, counted, in_sentence, join, percent, score
from tenfold.reporting.interpretation_data import IMBALANCE_RATIO
from tenfold.reporting.interpretation_evaluation import leaning, leaning_sentence
from tenfold.reporting.interpretation_tuning import (
    completed_trials,
    execution_spread,
    settings_at_their_edge,
)
from tenfold.reporting.recommendation import Recommendation
from tenfold.reporting.recommendations_audit import about_audit
from tenfold.reporting.recommendations_probabilities import (
    about_disturbances,
    about_probabilities,
    about_seeds,
)
from tenfold.reporting.study_records import StudyRecords
from tenfold.reporting.training_course import OVERFITTING_GAP, SMALL_GAP, Course, course_of

_FEW_IMAGES = 100
"""Training images a class below which more data is the first thing to try."""

_PAIR_SHARE = 0.15
"""Share of all errors from which on one pair of classes deserves work of its own."""


_PAIR_IMAGES = 10
"""Fewer confusions than this are no finding, whatever their share."""


def recommendations(records: StudyRecords) -> list[Recommendation]:
    """Give the advice that the study's own numbers support; none if nothing stands out."""
    found = [*_about_data(records)]
    if records.train is not None:
        found += _about_training(records.train)
    if records.evaluate is not None:
        found += _about_errors(records.evaluate.scores)
        found += about_probabilities(records)
        if records.evaluate.robustness is not None:
            found += about_disturbances(records.evaluate.robustness)
        found += about_seeds(records)
    if records.audit is not None:
        found += about_audit(records.audit)
    found += _about_search(records)
    return found


def _about_data(records: StudyRecords) -> Iterator[Recommendation]:
    acquire = records.acquire
    counts, classes = acquire.train_counts, acquire.classes
    largest, smallest = max(counts), min(counts)
    least, most = classes[counts.index(smallest)], classes[counts.index(largest)]
    if smallest == 0:
        yield Recommendation(
            "Add training images of the classes that have none.",
            f"The class {in_sentence(least)} has no training image, so the model cannot know it.",
        )
    elif largest / smallest >= IMBALANCE_RATIO:
        yield Recommendation(
            "Add images of the small classes: the training was rebalanced already."
            if _is_rebalanced(records)
            else "Rebalance the classes (--rebalance auto), or add images of the small ones.",
            f"The class {in_sentence(least)} has {counted(smallest, 'training image')}, "
            f"{in_sentence(most)} has {count(largest)}.",
        )
    if 0 < smallest < _FEW_IMAGES:
        yield Recommendation(
            "Collect more images, or start from a network pre-trained on similar images.",
            f"The smallest class, {in_sentence(least)}, has {counted(smallest, 'training image')}.",
        )


def _is_rebalanced(records: StudyRecords) -> bool:
    rebalancing = None if records.train is None else records.train.rebalancing
    return rebalancing is not None and rebalancing.method != "none"


def _about_training(train: TrainRecord) -> Iterator[Recommendation]:
    course = course_of(train)
    if course.is_still_improving:
        yield Recommendation(
            "Train longer.",
            f"Validation accuracy was still rising: by {score(course.late_gain)} over the last "
            f"third of {counted(course.epochs, 'epoch')}.",
        )
    if course.gap is not None and course.gap >= OVERFITTING_GAP:
        cure = (
            "Augment the training images"
            if train.augmentation == "none"
            else "Regularise more: dropout, weight decay or stronger augmentation"
        )
        yield Recommendation(
            f"{cure}.",
            f"Late training accuracy ({score(course.late_train_accuracy)}) is {score(course.gap)} "
            f"above validation accuracy ({score(course.late_validation_accuracy)}).",
        )
    if course.gap is not None and course.gap < SMALL_GAP and course.late_train_accuracy < 0.9:
        yield Recommendation(
            "Give the network more capacity (deeper, wider, or another architecture such as a "
            "residual network), or less dropout.",
            f"Even on its training images it is right in only "
            f"{percent(course.late_train_accuracy)}, and validation ("
            f"{percent(course.late_validation_accuracy)}) is no worse: it under-fits.",
        )
    yield from _about_epochs(train, course)


def _about_epochs(train: TrainRecord, course: Course) -> Iterator[Recommendation]:
    if course.fluctuates:
        yield Recommendation(
            "Let the learning rate decay towards the end (training.schedule=cosine), or lower it.",
            f"Validation accuracy fell by {score(course.largest_fall)} from one epoch to the next "
            f"(epoch {course.fall_epoch}); chance explains at most {score(course.chance_fall)}.",
        )
    best, last = course.best_validation_accuracy, course.last_validation_accuracy
    if best is None or last is None or course.chance_fall is None:
        return
    # A third of chance_fall is one standard error: choosing by less than that chooses noise.
    if train.chosen_weights == "last" and best - last > course.chance_fall / 3:
        yield Recommendation(
            "Keep the weights of the best epoch instead of the last (training.weights=best).",
            f"Epoch {course.best_epoch} had a validation accuracy of {score(best)}, the last one "
            f"{score(last)}.",
        )


def _about_errors(scores: ClassificationScores) -> Iterator[Recommendation]:
    errors = sum(sum(row) for row in scores.confusion) - sum(
        row[i] for i, row in enumerate(scores.confusion)
    )
    size = len(scores.classes)
    pairs = [
        (scores.confusion[i][j] + scores.confusion[j][i], i, j)
        for i in range(size)
        for j in range(i + 1, size)
    ]
    # With few classes a pair has a large share by arithmetic alone: ask for twice the even share.
    if pairs and errors:
        worst, i, j = max(pairs, key=lambda pair: (pair[0], -pair[1], -pair[2]))
        if worst >= _PAIR_IMAGES and worst / errors >= max(_PAIR_SHARE, 2 / len(pairs)):
            first, second = in_sentence(scores.classes[i].name), in_sentence(scores.classes[j].name)
            yield Recommendation(
                f"Look at the images and labels of {first} and {second}, and add examples that "
                "tell them apart.",
                f"{percent(worst / errors, 0)} of all errors ({count(worst)} of {count(errors)}) "
                "are confusions of these two.",
            )
    if any(leaning(scores)):
        yield Recommendation(
            "Correct the model's preference among the classes: weight the loss, or train longer "
            "with a smaller learning rate.",
            leaning_sentence(scores),
        )


def _about_search(records: StudyRecords) -> Iterator[Recommendation]:
    tune = records.tune
    if tune is None:
        return
    completed = completed_trials(tune)
    if edges := settings_at_their_edge(tune):
        yield Recommendation(
            "Extend the search range upwards.",
            f"The best trial lies at the upper end of it: {join(edges)}.",
        )
    if len(completed) < 2 * len(tune.space):
        learns = ", with a sampler that learns from them (tune.sampler=tpe)"
        yield Recommendation(
            f"Search longer: more trials{learns if tune.sampler == 'random' else ''}.",
            f"{counted(len(completed), 'complete trial')} for "
            f"{counted(len(tune.space), 'searched setting')}.",
        )
    spread = execution_spread(tune)
    if spread is not None and len(completed) > 1:
        lead = (completed[0].value or 0.0) - (completed[1].value or 0.0)
        if lead < spread:
            yield Recommendation(
                "Average more executions a trial before trusting the order of the best trials.",
                f"The best two differ by {score(lead, 4)}, executions of the same settings by up "
                f"to {score(spread, 4)}.",
            )
