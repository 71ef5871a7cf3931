"""Which figures a study's report has, and what each says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tenfold.core.records.evaluation import CalibrationRecord
from tenfold.core.text import counted
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
from tenfold.report.figures.search import (
    draw_importances,
    draw_search_history,
    draw_slices,
    slice_dimensions,
)
from tenfold.report.findings.data import class_balances, size_effect
from tenfold.report.findings.evaluation import confused_pairs
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
from tenfold.report.formats import join, on_few, percent, score, setting_name
from tenfold.report.galleries import (
    figures_of_audit,
    figures_of_failures,
    figures_of_training_images,
)
from tenfold.report.records import StudyRecords
from tenfold.report.reproduction import curve_pairs
from tenfold.report.wording import words


def report_figures(records: StudyRecords) -> dict[str, ReportFigure]:
    """Give the figures that the complete stages allow, by name, in the page's order."""
    groups = (
        _of_data,
        figures_of_training_images,
        _of_search,
        _of_training,
        _of_scores,
        figures_of_failures,
        _of_robustness,
        _of_folds,
        figures_of_audit,
        _of_reproduction,
    )
    return {figure.name: figure for group in groups for figure in group(records)}


def _of_data(records: StudyRecords) -> Iterator[ReportFigure]:
    acquire = records.acquire
    yield ReportFigure(
        "class-distribution",
        partial(draw_class_distribution, acquire),
        "Images of each class in the training and the test split.",
        "Bar chart of the number of images of each class. "
        + " ".join(words("data", "balance", balance) for balance in class_balances(acquire)),
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
        f"{tune.best_number}, reaches {on_few(score(tune.best_value, 4), tune.validation_count)}.",
    )
    if tune.importances:
        yield ReportFigure(
            "importances",
            partial(draw_importances, tune.importances),
            "How much each setting explains of the differences between trials (fANOVA).",
            f"Bar chart of the settings' importances: {_shares(tune.importances)}.",
        )
    if tune.model_importances:
        model = tune.best_parameters.get("model.name", "")
        yield ReportFigure(
            "model-importances",
            partial(draw_importances, tune.model_importances),
            f"The same among the trials of model “{model}” alone, with its own settings.",
            f"Bar chart of the importances of {model}'s settings: "
            f"{_shares(tune.model_importances)}.",
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


def _shares(importances: dict[str, float]) -> str:
    return join(f"{setting_name(name)} {percent(v, 0)}" for name, v in importances.items())


def _of_training(records: StudyRecords) -> Iterator[ReportFigure]:
    train = records.train
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


def _of_scores(records: StudyRecords) -> Iterator[ReportFigure]:
    acquire, evaluate = records.acquire, records.evaluate
    if evaluate is None:
        return
    scores, calibration = evaluate.scores, evaluate.calibration
    pairs = join(
        f"{pair.true_name} taken for {pair.predicted_name} ({pair.images})"
        for pair in confused_pairs(scores, 3)
    )
    yield ReportFigure(
        "confusion-matrix",
        partial(draw_confusion_matrix, scores),
        "Confusion matrix of the test images. The stronger the colour, the larger the share of "
        "the true class (of the row).",
        "Confusion matrix. " + (f"Most frequent: {pairs}." if pairs else "There are no errors."),
    )
    yield ReportFigure(
        "class-scores",
        partial(draw_class_scores, evaluate),
        "Precision, recall and F1 of each class on the test images, with 95% intervals.",
        f"Three marks for each class; macro F1 is {score(scores.macro_f1)}. The table of class "
        "scores has the numbers.",
    )
    if is_imbalanced(acquire):
        yield ReportFigure(
            "recall-by-size",
            partial(draw_recall_by_size, acquire, evaluate),
            "Recall of each class with its 95% interval; the classes and their numbers of "
            "training images, the largest on top.",
            "Dot plot. " + words("imbalance", "size_effect", size_effect(evaluate, acquire)),
        )
    yield ReportFigure(
        "calibration",
        partial(draw_calibration, calibration),
        "Left: accuracy of images with about the same probability, with 95% intervals "
        f"({counted(len(calibration.after.bins), 'bin')} of equally many images); on the "
        "dashed line probabilities are what they say. Right: accuracy on the share of the "
        "images that the model is surest of.",
        f"Line charts. {_calibration(calibration, scores.accuracy)}",
    )


def _calibration(calibration: CalibrationRecord, accuracy: float) -> str:
    said = words("calibration", "calibration", calibration, accuracy, honesty(calibration))
    if len(calibration.coverage) < 2:
        return f"{said} "
    half, enough = surest_half(calibration), reaching(calibration)
    return f"{said} {words('calibration', 'coverage', calibration, half, enough, WANTED_ACCURACY)}"


def _of_robustness(records: StudyRecords) -> Iterator[ReportFigure]:
    record = records.evaluate.robustness if records.evaluate else None
    if record is not None:
        found = record, sensitive_to(record), borne(record), SENSITIVE_FALL
        yield ReportFigure(
            "robustness",
            partial(draw_robustness, record),
            "Accuracy on disturbed test images at five strengths.",
            f"Line charts, one a disturbance. {words('robustness', 'findings', *found)}",
        )


def _of_folds(records: StudyRecords) -> Iterator[ReportFigure]:
    folds = records.cross_validate
    if folds is not None and folds.protocols:
        means = join(f"{p.name} {score(p.means['accuracy'])}" for p in folds.protocols)
        yield ReportFigure(
            "fold-scores",
            partial(draw_fold_scores, folds, records.evaluate),
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
