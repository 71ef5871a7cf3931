"""Which figures a study's report has, with caption and description."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tenfold.core.records.evaluation import CrossValidateRecord, EvaluateRecord
from tenfold.core.records.training import TrainRecord
from tenfold.reporting.audit_figures import figures_of_audit
from tenfold.reporting.evaluation_figures import figures_of_failures, figures_of_scores
from tenfold.reporting.figures.class_distribution import draw_class_distribution
from tenfold.reporting.figures.fold_scores import draw_fold_scores
from tenfold.reporting.figures.image_grids import draw_augmentation, draw_samples
from tenfold.reporting.figures.reproduction_curve import draw_reproduction_curves
from tenfold.reporting.figures.search import draw_importances, draw_search_history
from tenfold.reporting.figures.search_slices import draw_slices, slice_dimensions
from tenfold.reporting.figures.training_curves import draw_training_curves
from tenfold.reporting.formats import counted, join, percent, score, setting_name
from tenfold.reporting.interpretation_data import class_balances
from tenfold.reporting.report_figure import ReportFigure
from tenfold.reporting.reproduction import curve_pairs
from tenfold.reporting.study_records import StudyRecords
from tenfold.reporting.training_course import course_of
from tenfold.reporting.wording import words


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
