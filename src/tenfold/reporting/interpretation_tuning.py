"""What the hyperparameter search says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tenfold.core.records.tune import SearchDimension, TrialRecord, TuneRecord
from tenfold.reporting.formats import (
    counted,
    join,
    number,
    percent,
    score,
    setting_name,
    setting_value,
)

_LABELS = {
    "model.name": "Best model",
    "model.conv_layers": "Optimal number of convolutional layers",
    "model.units": "Optimal number of units",
    "training.optimizer": "The most effective optimizer",
    "training.learning_rate": "Optimal learning rate",
    "training.batch_size": "Optimal batch size",
}


def best_settings(record: TuneRecord) -> list[tuple[str, str]]:
    """Give the best trial's settings as label and value, in the original's words."""
    return [(_label(name), setting_value(v)) for name, v in record.best_parameters.items()]


def range_text(dimension: SearchDimension) -> str:
    """Write a searched setting's range, for example ``32 to 128, step 32``."""
    if dimension.choices is not None:
        text = ", ".join(setting_value(choice) for choice in dimension.choices)
    elif dimension.low is None or dimension.high is None:
        text = "not stated"
    else:
        text = f"{number(dimension.low)} to {number(dimension.high)}"
        if dimension.step is not None:
            text += f", step {number(dimension.step)}"
        if dimension.is_log:
            text += ", on a logarithmic scale"
    if dimension.only_if is not None:
        condition = dimension.only_if
        text += f" (only if {setting_name(condition.name)} ≥ {number(condition.at_least)})"
    return text


def search_sentences(record: TuneRecord) -> list[str]:
    """Say how the search went and what it found."""
    states: list[str] = [trial.state for trial in record.trials]
    parts = [
        f"{states.count(state)} {state}"
        for state in ("complete", "pruned", "failed")
        if state in states
    ]
    sentences = [
        f"{counted(len(states), 'trial')} ran ({join(parts)}); the best is number "
        f"{record.best_number}, with a validation accuracy of {score(record.best_value, 4)}."
    ]
    completed = completed_trials(record)
    if len(completed) > 1:
        second = completed[1]
        sentences.append(
            f"The second best, number {second.number}, reached {score(second.value, 4)}."
        )
        noise = execution_spread(record)
        lead = record.best_value - (second.value or 0.0)
        if noise is not None and lead < noise:
            sentences.append(
                f"That is closer than two executions of the same settings are to each other (up to "
                f"{score(noise, 4)}), so the order of the two may be chance."
            )
    if record.importances:
        name, share = max(record.importances.items(), key=lambda item: item[1])
        sentences.append(
            f"The setting that mattered most is {setting_name(name)} ({percent(share, 0)} of the "
            "variance that the search explains)."
        )
    else:
        sentences.append("There are too few complete trials to say which settings matter.")
    return sentences


def completed_trials(record: TuneRecord) -> list[TrialRecord]:
    """Give the complete trials, the best first."""
    completed = [t for t in record.trials if t.state == "complete" and t.value is not None]
    return sorted(completed, key=lambda trial: (-(trial.value or 0.0), trial.number))


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


def searched_names(trials: Sequence[TrialRecord]) -> list[str]:
    """Give every setting that some trial names, in order of first appearance."""
    return list(dict.fromkeys(name for trial in trials for name in trial.parameters))


def _label(name: str) -> str:
    if match := re.fullmatch(r"model\.filters\.(\d+)", name):
        return f"Optimal number of filters for layer {match.group(1)}"
    return _LABELS.get(name, f"Best {setting_name(name).replace('_', ' ')}")
