"""Tune: search settings with Optuna; a killed search goes on where it stopped, mid-trial included.

Every suggested value comes from a sampler seeded by (study seed, trial, setting), so what a trial
tries depends on the trials before it, and not on how often the process was started.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from tenfold.core.errors import ImageShapeError, SettingsError, TrainingError, UnknownNameError
from tenfold.core.records.acquire import AcquireRecord
from tenfold.core.records.record import Record
from tenfold.core.records.train import EpochRecord
from tenfold.core.records.tune import ParameterValue, SearchDimension, TrialRecord, TuneRecord
from tenfold.data.dataset import ImageSplit
from tenfold.data.sample_randomness import derive_seed
from tenfold.data.split_files import read_split
from tenfold.data.splits import holdout_split
from tenfold.engine.checkpoint import Checkpoint
from tenfold.engine.training_settings import TRAINING_SEARCH_SPACE
from tenfold.fitting import NetworkPlan, fit_network, take
from tenfold.models.model import MODELS
from tenfold.recipe import StudySettings, TuneSettings
from tenfold.stages.stage import RECORD, StageContext

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_REASON = "reason"
_FEWEST_TRIALS_FOR_IMPORTANCES = 3  # with two trials every setting explains all of the difference


class ExecutionRecord(Record):
    """One training of a trial."""

    value: float
    epochs: int
    seconds: float


class TuneStage:
    """Searches on the training split alone."""

    name = "tune"
    position = 3
    version = 1
    summary = "search the settings"

    def needs(self, settings: StudySettings) -> tuple[str, ...]:
        """Give the stages that have to be complete first."""
        del settings
        return ("acquire",)

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the settings that the result depends on."""
        return {
            "tune": settings.tune.plain(),
            "model": settings.model.plain(),
            "training": settings.training.plain(),
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
        )
        search = _Search(
            context=context,
            settings=settings,
            acquired=acquired,
            space=search_space(settings),
            train=take(split, train),
            validation=take(split, validation),
        )
        with _quiet_optuna():
            record = search.run()
        record.write(context.folder / RECORD)
        best = ", ".join(f"{name}={value}" for name, value in record.best_parameters.items())
        context.progress.say(
            f"Best of {len(record.trials)} trials: validation accuracy {record.best_value:.4f} "
            f"with {best}"
        )


def search_space(settings: StudySettings) -> tuple[SearchDimension, ...]:
    """Give the dimensions to search, in order; a name stands for the model's or training's range.

    Raises
    ------
    UnknownNameError
        If a name is no range of the model or of the training.
    SettingsError
        If a range is none.
    """
    own = {
        dimension.name: dimension
        for dimension in (*MODELS[settings.model.name].search_space, *TRAINING_SEARCH_SPACE)
    }
    chosen: dict[str, SearchDimension] = {}
    for entry in settings.tune.space:
        if isinstance(entry, SearchDimension):
            chosen[entry.name] = entry
            continue
        matches = [name for name in own if name == entry or name.startswith(f"{entry}.")]
        if not matches:
            raise UnknownNameError("search range", entry, own)
        chosen |= {name: own[name] for name in matches}
    for dimension in chosen.values():
        _check(dimension)
    return tuple(chosen.values())


def _check(dimension: SearchDimension) -> None:
    """Refuse a range that is none before anything is trained."""
    low, high, step = dimension.low, dimension.high, dimension.step
    if dimension.choices is not None:
        is_range = len(dimension.choices) > 0
    else:
        is_range = (
            low is not None
            and high is not None
            and (0 < low <= high if dimension.is_log else low <= high)
            and (step is None or step > 0)
        )
    if not is_range:
        raise SettingsError(
            f"The search range {dimension.name!r} needs choices, or low and high with low <= high "
            f"(and 0 < low where is_log); a step must be above 0. Got choices={dimension.choices}, "
            f"low={low}, high={high}, step={step}, is_log={dimension.is_log}."
        )


