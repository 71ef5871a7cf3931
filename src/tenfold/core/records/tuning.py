"""What a search tried and what an ablation took away."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tenfold.core.record import Interval, Record

ParameterValue = int | float | str | bool


class Condition(Record):
    """A dimension is searched only where another one has at least this value."""

    name: str
    at_least: float


class SearchDimension(Record):
    """One searched setting and its range."""

    name: str
    """Dotted name of the setting, for example ``model.units``."""
    low: float | None = None
    high: float | None = None
    step: float | None = None
    is_log: bool = False
    choices: tuple[ParameterValue, ...] | None = None
    only_if: Condition | None = None
    model: str | None = None
    """The model that it belongs to, in a search over several; None for every model."""

    @property
    def key(self) -> str:
        """Give the name in the search's journal: models may have settings of one name."""
        return self.name if self.model is None else f"{self.model}:{self.name}"


class TrialRecord(Record):
    """One set of values and how well it did."""

    number: int
    state: Literal["complete", "pruned", "failed"]
    parameters: dict[str, ParameterValue]
    execution_values: tuple[float, ...]
    """Best validation accuracy of each execution."""
    value: float | None
    """Mean of the executions: the objective."""
    epochs: int
    """Epochs trained, all executions together."""
    seconds: float
    reason: str | None = None
    """Why it failed or was pruned."""
    last_value: float | None = None
    """Of a pruned trial: validation accuracy after its last epoch."""


class TuneRecord(Record):
    """The search: trials in order, the best one, and which settings mattered."""

    sampler: str
    pruner: str
    executions_per_trial: int
    epochs_per_execution: int
    batch_size: int
    train_count: int
    validation_count: int
    space: tuple[SearchDimension, ...]
    trials: tuple[TrialRecord, ...]
    best_number: int
    best_value: float
    best_parameters: dict[str, ParameterValue]
    importances: dict[str, float] | None
    """Share of each setting in the objective's variance (fANOVA), largest first; None when there
    are too few complete trials to say."""
    seconds: float
    """Of all trials added up."""
    models: tuple[str, ...] = ()
    """The models that were searched over; empty for the study's own."""
    model_importances: dict[str, float] | None = None
    """As `importances`, among the trials of the best trial's model alone, its own settings
    included; None without several models or with too few trials of it."""
    best_assignments: dict[str, Any] = Field(default_factory=dict)
    """The best trial's settings that are not the study's, whole values by dotted name: what
    ``--set`` and a recipe take."""
    budget_seconds: float | None = None
    """Time after which no further trial was begun; None without such a limit."""
    jobs: int = 1
    """Processes at the end of the search."""
    skipped: str | None = None
    """Why nothing was searched; None if something was."""


class Ingredient(Record):
    """One ingredient of a training or a network, and how to do without it.

    Models and the training declare theirs beside their settings.
    """

    name: str
    """For ``--only`` and file names: words joined by hyphens."""
    title: str
    """For people, for example ``Label smoothing``."""
    without: str
    """What takes its place, for example ``one-hot targets``."""
    changes: dict[str, Any]
    """Settings that switch it off, by dotted name."""
    only_with: dict[str, Any] = Field(default_factory=dict)
    """Training settings that have it, by name, where being without it is not their only other
    value."""


class AblatedScores(Record):
    """The trainings without one ingredient, beside those with all."""

    ingredient: Ingredient
    accuracies: tuple[float, ...]
    """On the held-out images, one a seed."""
    seconds: float
    """Median of the trainings."""
    effect: float
    """Mean accuracy with the ingredient minus without it, over the same seeds and images."""
    interval: Interval
    """95%, of the effect: see `tenfold.evaluation.differences.crossed_interval`."""


class AblationRecord(Record):
    """What ``tenfold ablate`` found."""

    recipe: str
    data: str
    held_out: int
    """Images that no training saw: a part of the training split, the same for all."""
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    """Of the recipe as it is, one a seed."""
    seconds: float
    """Median of its trainings."""
    device: str
    precision: str
    jobs: int
    versions: dict[str, str]
    ablated: tuple[AblatedScores, ...]
    """The ingredient that is worth most first."""
