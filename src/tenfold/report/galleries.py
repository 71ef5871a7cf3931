"""A report's figures that show images, and what stands beside each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from tenfold.core.records.data import SHOWN_ISSUES, DuplicatePair
from tenfold.core.records.evaluation import ExplainedMistakes
from tenfold.core.text import counted
from tenfold.report.figures.canvas import ReportFigure
from tenfold.report.figures.images import (
    Explained,
    draw_augmentation,
    draw_duplicate_pairs,
    draw_explained,
    draw_gallery,
    draw_pairs,
    draw_samples,
)
from tenfold.report.findings.evaluation import Likeness, likeness
from tenfold.report.formats import count, in_sentence, percent, score
from tenfold.report.records import Pixels, StudyRecords
from tenfold.report.wording import words


def figures_of_training_images(records: StudyRecords) -> Iterator[ReportFigure]:
    """Give images of each class, and one image as training sees it."""
    classes, explore = records.acquire.classes, records.explore
    if records.samples is not None and records.sample_counts is not None and records.samples.size:
        yield ReportFigure(
            "samples",
            partial(draw_samples, records.samples, records.sample_counts, classes),
            "Training images of each class, drawn at random with the study's seed.",
            f"Grid of training images, one row for each of {len(classes)} classes.",
        )
    original, augmented = records.augmented_original, records.augmented_images
    if explore is not None and original is not None and augmented is not None and augmented.size:
        yield ReportFigure(
            "augmentation",
            partial(draw_augmentation, original, augmented),
            f"One training image and the same image under the augmentation policy "
            f"“{explore.augmentation}”, {counted(len(augmented), 'time')}.",
            f"A training image and {counted(len(augmented), 'variant')} of it. "
            f"{explore.augmentation_description}",
        )


def figures_of_failures(records: StudyRecords) -> Iterator[ReportFigure]:
    """Give the test images that the model gets wrong or hardly knows."""
    evaluate, gallery, images = records.evaluate, records.gallery, records.gallery_images
    probabilities, labels = records.test_probabilities, records.test_labels
    if evaluate is None or gallery is None or images is None:
        return
    if probabilities is None or labels is None:
        return
    classes = records.acquire.classes

    def is_really(index: int) -> str:
        return f"is {classes[labels[index]]}"

    def best(index: int) -> list[tuple[str, str]]:
        """Give the two most probable classes of a test image, each with its share."""
        row = probabilities[index]
        places = np.argsort(-row, kind="stable")[:2].tolist()
        return [(classes[place], percent(float(row[place]), 0)) for place in places]

    if len(gallery.pairs):
        pairs, confusion = gallery.pairs.tolist(), evaluate.scores.confusion
        titles = [
            (classes[true], f"taken for {classes[other]}: {count(confusion[true][other])}")
            for true, other in pairs
        ]
        confusions = "; ".join(
            f"{in_sentence(classes[true])} taken for {in_sentence(classes[other])}"
            for true, other in pairs
        )
        yield ReportFigure(
            "confused-pairs",
            partial(draw_pairs, [images.at(row[row >= 0]) for row in gallery.pair_images], titles),
            "Images of the most frequent confusions, the most confident first.",
            f"Rows of test images: {confusions}.",
        )
    if len(gallery.mistakes):
        lines = []
        for index in gallery.mistakes.tolist():
            (named, share), *_ = best(index)
            lines.append((named, is_really(index), f"{share}, no. {index}"))
        shown, explained = images.at(gallery.mistakes), records.explained_mistakes
        if explained is None:
            caption = f"The most confident mistakes: {_OF_A_MISTAKE}."
            yield ReportFigure(
                "confident-mistakes",
                partial(draw_gallery, shown, lines),
                caption,
                f"{counted(len(lines), 'test image')}. {caption}",
            )
        else:
            alike = likeness(gallery, explained, probabilities, labels)
            yield _explained_mistakes(shown, lines, explained, alike, classes)
    if len(gallery.uncertain):
        doubts = [
            (*(f"{share} {name}" for name, share in best(index)), is_really(index))
            for index in gallery.uncertain.tolist()
        ]
        caption = (
            "The images that the model is least certain of: its two most probable classes, and "
            "the label."
        )
        yield ReportFigure(
            "least-certain",
            partial(draw_gallery, images.at(gallery.uncertain), doubts),
            caption,
            f"{counted(len(doubts), 'test image')}. {caption}",
        )


_OF_A_MISTAKE = (
    "what the model named, what the label says, the probability it gave, and the image's number in "
    "the test split"
)


def _explained_mistakes(
    images: Pixels,
    lines: Sequence[tuple[str, ...]],
    explained: ExplainedMistakes,
    alike: Likeness | None,
    classes: tuple[str, ...],
) -> ReportFigure:
    has_heat = len(explained.heats) > 0
    heat = (
        " the places that speak for the class that the model named (bright: most; Grad-CAM);"
        if has_heat
        else ""
    )
    entries = [
        Explained(
            image,
            explained.heats[place] if has_heat else None,
            lines[place],
            explained.neighbour_images[place],
            tuple(classes[label] for label in explained.neighbour_labels[place].tolist()),
        )
        for place, image in enumerate(images)
    ]
    return ReportFigure(
        "confident-mistakes",
        partial(draw_explained, entries),
        f"The most confident mistakes: the image;{heat} {_OF_A_MISTAKE}; and, of up to 10,000 "
        "training images, those that the network finds most alike, with their labels.",
        f"{counted(len(entries), 'test image')}. "
        + (words("gallery", "likeness", alike) if alike else ""),
    )


def figures_of_audit(records: StudyRecords) -> Iterator[ReportFigure]:
    """Give the figures of the audit, if it was run."""
    audit, images = records.audit, records.audited_images
    if audit is None or images is None:
        return
    classes = records.acquire.classes
    for labels in audit.labels:
        if shown := labels.issues[:SHOWN_ISSUES]:
            split = "training" if labels.split == "train" else "test"
            captions = [(f"{classes[i.suggested]}?", classes[i.given], i.id) for i in shown]
            caption = (
                f"The most suspicious labels of the {split} split: the class that the model "
                "suggests, the label it has, and the image's identifier."
            )
            yield ReportFigure(
                f"label-issues-{labels.split}",
                partial(draw_gallery, images.at([issue.id for issue in shown]), captions),
                caption,
                f"{counted(len(shown), 'image')}. {caption}",
            )
    pairs = audit.duplicates.shown
    conflicts = [pair for pair in pairs if pair.first_label != pair.second_label]
    leaks = [p for p in pairs if p not in conflicts and _splits(p) == {"train", "test"}]
    others = [pair for pair in pairs if pair not in conflicts and pair not in leaks]
    for name, chosen, caption in (
        (
            "duplicates-leaks",
            leaks,
            "Leaks: a training image and the test image that is a near-duplicate of it, from the "
            "surest pair to the least sure one.",
        ),
        (
            "duplicates-conflicts",
            conflicts,
            "Near-duplicates with different labels: if they are the same shot, one label is wrong.",
        ),
        (
            "duplicates-others",
            others,
            "Near-duplicates within a split, from the surest pair to the least sure one.",
        ),
        (
            "duplicates-alike",
            list(audit.duplicates.shown_alike),
            "Pairs that are alike, not the same shot for sure, the most alike first.",
        ),
    ):
        if chosen:
            yield ReportFigure(
                name,
                partial(
                    draw_duplicate_pairs,
                    images.at([pair.first for pair in chosen]),
                    images.at([pair.second for pair in chosen]),
                    [_pair_lines(pair, classes) for pair in chosen],
                ),
                f"{caption} The number is how well the edges of the two agree; 1 is equal.",
                f"{counted(len(chosen), 'pair')} of images, side by side. {caption}",
            )


def _splits(pair: DuplicatePair) -> set[str]:
    return {pair.first.partition("/")[0], pair.second.partition("/")[0]}


def _pair_lines(pair: DuplicatePair, classes: tuple[str, ...]) -> tuple[str, ...]:
    agreement = "equal" if pair.is_exact else score(pair.agreement, 2)
    names = dict.fromkeys((classes[pair.first_label], classes[pair.second_label]))
    mirrored = ", mirrored" if pair.is_mirrored else ""
    return f"{pair.first}, {pair.second}", " or ".join(names), f"{agreement}{mirrored}"