@dataclass
class _Search:
    context: StageContext
    settings: StudySettings
    acquired: AcquireRecord
    space: tuple[SearchDimension, ...]
    train: ImageSplit
    validation: ImageSplit

    def run(self) -> TuneRecord:
        study = _open_study(self.context.work / "journal.log", self.settings.tune)
        tune = self.settings.tune
        finished = sum(trial.state.is_finished() for trial in study.trials)
        with self.context.progress.task(
            "Search", tune.trials, done=finished, unit="trials"
        ) as task:
            while finished < tune.trials:
                trial = _next_trial(study)
                self._try(study, trial)
                finished += 1
                task.advance(1, detail=_best_so_far(study))
        return self._record(study)

    def _try(self, study: optuna.Study, trial: Trial) -> None:
        try:
            values = self._suggest(study, trial)
            settings = self.settings.with_changes(values)
            accuracies = [
                self._execute(trial, execution, settings).value
                for execution in range(self.settings.tune.executions_per_trial)
            ]
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except (TrainingError, ImageShapeError, SettingsError, MemoryError) as error:
            trial.set_user_attr(_REASON, str(error) or type(error).__name__)
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, float(np.mean(accuracies)))

    def _suggest(self, study: optuna.Study, trial: Trial) -> dict[str, ParameterValue]:
        base = self.settings.flat()
        values: dict[str, ParameterValue] = {}
        for dimension in self.space:
            if dimension.only_if is not None:
                other = values.get(dimension.only_if.name, _value_at(base, dimension.only_if.name))
                if not isinstance(other, int | float) or other < dimension.only_if.at_least:
                    continue
            study.sampler = _sampler(
                self.settings.tune,
                derive_seed(self.settings.seed, "trial", trial.number, dimension.name),
            )
            values[dimension.name] = _suggest_one(trial, dimension)
        return values

    def _execute(self, trial: Trial, execution: int, settings: StudySettings) -> ExecutionRecord:
        """Train once, or read what an earlier attempt left."""
        path = self._path(trial.number, execution, "json")
        if path.is_file():
            return ExecutionRecord.read(path)
        tune = self.settings.tune
        training = settings.training.model_copy(
            update={"epochs": tune.epochs, "batch_size": tune.batch_size, "weights": "last"}
        )
        plan = NetworkPlan.parse(
            settings.model.name,
            settings.model.settings,
            image_shape=(*self.acquired.image_size_px, self.acquired.channels),
            class_count=len(self.acquired.classes),
        )
        title = f"Trial {trial.number + 1}/{tune.trials}"
        if tune.executions_per_trial > 1:
            title += f", execution {execution + 1}/{tune.executions_per_trial}"
        checkpoint = Checkpoint(self._path(trial.number, execution, "safetensors"))
        result = fit_network(
            plan,
            self.train,
            training,
            validation=self.validation,
            mirror_keeps_class=self.acquired.mirror_keeps_class,
            seed=derive_seed(self.settings.seed, "trial", trial.number, "execution", execution),
            device=self.context.device,
            checkpoint=checkpoint,
            progress=self.context.progress,
            title=title,
            on_epoch=_Pruner(trial) if execution == 0 and tune.pruner != "none" else None,
        ).result
        record = ExecutionRecord(
            value=max(epoch.validation_accuracy or 0.0 for epoch in result.history),
            epochs=len(result.history),
            seconds=result.seconds,
        )
        record.write(path)
        checkpoint.path.unlink(missing_ok=True)
        return record

    def _path(self, number: int, execution: int, suffix: str) -> Path:
        return self.context.work / f"trial_{number}_execution_{execution}.{suffix}"

    def _record(self, study: optuna.Study) -> TuneRecord:
        tune = self.settings.tune
        trials = tuple(self._trial_record(trial) for trial in study.trials)
        complete = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
        if not complete:
            reasons = sorted({trial.reason or "pruned" for trial in trials})
            raise TrainingError(
                f"None of the {len(trials)} trials of the search succeeded: {'; '.join(reasons)}. "
                "Change what is searched (tune.space) or the settings that are not."
            )
        best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))
        return TuneRecord(
            sampler=tune.sampler,
            pruner=tune.pruner,
            executions_per_trial=tune.executions_per_trial,
            epochs_per_execution=tune.epochs,
            batch_size=tune.batch_size,
            train_count=len(self.train),
            validation_count=len(self.validation),
            space=self.space,
            trials=trials,
            best_number=best.number,
            best_value=float(best.value or 0.0),
            best_parameters=best.params,
            importances=_importances(study, complete, self.settings.seed),
            seconds=sum(trial.seconds for trial in trials),
        )

    def _trial_record(self, trial: FrozenTrial) -> TrialRecord:
        executions = [
            ExecutionRecord.read(path)
            for execution in range(self.settings.tune.executions_per_trial)
            if (path := self._path(trial.number, execution, "json")).is_file()
        ]
        epochs = sum(execution.epochs for execution in executions)
        seconds = sum(execution.seconds for execution in executions)
        reason = trial.user_attrs.get(_REASON)
        if trial.state is TrialState.PRUNED:
            epochs = len(trial.intermediate_values)
            seconds = trial.duration.total_seconds() if trial.duration else 0.0
            reason = f"below the median of the earlier trials after epoch {epochs}"
        return TrialRecord(
            number=trial.number,
            state=_STATES[trial.state],
            parameters=trial.params,
            execution_values=tuple(execution.value for execution in executions),
            value=trial.value if trial.state is TrialState.COMPLETE else None,
            epochs=epochs,
            seconds=seconds,
            reason=reason,
        )


