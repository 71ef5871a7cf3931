"""Tune: search settings; a killed search goes on where it stopped, mid-trial included."""

from __future__ import annotations

from typing import Any

from tenfold.recipe import StudySettings
from tenfold.searching.searched_images import SearchedImages
from tenfold.searching.space import search_space
from tenfold.stages.stage import RECORD, StageContext


class TuneStage:
    """Searches on the training split alone."""

    name = "tune"
    position = 3
    version = 2
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
        tune = settings.tune
        # Optuna takes a second to import, which only a study that searches should wait for.
        from tenfold.searching.search import Search
        from tenfold.searching.time_limit import TimeLimit
        from tenfold.searching.trials import TrialRunner, trial_epochs

        images = SearchedImages.read(
            context.inputs["acquire"],
            fraction=tune.validation_fraction,
            method=tune.validation_method,
            seed=settings.seed,
        )
        # Few images are not few steps here either; pruners and the record count what is trained.
        settings = settings.with_changes({"tune.epochs": trial_epochs(settings, len(images.train))})
        runner = TrialRunner(
            settings=settings,
            space=search_space(settings),
            images=images,
            device=context.device,
            work=context.work,
            progress=context.progress,
            limit=TimeLimit(tune.budget_seconds, context.work / "time.json"),
        )
        record = Search(runner, context.inputs["acquire"], context.jobs).run()
        record.write(context.folder / RECORD)
        best = ", ".join(f"{name}={value}" for name, value in record.best_parameters.items())
        context.progress.say(
            f"Best of {len(record.trials)} trials: validation accuracy {record.best_value:.4f} "
            f"with {best}"
        )


STAGE = TuneStage()
