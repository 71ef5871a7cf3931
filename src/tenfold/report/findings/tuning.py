"""What a search, a rate sweep and an ablation found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from tenfold.core.records.training import RateStep, RateSweepRecord
from tenfold.core.records.tuning import (
    AblatedScores,
    AblationRecord,
    ParameterValue,
    TrialRecord,
    TuneRecord,
)
from tenfold.core.text import csv_line
from tenfold.report.formats import number, on_few, percent, setting_name, setting_value
from tenfold.report.wording import rendered_text


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


def settings_text(parameters: Mapping[str, ParameterValue]) -> str:
    """Write settings on one line: ``conv_layers=2, filters_0=64, optimizer=rmsprop``."""
    return ", ".join(
        f"{setting_name(name)}={setting_value(value)}" for name, value in parameters.items()
    )


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


def rate_sweep_text(record: RateSweepRecord) -> str:
    """Give some of the steps, and the suggestion in words."""
    return rendered_text("rate_sweep.txt.j2", record=record, steps=_some_steps(record))


_SHOWN_STEPS = 16


def _some_steps(record: RateSweepRecord) -> list[RateStep]:
    """Give steps spread over the sweep, and the two that count."""
    last = len(record.steps) - 1
    places = {round(place * last / (_SHOWN_STEPS - 1)) for place in range(_SHOWN_STEPS)}
    marked = (record.lowest_rate, record.steepest_rate)
    places |= {i for i, step in enumerate(record.steps) if step.learning_rate in marked}
    return [record.steps[place] for place in sorted(places)]


def rate_sweep_csv(record: RateSweepRecord) -> str:
    """Give all steps as CSV."""
    rows = [list(RateStep.model_fields), *(step.model_dump().values() for step in record.steps)]
    return "".join(map(csv_line, rows))


def ablation_text(record: AblationRecord) -> str:
    """Give the table as Markdown, which reads well on a terminal too."""
    rows = [
        ("without", "what instead", "accuracy", "effect, points", "95% interval", "time"),
        ("–", "recipe as it is", _accuracy(record.accuracies, record), "–", "–", "1.00×"),
        *(_ablation_cells(scores, record) for scores in record.ablated),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return rendered_text("ablation.md.j2", record=record, rows=rows, widths=widths)


def _ablation_cells(scores: AblatedScores, record: AblationRecord) -> tuple[str, ...]:
    interval = scores.interval
    return (
        scores.ingredient.title,
        scores.ingredient.without,
        _accuracy(scores.accuracies, record),
        on_few(f"{100 * scores.effect:+.2f}", record.held_out),
        f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}",
        f"{scores.seconds / record.seconds:.2f}×",
    )


def _accuracy(accuracies: Sequence[float], record: AblationRecord) -> str:
    return on_few(percent(mean(accuracies), 2), record.held_out)


def ablation_csv(record: AblationRecord) -> str:
    """Give one row an ingredient with plain numbers."""
    names = [f"accuracy_seed_{seed}" for seed in record.seeds]
    rows: list[tuple[object, ...]] = [
        ("without", "effect", "interval_low", "interval_high", "seconds", *names),
        ("", "", "", "", record.seconds, *record.accuracies),
    ]
    for scores in record.ablated:
        ends = scores.interval.low, scores.interval.high
        name = scores.ingredient.name
        rows.append((name, scores.effect, *ends, scores.seconds, *scores.accuracies))
    return "".join(map(csv_line, rows))