class _Pruner:
    """Reports each epoch to Optuna, once, and stops the trial when it falls behind."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._reported = set(trial.storage.get_trial(trial._trial_id).intermediate_values)

    def __call__(self, epoch: EpochRecord) -> None:
        # A resumed training tells its earlier epochs again.
        if epoch.epoch not in self._reported and epoch.validation_accuracy is not None:
            self._trial.report(epoch.validation_accuracy, epoch.epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned


def _open_study(journal: Path, tune: TuneSettings) -> optuna.Study:
    """Open the search's journal, mended if a kill left a half-written line or a lock.

    The run folder is locked by the operating system, so nobody else can be writing.
    """
    if journal.is_file():
        content = journal.read_bytes()
        journal.write_bytes(content[: content.rfind(b"\n") + 1])
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink()
    pruners: dict[str, optuna.pruners.BasePruner] = {
        "none": optuna.pruners.NopPruner(),
        "median": optuna.pruners.MedianPruner(n_startup_trials=3),
    }
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name="tune",
        direction="maximize",
        pruner=pruners[tune.pruner],
        load_if_exists=True,
    )


def _next_trial(study: optuna.Study) -> Trial:
    """Give the trial that a kill left running, or else a new one."""
    for trial in study.trials:
        if trial.state is TrialState.RUNNING:
            return Trial(study, trial._trial_id)
    return study.ask()


def _sampler(tune: TuneSettings, seed: int) -> optuna.samplers.BaseSampler:
    seed %= 2**32  # NumPy's legacy generators, which Optuna uses, take no more
    if tune.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(3, tune.trials // 4))


def _suggest_one(trial: Trial, dimension: SearchDimension) -> ParameterValue:
    if dimension.choices is not None:
        chosen = trial.suggest_categorical(dimension.name, dimension.choices)
        assert chosen is not None  # None is no choice: `SearchDimension` has none
        return chosen
    low, high, step = dimension.low, dimension.high, dimension.step
    assert low is not None  # `search_space` checked both
    assert high is not None
    if step is not None and all(float(number).is_integer() for number in (low, high, step)):
        return trial.suggest_int(dimension.name, int(low), int(high), step=int(step))
    return trial.suggest_float(
        dimension.name, low, high, step=None if dimension.is_log else step, log=dimension.is_log
    )


def _value_at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values[int(part)] if isinstance(values, list) else values.get(part, {})
    return values


def _importances(
    study: optuna.Study, complete: list[FrozenTrial], seed: int
) -> dict[str, float] | None:
    """Give each setting's share of the objective's variance (fANOVA, Hutter et al. 2014).

    Settings that only some trials have are left out: fANOVA needs one space for all.
    """
    if len(complete) < _FEWEST_TRIALS_FOR_IMPORTANCES:
        return None
    if len({trial.value for trial in complete}) == 1 or _is_same_everywhere(complete):
        return None  # nothing to explain, or nothing to explain it by
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed % 2**32)
    try:
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):  # no setting that all trials have
        return None
    finite = {name: float(share) for name, share in found.items() if np.isfinite(share)}
    return finite or None


def _is_same_everywhere(trials: list[FrozenTrial]) -> bool:
    return all(trial.params == trials[0].params for trial in trials)


def _best_so_far(study: optuna.Study) -> str:
    values = [trial.value for trial in study.trials if trial.state is TrialState.COMPLETE]
    return f"best {max(value or 0.0 for value in values):.2%}" if values else "none complete"


@contextlib.contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep Optuna's own lines and its notices about experimental parts off the screen."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


STAGE = TuneStage()
