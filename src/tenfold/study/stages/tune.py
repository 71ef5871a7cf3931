"""Tune: search settings; a killed search goes on where it stopped, mid-trial included."""

from __future__ import annotations

from typing import Any

from tenfold.core.records.tuning import TuneRecord
from tenfold.study.recipe import StudySettings
from tenfold.study.search.space import SearchedImages
from tenfold.study.stages.stage import RECORD, Stage, StageContext


class TuneStage(Stage):
    """Searches on the training split alone."""

    name = "tune"
    position = 3
    version = 2
    summary = "search the settings"
    is_training = True

    def is_enabled(self, settings: StudySettings) -> bool:
        """Say whether the settings ask for it."""
        return settings.tune.is_enabled

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the settings of the search, and what they are searched around."""
        return {"tune": settings.tune.plain(), **settings.result_settings()}

    def run(self, context: StageContext) -> None:
        """Do the trials that are missing and write the record."""
        settings = context.settings
        tune = settings.tune
        # Optuna takes a second to import, which only a study that searches should wait for.
        from tenfold.study.search.search import Search
        from tenfold.study.search.trials import TimeLimit, trial_epochs

        images = SearchedImages.read(context.inputs["acquire"], settings)
        if not len(images.validation):
            _write_skipped(context, images)
            return
        # Few images are not few steps here either; pruners and the record count what is trained.
        settings = settings.with_changes({"tune.epochs": trial_epochs(settings, len(images.train))})
        record = Search(
            settings=settings,
            acquire=context.inputs["acquire"],
            images=images,
            device=context.device,
            work=context.work,
            progress=context.progress,
            limit=TimeLimit(tune.budget_seconds, context.work / "time.json"),
            place=context.place,
        ).run()
        record.write(context.folder / RECORD)
        best = ", ".join(f"{name}={value}" for name, value in record.best_parameters.items())
        context.progress.say(
            f"Best of {len(record.trials)} trials: validation accuracy {record.best_value:.4f} "
            f"with {best}"
        )


def _write_skipped(context: StageContext, images: SearchedImages) -> None:
    """Record that the study's own settings are taken, as nothing can tell which are better."""
    tune = context.settings.tune
    reason = (
        "The search was left out: every class has one training image, so none can be held out to "
        "choose by. The recipe's own settings are taken."
    )
    TuneRecord(
        sampler=tune.sampler,
        pruner=tune.pruner,
        executions_per_trial=tune.executions_per_trial,
        epochs_per_execution=tune.epochs,
        batch_size=tune.batch_size,
        train_count=len(images.train),
        validation_count=0,
        space=(),
        trials=(),
        best_number=0,
        best_value=0.0,
        best_parameters={},
        importances=None,
        seconds=0.0,
        skipped=reason,
    ).write(context.folder / RECORD)
    context.progress.say(reason)


STAGE = TuneStage()
