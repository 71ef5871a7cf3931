"""Acquire: read the data set and lay both splits down in the run folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.core.records.data import (
    AcquireRecord,
    CorrectionsRecord,
    GroupingRecord,
    SplitCorrections,
)
from tenfold.data.corrections import (
    SPLITS,
    apply_corrections,
    parse_corrections,
    stored_corrections,
)
from tenfold.data.dataset import (
    Grouping,
    Groups,
    ImageDataset,
    ImageSplit,
    kept_places,
    read_given_split,
    read_split,
    read_validation,
    write_corrected,
    write_groups,
    write_order,
    write_series,
    write_split,
    write_validation,
)
from tenfold.data.images.pillow import LARGE_IMAGE_SIZE_PX
from tenfold.data.near_duplicates import pixel_groups
from tenfold.data.pixel_file import SPOOL_SUFFIX
from tenfold.data.series import find_series
from tenfold.data.sources.source import OF_IMAGE_FILES, SOURCES
from tenfold.data.splits import joined_groups, regrouped
from tenfold.evaluation.mirroring import decide_mirroring
from tenfold.report.findings.data import mirror_sentence
from tenfold.study.recipe import StudySettings
from tenfold.study.settings import DataSettings
from tenfold.study.stages.stage import RECORD, Stage, StageContext

_FEW_PER_CLASS = 10  # With fewer validation images, one image is a jump of the accuracy.


class AcquireStage(Stage):
    """Reads the source once; every later stage reads the run folder."""

    name = "acquire"
    position = 1
    version = 4  # 4: groups of near-duplicates by a closer look
    summary = "read the data set and check it"
    needed = ()

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the data settings and the seed of the split."""
        data = settings.data.plain()
        if settings.data.corrections is not None:  # what the file is called does not matter
            data["corrections"] = settings.data.corrections.sha256
        # Only a table has columns.
        columns = ("path_column", "label_column", "split_column", "group_column")
        for said in (*columns, "group_by", "order_by"):
            if data[said] is None:
                del data[said]
        # Images without names have no series to be found.
        if data["source"] in SOURCES.declared(OF_IMAGE_FILES):
            data["series"] = 1
        # Only a study of photographs in a network of another size reads other pixels.
        large = settings.large_image_size_px
        if data["source"] in SOURCES.declared(OF_IMAGE_FILES) and data["image_size_px"] is None:
            data |= {} if large == LARGE_IMAGE_SIZE_PX else {"large_image_size_px": large}
        return {"data": data, "seed": settings.seed}

    def run(self, context: StageContext) -> None:
        """Read the source and write images, labels and the record."""
        data = context.settings.data
        for left in context.work.glob("*" + SPOOL_SUFFIX):  # by an attempt that was killed
            left.unlink()
        options = context.settings.source_options(is_offline=context.is_offline)
        dataset = SOURCES[data.source].load(
            None if data.location is None else Path(data.location),
            replace(options, work_folder=context.work, find_series=find_series),
            context.progress,
        )
        _check_rules(data, dataset)
        write_split(context.folder, "train", dataset.train)
        write_split(context.folder, "test", dataset.test)
        # From here on nobody holds what the source gave.
        given_train, given_test = (read_given_split(context.folder, name) for name in SPLITS)
        dataset = replace(dataset, train=given_train, test=given_test)
        if dataset.is_validation is not None:
            write_validation(context.folder, dataset.is_validation)
        if dataset.grouping is not None:
            write_series(context.folder, dataset.grouping.groups)
        if dataset.train_order is not None:
            write_order(context.folder, dataset.train_order)
        corrections = _correct_splits(context, dataset)
        train, test = (read_split(context.folder, name) for name in SPLITS)
        groups = pixel_groups(train.images, train.labels, context.progress)
        if dataset.train_groups is not None:
            kept = kept_places(context.folder, "train")
            given = dataset.train_groups
            groups = joined_groups(groups, given if kept is None else regrouped(given, kept))
        write_groups(context.folder, groups)
        is_validation = read_validation(context.folder)
        doubts = () if is_validation is None else tuple(_doubts(is_validation, groups, train))
        for doubt in doubts:
            context.progress.say(doubt)
        mirroring = decide_mirroring(
            train,
            dataset.classes,
            data.mirror_keeps_class,
            seed=context.settings.seed,
            groups=groups,
        )
        context.progress.say(mirror_sentence(mirroring.keeps_class, mirroring.record))
        classes = len(dataset.classes)
        height, width, channels = dataset.train.images.shape[1:]
        AcquireRecord(
            source=dataset.source,
            location=dataset.location,
            title=dataset.title,
            description=dataset.description,
            classes=dataset.classes,
            image_size_px=(height, width),
            channels=channels,
            train_counts=train.counts(classes),
            test_counts=test.counts(classes),
            split_note=dataset.split_note,
            mirror_keeps_class=mirroring.keeps_class,
            mirroring=mirroring.record,
            resized=dataset.resized,
            left_out=dataset.left_out,
            notes=(*dataset.notes, *doubts),
            train_sha256=train.sha256(),
            test_sha256=test.sha256(),
            corrections=corrections,
            validation_count=0 if is_validation is None else int(is_validation.sum()),
            value_ranges=dataset.value_ranges,
            grouping=_grouping_record(dataset.grouping),
        ).write(context.folder / RECORD)


