"""What the hyperparameter search found, as facts."""

from __future__ import annotations

from tenfold.core.records.tuning import TrialRecord, TuneRecord
from tenfold.reporting.formats import number, setting_name


def completed_trials(record: TuneRecord) -> list[TrialRecord]:
    """Give the complete trials, the best first."""
    completed = [t for t in record.trials if t.state == "complete" and t.value is not None]
    return sorted(completed, key=lambda trial: (-(trial.value or 0.0), trial.number))


def trial_states(record: TuneRecord) -> list[str]:
    """Count the trials of each state that occurs, for example ``5 complete``, ``1 failed``."""
    states: list[str] = [trial.state for trial in record.trials]
    return [f"{states.count(s)} {s}" for s in ("complete", "pruned", "failed") if s in states]


def searched_names(record: TuneRecord) -> list[str]:
    """Give every setting that some trial names, in order of first appearance."""
    return list(dict.fromkeys(name for trial in record.trials for name in trial.parameters))


def execution_spread(record: TuneRecord) -> float | None:
    """Give the largest difference between executions of one trial; None if all ran once."""
    spreads = [
        max(trial.execution_values) - min(trial.execution_values)
        for trial in completed_trials(record)
        if len(trial.execution_values) > 1
    ]
    return max(spreads, default=None)


def settings_at_their_edge(record: TuneRecord) -> list[str]:
    """Name the best trial's settings that lie at the upper end of their range."""
    edges = []
    model = record.best_parameters.get("model.name")
    for dimension in record.space:
        if dimension.model not in {None, model}:
            continue
        value = record.best_parameters.get(dimension.name)
        if (
            dimension.high is not None
            and isinstance(value, int | float)
            and not isinstance(value, bool)
            and value >= dimension.high
        ):
            edges.append(f"{setting_name(dimension.name)} = {number(value)}")
    return edges
