"""What a search found, from its journal."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tenfold.core.errors import TrainingError
from tenfold.core.records.tuning import ParameterValue, TrialRecord, TuneRecord
from tenfold.recipe import StudySettings
from tenfold.searching.optuna_study import importances
from tenfold.searching.space import MODEL_NAME
from tenfold.searching.trials import REASON, TrialRunner

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_PRUNING_REASONS = {
    "median": "below the median of the earlier trials",
    "halving": "not among the best of those that came so far",
    "hyperband": "not among the best of its bracket that came so far",
}


def search_record(study: optuna.Study, runner: TrialRunner, *, jobs: int) -> TuneRecord:
    """Give all trials, the best, and which settings mattered.

    Raises
    ------
    TrainingError
        If no trial succeeded.
    """
    settings = runner.settings
    tune = settings.tune
    trials = tuple(_trial_record(trial, runner) for trial in study.trials)
    complete = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    if not complete:
        reasons = sorted({trial.reason or "pruned" for trial in trials})
        raise TrainingError(
            f"None of the {len(trials)} trials of the search succeeded: {'; '.join(reasons)}. "
            "Change what is searched (tune.space) or the settings that are not."
        )
    best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))
    best_parameters = _parameters(best, runner)
    alike = [trial for trial in complete if trial.params.get(MODEL_NAME) == _model(best)]
    has_models = len(set(tune.models)) > 1
    return TuneRecord(
        sampler=tune.sampler,
        pruner=tune.pruner,
        executions_per_trial=tune.executions_per_trial,
        epochs_per_execution=tune.epochs,
        batch_size=tune.batch_size,
        train_count=len(runner.images.train),
        validation_count=len(runner.images.validation),
        space=runner.space,
        trials=trials,
        best_number=best.number,
        best_value=float(best.value or 0.0),
        best_parameters=best_parameters,
        importances=_by_name(importances(complete, settings.seed)),
        seconds=sum(trial.seconds for trial in trials),
        models=tune.models,
        model_importances=_by_name(importances(alike, settings.seed)) if has_models else None,
        best_assignments=assignments(settings, best_parameters),
        budget_seconds=tune.budget_seconds,
        jobs=jobs,
    )


def assignments(settings: StudySettings, parameters: dict[str, ParameterValue]) -> dict[str, Any]:
    """Give what turns a study's settings into those of a trial: whole values by dotted name.

    A searched place of a list (``model.widths.1``) stands as the whole list, and settings of the
    training that follow from the model stand too.
    """
    trial = settings.with_changes(parameters).flat()
    before = settings.flat()["training"]
    names = dict.fromkeys(".".join(name.split(".")[:2]) for name in parameters)
    names |= {
        f"training.{name}": None
        for name, value in trial["training"].items()
        if before[name] != value
    }
    return {name: trial[(path := name.split("."))[0]][path[1]] for name in names}


def _model(trial: FrozenTrial) -> Any:
    return trial.params.get(MODEL_NAME)


def _by_name(shares: dict[str, float] | None) -> dict[str, float] | None:
    """Give settings by their own names: a model's dimensions carry its name in the journal."""
    if shares is None:
        return None
    return {key.rpartition(":")[2]: share for key, share in shares.items()}


def _parameters(trial: FrozenTrial, runner: TrialRunner) -> dict[str, ParameterValue]:
    params = trial.params
    return {one.name: params[one.key] for one in runner.space if one.key in params}


def _trial_record(trial: FrozenTrial, runner: TrialRunner) -> TrialRecord:
    executions = runner.executions(trial.number)
    epochs = sum(execution.epochs for execution in executions)
    seconds = sum(execution.seconds for execution in executions)
    reason, last_value = trial.user_attrs.get(REASON), None
    if trial.state is TrialState.PRUNED:
        epochs = len(trial.intermediate_values)
        seconds = trial.duration.total_seconds() if trial.duration else 0.0
        why = _PRUNING_REASONS.get(runner.settings.tune.pruner, "stopped")
        reason = f"{why} after epoch {epochs}"
        last_value = trial.intermediate_values.get(trial.last_step or 0)
    return TrialRecord(
        number=trial.number,
        state=_STATES[trial.state],
        parameters=_parameters(trial, runner),
        execution_values=tuple(execution.value for execution in executions),
        value=trial.value if trial.state is TrialState.COMPLETE else None,
        epochs=epochs,
        seconds=seconds,
        reason=reason,
        last_value=last_value,
    )
