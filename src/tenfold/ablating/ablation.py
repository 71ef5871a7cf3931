"""An ablation: a run folder with the data and, in ``ablate/``, what each ingredient brings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenfold.ablating.measuring import ablation_record
from tenfold.ablating.trainings import VALIDATION_FRACTION, AblationTrainings
from tenfold.ablating.variants import WHOLE, recipe_ablations
from tenfold.core.errors import RunFolderError
from tenfold.core.files import write_text
from tenfold.core.progress import Progress
from tenfold.core.records.ablation import Ablation, AblationRecord
from tenfold.core.run_folder import RunFolder
from tenfold.core.worker_pool import WorkerPool
from tenfold.engine.device import choose_device
from tenfold.recipe import DEFAULT_RECIPE, StudySettings, load_recipe
from tenfold.reporting.ablation_text import ablation_csv
from tenfold.searching.searched_images import SearchedImages
from tenfold.sources.finding import find_source
from tenfold.stage_running import StageRunner
from tenfold.stages.stage import STAGES, StageContext

STAGE_NAME = "ablate"
RECORD = "ablation.json"


@dataclass(frozen=True)
class AblationRequest:
    """What was asked of an ablation; None where nothing was said.

    `epochs` are those of every training, and no least number of steps is kept then. `only` names
    the ingredients that are wanted; empty for all that the recipe has.
    """

    recipe: str | None = None
    data: str | None = None
    out: Path | None = None
    seeds: int = 3
    epochs: int | None = None
    only: tuple[str, ...] = ()
    jobs: int = 1
    seed: int | None = None
    device: str = "auto"
    assignments: tuple[str, ...] = ()
    is_offline: bool = False

    def settings(self, progress: Progress) -> StudySettings:
        """Find the recipe's settings and the data."""
        settings = load_recipe(self.recipe or DEFAULT_RECIPE, self.assignments, seed=self.seed)
        source, path, sentence = find_source(self.data)
        progress.say(sentence)
        changes: dict[str, Any] = {
            "data.source": source.name,
            "data.location": None if path is None else str(path.resolve()),
        }
        if self.epochs is not None:
            changes |= {"training.epochs": self.epochs, "training.least_steps": 0}
        return settings.with_changes(changes)


def run_ablation(request: AblationRequest, progress: Progress) -> tuple[Path, AblationRecord]:
    """Do the trainings that are missing; give the folder of the results, and the results.

    Raises
    ------
    TenfoldError
        If a setting, source or path is not valid, or the run folder holds something else.
    """
    settings = request.settings(progress)
    variants = recipe_ablations(settings, request.only)
    stage = _AblateStage(variants, request.seeds)
    name = f"ablate-{settings.recipe.name}-{settings.data.source}"
    out = request.out or Path("runs") / name
    progress.say(f"Run folder: {out}")
    device = choose_device(request.device)
    with RunFolder(out) as folder:
        folder.adopt_settings(settings.flat())
        runner = StageRunner(settings, folder, progress, request.is_offline, jobs=request.jobs)
        progress.say(runner.run(STAGES["acquire"], device).sentence())
        progress.say(runner.run(stage, device).sentence())
        results = folder.stage(STAGE_NAME).path
        return results, AblationRecord.read(results / RECORD)


class _AblateStage:
    """Like a stage, but of no study: it has a folder, a manifest and a fingerprint as they have."""

    name = STAGE_NAME
    position = 0
    version = 1
    summary = "switch off one ingredient at a time"
    reads_if_complete: tuple[str, ...] = ()

    def __init__(self, variants: tuple[Ablation, ...], seeds: int) -> None:
        self.variants = variants
        self.seeds = seeds

    def needs(self, settings: StudySettings) -> tuple[str, ...]:
        """Give the stages that have to be complete first."""
        del settings
        return ("acquire",)

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the settings that the result depends on."""
        return {
            "model": settings.model.plain(),
            "training": settings.training.result_settings(),
            "seed": settings.seed,
            "seeds": self.seeds,
            "variants": [variant.model_dump(mode="json") for variant in self.variants],
        }

    def run(self, context: StageContext) -> None:
        """Do the trainings that are missing and write record, table and figure."""
        settings = context.settings
        trainings = AblationTrainings(
            settings=settings,
            variants=(WHOLE, *self.variants),
            seeds=tuple(range(settings.seed, settings.seed + self.seeds)),
            images=SearchedImages.read(
                context.inputs["acquire"],
                fraction=VALIDATION_FRACTION,
                method="stratified",
                seed=settings.seed,
            ),
            device=context.device,
            work=context.work,
            progress=context.progress,
        )
        missing = [n for n in range(trainings.count) if not trainings.is_done(n)]
        with context.progress.task(
            "Ablation", trainings.count, done=trainings.count - len(missing), unit="trainings"
        ) as task:
            if context.jobs == 1:
                for number in missing:
                    trainings.run(number)
                    task.advance()
            else:
                _run_in_processes(trainings, context, missing, task.advance)
        record = ablation_record(trainings, context.acquired().title, jobs=context.jobs)
        record.write(context.folder / RECORD)
        write_text(context.folder / "ablation.csv", ablation_csv(record))
        # matplotlib is slow to import, which the trainings should not wait for.
        from tenfold.reporting.figures.ablation import write_figure

        write_figure(record, context.folder)


def _run_in_processes(
    trainings: AblationTrainings, context: StageContext, missing: list[int], advance: Any
) -> None:
    from tenfold.ablating.worker import AblationRequest as WorkerRequest

    request = context.work / "request.json"
    threads = max(1, context.device.threads // context.jobs)
    WorkerRequest(
        settings=trainings.settings.flat(),
        variants=trainings.variants,
        seeds=trainings.seeds,
        acquire=context.inputs["acquire"],
        work=context.work,
        device=context.device.kind,
        threads=threads,
    ).write(request)
    left = iter(missing)

    def give_up(number: int, reason: str) -> None:
        variant = trainings.variants[number % len(trainings.variants)].name
        raise RunFolderError(f"Variant {variant!r} could not be trained: {reason}")

    WorkerPool(
        "tenfold.ablating.worker", request, context.jobs, threads, context.work / "workers.log"
    ).run(
        lambda: next(left, None),
        on_done=lambda _: advance(),
        on_lost=give_up,
    )
