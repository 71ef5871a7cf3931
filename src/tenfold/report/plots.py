"""Which figures a study's report has, and what each says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from tenfold.core.records.data import SHOWN_ISSUES, DuplicatePair, LabelIssue
from tenfold.core.records.evaluation import (
    CalibrationRecord,
    CrossValidateRecord,
    EvaluateRecord,
    RobustnessRecord,
)
from tenfold.core.records.training import TrainRecord
from tenfold.evaluation.scores import is_imbalanced
from tenfold.report.figures.canvas import ReportFigure
from tenfold.report.figures.classes import (
    draw_class_distribution,
    draw_class_scores,
    draw_confusion_matrix,
    draw_recall_by_size,
)
from tenfold.report.figures.curves import (
    draw_calibration,
    draw_fold_scores,
    draw_reproduction_curves,
    draw_robustness,
    draw_training_curves,
)
from tenfold.report.figures.images import (
    Captioned,
    Explained,
    draw_augmentation,
    draw_duplicate_pairs,
    draw_explained,
    draw_gallery,
    draw_pairs,
    draw_samples,
)
from tenfold.report.figures.search import (
    draw_importances,
    draw_search_history,
    draw_slices,
    slice_dimensions,
)
from tenfold.report.findings.data import class_balances, size_effect
from tenfold.report.findings.evaluation import confused_pairs, likeness
from tenfold.report.findings.reliability import (
    SENSITIVE_FALL,
    WANTED_ACCURACY,
    borne,
    honesty,
    reaching,
    sensitive_to,
    surest_half,
)
from tenfold.report.findings.training import course_of
from tenfold.report.formats import count, counted, in_sentence, join, percent, score, setting_name
from tenfold.report.records import EvaluatedImages, StudyRecords
from tenfold.report.reproduction import curve_pairs
from tenfold.report.wording import words


def report_figures(records: StudyRecords) -> dict[str, ReportFigure]:
    """Give the figures that the complete stages allow, by name, in the page's order."""
    groups = (
        _of_data,
        _of_search,
        _of_training,
        figures_of_scores,
        figures_of_failures,
        _of_folds,
        figures_of_audit,
        _of_reproduction,
    )
    return {figure.name: figure for group in groups for figure in group(records)}


