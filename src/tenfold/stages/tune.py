"""Tune: search settings; a killed search goes on where it stopped, mid-trial included."""

from __future__ import annotations

from typing import Any

from tenfold.data.split_files import read_groups, read_split
from tenfold.data.splits import holdout_split
from tenfold.fitting import take
from tenfold.recipe import StudySettings
from tenfold.searching.space import search_space
from tenfold.stages.stage import RECORD, StageContext


class TuneStage:
    """Searches on the training split alone."""

    name = "tune"
    position = 3
    version = 1
    summary = "search the settings"
    reads_if_complete = ()

    def needs(self, settings: StudySettings) -> tuple[str, ...]:
        """Give the stages that have to be complete first."""
        del settings
        return ("acquire",)

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the settings that the result depends on."""
        return {
            "tune": settings.tune.plain(),
            "model": settings.model.plain(),
            "training": settings.training.result_settings(),
            "seed": settings.seed,
        }

    def run(self, context: StageContext) -> None:
        """Do the trials that are missing and write the record."""
        settings = context.settings
        acquired = context.acquired()
        split = read_split(context.inputs["acquire"], "train")
        train, validation = holdout_split(
            split.labels,
            fraction=settings.tune.validation_fraction,
            method=settings.tune.validation_method,
            seed=settings.seed,
            classes=acquired.classes,
            groups=read_groups(context.inputs["acquire"]),
        )
        # Optuna takes a second to import, which only a study that searches should wait for.
        from tenfold.searching.search import Search

        record = Search(
            settings=settings,
            space=search_space(settings),
            train=take(split, train),
            validation=take(split, validation),
            image_shape=(*acquired.image_size_px, acquired.channels),
            class_count=len(acquired.classes),
            mirror_keeps_class=acquired.mirror_keeps_class,
            device=context.device,
            work=context.work,
            progress=context.progress,
        ).run()
        record.write(context.folder / RECORD)
        best = ", ".join(f"{name}={value}" for name, value in record.best_parameters.items())
        context.progress.say(
            f"Best of {len(record.trials)} trials: validation accuracy {record.best_value:.4f} "
            f"with {best}"
        )


STAGE = TuneStage()
