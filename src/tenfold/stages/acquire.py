"""Acquire: read the data set and lay both splits down in the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenfold.core.records.acquire import AcquireRecord
from tenfold.data.split_files import write_split
from tenfold.recipe import StudySettings
from tenfold.sources.source import SOURCES, SourceOptions
from tenfold.stages.stage import RECORD, StageContext


class AcquireStage:
    """Reads the source once; every later stage reads the run folder."""

    name = "acquire"
    position = 1
    version = 1
    summary = "read the data set and check it"

    def needs(self, settings: StudySettings) -> tuple[str, ...]:
        """Give nothing: this is the first stage."""
        del settings
        return ()

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the data settings and the seed of the split."""
        return {"data": settings.data.plain(), "seed": settings.seed}

    def run(self, context: StageContext) -> None:
        """Read the source and write images, labels and the record."""
        data = context.settings.data
        dataset = SOURCES[data.source].load(
            None if data.location is None else Path(data.location),
            SourceOptions(
                seed=context.settings.seed,
                test_fraction=data.test_fraction,
                image_size_px=data.image_size_px,
                is_strict=data.is_strict,
                is_offline=context.is_offline,
            ),
            context.progress,
        )
        write_split(context.folder, "train", dataset.train)
        write_split(context.folder, "test", dataset.test)
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
            train_counts=dataset.train.counts(classes),
            test_counts=dataset.test.counts(classes),
            split_note=dataset.split_note,
            mirror_keeps_class=dataset.mirror_keeps_class,
            resized=dataset.resized,
            left_out=dataset.left_out,
            notes=dataset.notes,
            train_sha256=dataset.train.sha256(),
            test_sha256=dataset.test.sha256(),
        ).write(context.folder / RECORD)


STAGE = AcquireStage()