def _of_data(records: StudyRecords) -> Iterator[ReportFigure]:
    acquire, explore = records.acquire, records.explore
    yield ReportFigure(
        "class-distribution",
        partial(draw_class_distribution, acquire),
        "Images of each class in the training and the test split.",
        " ".join(
            (
                "Bar chart of the number of images of each class.",
                *(words("data", "balance", balance) for balance in class_balances(acquire)),
            )
        ),
    )
    if records.samples is not None and records.sample_counts is not None and records.samples.size:
        yield ReportFigure(
            "samples",
            partial(draw_samples, records.samples, records.sample_counts, acquire.classes),
            "Training images of each class, drawn at random with the study's seed.",
            f"Grid of training images, one row for each of {len(acquire.classes)} classes.",
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


def _of_search(records: StudyRecords) -> Iterator[ReportFigure]:
    tune = records.tune
    if tune is None:
        return
    yield ReportFigure(
        "search-history",
        partial(draw_search_history, tune),
        "Validation accuracy of each trial, and the best up to it.",
        f"Scatter plot of {counted(len(tune.trials), 'trial')}; the best, number "
        f"{tune.best_number}, reaches {score(tune.best_value, 4)}.",
    )
    if tune.importances:
        shares = join(f"{setting_name(k)} {percent(v, 0)}" for k, v in tune.importances.items())
        yield ReportFigure(
            "importances",
            partial(draw_importances, tune.importances),
            "How much each setting explains of the differences between trials (fANOVA).",
            f"Bar chart of the settings' importances: {shares}.",
        )
    if tune.model_importances:
        model = tune.best_parameters.get("model.name", "")
        shares = join(
            f"{setting_name(k)} {percent(v, 0)}" for k, v in tune.model_importances.items()
        )
        yield ReportFigure(
            "model-importances",
            partial(draw_importances, tune.model_importances),
            f"The same among the trials of model “{model}” alone, with its own settings.",
            f"Bar chart of the importances of {model}'s settings: {shares}.",
        )
    if dimensions := slice_dimensions(tune):
        names = join(setting_name(one.name) for one in dimensions)
        yield ReportFigure(
            "search-slices",
            partial(draw_slices, tune),
            "Validation accuracy over the value of each setting that matters, a mark a trial; of "
            "several models, the best one's trials.",
            f"Scatter plots of the trials' accuracy over {names}.",
        )


def _of_training(records: StudyRecords) -> Iterator[ReportFigure]:
    train: TrainRecord | None = records.train
    if train is None or not train.history:
        return
    if train.probe is not None and len(train.history) == 1:
        return  # one point is no curve
    course = course_of(train)
    yield ReportFigure(
        "training-curves",
        partial(draw_training_curves, train),
        "Accuracy and loss after each epoch, on training"
        f"{' and validation' if train.validation_count else ''} images.",
        f"Line charts of accuracy and loss. {words('training', 'convergence', train, course)} "
        f"{words('training', 'validation', train, course)}",
    )


def _of_folds(records: StudyRecords) -> Iterator[ReportFigure]:
    evaluate: EvaluateRecord | None = records.evaluate
    folds: CrossValidateRecord | None = records.cross_validate
    if folds is not None and folds.protocols:
        means = join(f"{p.name} {score(p.means['accuracy'])}" for p in folds.protocols)
        yield ReportFigure(
            "fold-scores",
            partial(draw_fold_scores, folds, evaluate),
            "Scores of each fold, their mean with its corrected 95% interval, and the test result.",
            f"Dot plot of the folds' scores. Mean accuracy: {means}.",
        )


def _of_reproduction(records: StudyRecords) -> Iterator[ReportFigure]:
    pairs = curve_pairs(records)
    if pairs:
        yield ReportFigure(
            "reproduction-curves",
            partial(draw_reproduction_curves, pairs),
            "The original's curve and this study's, epoch by epoch.",
            f"Line chart of {join(pair.label for pair in pairs)}: the original ends at "
            f"{score(pairs[0].original[-1])}, this study at {score(pairs[0].ours[-1])}.",
        )


def figures_of_scores(records: StudyRecords) -> Iterator[ReportFigure]:
    """Give the figures of scores and calibration, in the page's order."""
    evaluate: EvaluateRecord | None = records.evaluate
    if evaluate is not None:
        pairs = join(
            f"{pair.true_name} taken for {pair.predicted_name} ({pair.images})"
            for pair in confused_pairs(evaluate.scores, 3)
        )
        yield ReportFigure(
            "confusion-matrix",
            partial(draw_confusion_matrix, evaluate.scores),
            "Confusion matrix of the test images. The stronger the colour, the larger the share of "
            "the true class (of the row).",
            "Confusion matrix. "
            + (f"Most frequent: {pairs}." if pairs else "There are no errors."),
        )
        yield ReportFigure(
            "class-scores",
            partial(draw_class_scores, evaluate),
            "Precision, recall and F1 of each class on the test images, with 95% intervals.",
            f"Three marks for each class; macro F1 is {score(evaluate.scores.macro_f1)}. The table "
            "of class scores has the numbers.",
        )
        if is_imbalanced(records.acquire):
            yield ReportFigure(
                "recall-by-size",
                partial(draw_recall_by_size, records.acquire, evaluate),
                "Recall of each class with its 95% interval; the classes and their numbers of "
                "training images, the largest on top.",
                "Dot plot. "
                + words("imbalance", "size_effect", size_effect(evaluate, records.acquire)),
            )
        calibration = evaluate.calibration
        yield ReportFigure(
            "calibration",
            partial(draw_calibration, calibration),
            "Left: accuracy of images with about the same probability, with 95% intervals "
            f"({counted(len(calibration.after.bins), 'bin')} of equally many images); on the "
            "dashed line probabilities are what they say. Right: accuracy on the share of the "
            "images that the model is surest of.",
            f"Line charts. {_calibration(calibration, evaluate.scores.accuracy)}",
        )


def figures_of_failures(records: StudyRecords) -> Iterator[ReportFigure]:
    """Give the figures that show where the model fails."""
    images, evaluate = records.evaluated_images, records.evaluate
    if evaluate is None:
        return
    if images is not None and records.test_probabilities is not None:
        if len(images.pairs):
            shown = [images.at(row[row >= 0]) for row in images.pair_images]
            yield ReportFigure(
                "confused-pairs",
                partial(draw_pairs, shown, _pair_titles(records)),
                "Images of the most frequent confusions, the most confident first.",
                f"Rows of test images: {_pair_words(records)}.",
            )
        if len(images.mistakes):
            yield _mistakes(records, images)
        if len(images.uncertain):
            doubts = [Captioned(_doubt_lines(records, int(one))) for one in images.uncertain]
            caption = (
                "The images that the model is least certain of: its two most probable classes, and "
                "the label."
            )
            yield ReportFigure(
                "least-certain",
                partial(draw_gallery, images.at(images.uncertain), doubts),
                caption,
                f"{counted(len(images.uncertain), 'test image')}. {caption}",
            )
    if evaluate.robustness is not None:
        yield ReportFigure(
            "robustness",
            partial(draw_robustness, evaluate.robustness),
            "Accuracy on disturbed test images at five strengths.",
            f"Line charts, one a disturbance. {_robustness(evaluate.robustness)}",
        )


def _mistakes(records: StudyRecords, images: EvaluatedImages) -> ReportFigure:
    """Give the gallery of mistakes, with what explains them where that is known."""
    lines = [_mistake_lines(records, int(index)) for index in images.mistakes]
    pictures = images.at(images.mistakes)
    explained = records.explained_mistakes
    named = (
        "what the model named, what the label says, the probability it gave, and the image's "
        "number in the test split"
    )
    if explained is None:
        caption = f"The most confident mistakes: {named}."
        draw = partial(draw_gallery, pictures, [Captioned(one) for one in lines])
        return ReportFigure(
            "confident-mistakes", draw, caption, f"{counted(len(lines), 'test image')}. {caption}"
        )
    has_heat = len(explained.heats) > 0
    heat = (
        " the places that speak for the class that the model named (bright: most; Grad-CAM);"
        if has_heat
        else ""
    )
    caption = (
        f"The most confident mistakes: the image;{heat} {named}; and, of up to 10,000 training "
        "images, those that the network finds most alike, with their labels."
    )
    classes = records.acquire.classes
    entries = [
        Explained(
            picture,
            explained.heats[place] if has_heat else None,
            words,
            explained.neighbour_images[place],
            tuple(classes[label] for label in explained.neighbour_labels[place].tolist()),
        )
        for place, (picture, words) in enumerate(zip(pictures, lines, strict=True))
    ]
    return ReportFigure(
        "confident-mistakes",
        partial(draw_explained, entries),
        caption,
        f"{counted(len(lines), 'test image')}. {_likeness(records)}",
    )


def _mistake_lines(records: StudyRecords, index: int) -> tuple[str, ...]:
    """Say of one test image what it was taken for, what it is, and how sure the model was."""
    probabilities, labels = records.test_probabilities, records.test_labels
    assert probabilities is not None
    assert labels is not None
    classes = records.acquire.classes
    predicted = int(probabilities[index].argmax())
    share = percent(float(probabilities[index, predicted]), 0)
    return (classes[predicted], f"is {classes[int(labels[index])]}", f"{share}, no. {index}")


def _doubt_lines(records: StudyRecords, index: int) -> tuple[str, ...]:
    """Give the two most probable classes of one test image, and its label."""
    probabilities, labels = records.test_probabilities, records.test_labels
    assert probabilities is not None
    assert labels is not None
    classes = records.acquire.classes
    row = probabilities[index]
    first, second = np.argsort(-row, kind="stable")[:2].tolist()
    return (
        f"{percent(float(row[first]), 0)} {classes[first]}",
        f"{percent(float(row[second]), 0)} {classes[second]}",
        f"is {classes[int(labels[index])]}",
    )


def _pair_titles(records: StudyRecords) -> list[tuple[str, str]]:
    """Give each confusion's two lines: the classes, and how many images."""
    images, evaluate = records.evaluated_images, records.evaluate
    assert images is not None
    assert evaluate is not None
    classes = records.acquire.classes
    return [
        (
            classes[true],
            f"taken for {classes[other]}: {count(evaluate.scores.confusion[true][other])}",
        )
        for true, other in images.pairs.tolist()
    ]


def _pair_words(records: StudyRecords) -> str:
    """Say which confusions are shown, for those who cannot see the images."""
    classes = records.acquire.classes
    images = records.evaluated_images
    assert images is not None
    return "; ".join(
        f"{in_sentence(classes[true])} taken for {in_sentence(classes[other])}"
        for true, other in images.pairs.tolist()
    )


def _calibration(calibration: CalibrationRecord, accuracy: float) -> str:
    said = words("calibration", "calibration", calibration, accuracy, honesty(calibration))
    if len(calibration.coverage) < 2:
        return f"{said} "
    half, enough = surest_half(calibration), reaching(calibration)
    return f"{said} {words('calibration', 'coverage', calibration, half, enough, WANTED_ACCURACY)}"


def _robustness(record: RobustnessRecord) -> str:
    found = (record, sensitive_to(record), borne(record), SENSITIVE_FALL)
    return words("robustness", "findings", *found)


def _likeness(records: StudyRecords) -> str:
    images, explained = records.evaluated_images, records.explained_mistakes
    probabilities, labels = records.test_probabilities, records.test_labels
    if images is None or explained is None or probabilities is None or labels is None:
        return ""
    found = likeness(images, explained, probabilities, labels)
    return words("gallery", "likeness", found) if found else ""


def figures_of_audit(records: StudyRecords) -> Iterator[ReportFigure]:
    """Give the figures of the audit, if it was run."""
    audit, images = records.audit, records.audited_images
    if audit is None or images is None:
        return
    for labels in audit.labels:
        shown = labels.issues[:SHOWN_ISSUES]
        if shown:
            split = "training" if labels.split == "train" else "test"
            captions = [Captioned(_issue_lines(records, issue)) for issue in shown]
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
    ):
        if chosen:
            yield ReportFigure(
                name,
                partial(
                    draw_duplicate_pairs,
                    images.at([pair.first for pair in chosen]),
                    images.at([pair.second for pair in chosen]),
                    [_pair_lines(records, pair) for pair in chosen],
                ),
                f"{caption} The number is how well the edges of the two agree; 1 is equal.",
                f"{counted(len(chosen), 'pair')} of images, side by side. {caption}",
            )


def _splits(pair: DuplicatePair) -> set[str]:
    return {pair.first.partition("/")[0], pair.second.partition("/")[0]}


def _issue_lines(records: StudyRecords, issue: LabelIssue) -> tuple[str, ...]:
    classes = records.acquire.classes
    return (f"{classes[issue.suggested]}?", classes[issue.given], issue.id)


def _pair_lines(records: StudyRecords, pair: DuplicatePair) -> tuple[str, ...]:
    classes = records.acquire.classes
    agreement = "equal" if pair.is_exact else score(pair.agreement, 2)
    names = dict.fromkeys((classes[pair.first_label], classes[pair.second_label]))
    mirrored = ", mirrored" if pair.is_mirrored else ""
    return f"{pair.first}, {pair.second}", " or ".join(names), f"{agreement}{mirrored}"
