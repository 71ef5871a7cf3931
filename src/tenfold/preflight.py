"""What of a study can be done with its data: asked before hours are spent on a part of it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tenfold.core.records.data import AcquireRecord
from tenfold.core.stages import training_stages
from tenfold.data.dataset import read_groups, read_labels, read_validation
from tenfold.data.folds import plan_folds
from tenfold.data.rebalancing import choose_rebalancing
from tenfold.data.splits import possible_holdout
from tenfold.evaluation.audit import cleanlab_filter
from tenfold.recipe import StudySettings
from tenfold.training.fit import check_fit


def check_study(settings: StudySettings, acquired: Path, stages: Collection[str]) -> list[str]:
    """Check that the stages of a study can begin with its data.

    Parameters
    ----------
    settings
        The study's.
    acquired
        Folder of the acquire stage, complete or about to be.
    stages
        Names of those that are to run.

    Returns
    -------
    list of str
        What will be otherwise than asked, for people.

    Raises
    ------
    TenfoldError
        If the network cannot be built for these images, or cannot be trained with these settings,
        or a package that a stage needs is not installed.
    """
    record = AcquireRecord.read(acquired / "record.json")
    notes: list[str] = []
    if "audit" in stages and settings.audit.label_method == "cleanlab":
        cleanlab_filter()
    if not set(stages) & set(training_stages()):
        return notes
    labels, training = read_labels(acquired, "train"), settings.training
    _, held_out, note = possible_holdout(
        labels,
        fraction=training.validation_fraction,
        method=training.validation_method,
        seed=settings.seed,
        classes=record.classes,
        groups=read_groups(acquired),
        given=read_validation(acquired),
    )
    if note is not None:
        notes.append(note)
        training = training if len(held_out) else training.without_validation()
    check_fit(
        settings.network_plan(record.image_shape, len(record.classes)),
        training,
        has_validation=len(held_out) > 0,
        mirror_keeps_class=record.mirror_keeps_class,
    )
    choose_rebalancing(training.rebalance, record.train_counts, record.classes)
    if "cross-validate" in stages:
        folds = settings.cross_validate.folds
        notes += plan_folds(labels, folds, classes=record.classes).notes
    return notes