def _check_rules(data: DataSettings, dataset: ImageDataset) -> None:
    """Check that rules were heeded: images without files have neither names nor EXIF."""
    rules = {"group-by": data.group_by, "order-by": data.order_by}
    given = [f"--{name}" for name, rule in rules.items() if rule not in (None, "none")]
    if given and data.source not in SOURCES.declared(OF_IMAGE_FILES):
        raise DataError(
            f"{' and '.join(given)} cannot be used with the source {dataset.source!r}, whose "
            "images have no names, no EXIF and no table. Leave it out, or give a folder, an "
            "archive or a table of image files."
        )


def _grouping_record(grouping: Grouping | None) -> GroupingRecord | None:
    if grouping is None:
        return None
    sizes = np.unique(grouping.groups, return_counts=True)[1]
    return GroupingRecord(
        by=grouping.by,
        is_found=grouping.is_found,
        groups=int((sizes > 1).sum()),
        images=int(sizes[sizes > 1].sum()),
        largest=int(sizes.max()),
    )


def _doubts(
    is_validation: npt.NDArray[np.bool_], groups: Groups, train: ImageSplit
) -> Iterator[str]:
    """Say what speaks against the validation images that the data set itself sets aside."""
    copies = int(np.isin(groups[is_validation], groups[~is_validation]).sum())
    if copies:
        yield (
            f"{copies:,} of the {is_validation.sum():,} validation images have a near-copy among "
            "the images that are trained on, so what is measured on them looks too good."
        )
    classes = len(np.unique(train.labels))
    if is_validation.sum() < _FEW_PER_CLASS * classes:
        yield (
            f"{is_validation.sum():,} validation images of {classes} classes are few to judge by. "
            "To have a share of the training images held out instead, move them into the training "
            "folder."
        )


def _correct_splits(context: StageContext, dataset: ImageDataset) -> CorrectionsRecord | None:
    """Lay the corrected labels beside the source's own, if the study has corrections."""
    wanted = context.settings.data.corrections
    if wanted is None:
        return None
    corrections = parse_corrections(
        stored_corrections(context.run_folder, wanted),
        wanted.file,
        train=dataset.train.labels,
        test=dataset.test.labels,
        classes=dataset.classes,
    )
    changes = {}
    for name, split in zip(SPLITS, (dataset.train, dataset.test), strict=True):
        corrected = apply_corrections(corrections, name, split.labels, dataset.classes)
        write_corrected(context.folder, name, corrected.labels, corrected.kept)
        changed = corrected.labels[corrected.kept] != split.labels[corrected.kept]
        changes[name] = SplitCorrections(
            relabelled=int(changed.sum()), dropped=len(split) - len(corrected.kept)
        )
    return CorrectionsRecord(file=wanted.file, lines=len(corrections), **changes)


STAGE = AcquireStage()
