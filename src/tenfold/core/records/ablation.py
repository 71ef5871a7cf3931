"""Ingredients of a recipe, and what each was found to be worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from tenfold.core.records.interval import Interval
from tenfold.core.records.record import Record


class Ablation(Record):
    """An ingredient and the settings that switch it off."""

    name: str
    """Short, for the command line: ``label-smoothing``."""
    title: str
    """For people."""
    changes: dict[str, Any]
    """The settings without it, by dotted name."""
    only_if: dict[str, Any] = Field(default_factory=dict)
    """Where the ingredient is there only with these settings; empty: wherever `changes` differ."""

    def is_present(self, values: Mapping[str, Any]) -> bool:
        """Say whether settings have the ingredient.

        Parameters
        ----------
        values
            Nested plain data, as of `StudySettings.flat`.
        """
        if any(_value_at(values, name) != value for name, value in self.only_if.items()):
            return False
        return any(_value_at(values, name) != value for name, value in self.changes.items())


def _value_at(values: Mapping[str, Any], name: str) -> Any:
    table, _, setting = name.partition(".")
    return values.get(table, {}).get(setting)


class AblatedVariant(Record):
    """The recipe with one ingredient off, or the whole of it."""

    name: str
    title: str
    changes: dict[str, Any]
    accuracies: tuple[float, ...]
    """Validation accuracy with each seed."""
    accuracy: float
    """Their mean."""
    seconds: float
    """Mean time of a training."""
    difference: float | None = None
    """Accuracy of the whole recipe less that without the ingredient: what it brings. None for the
    whole recipe."""
    interval: Interval | None = None
    """Of the difference: 95%, paired bootstrap over the validation images, of the seeds' mean."""
    differences: tuple[float, ...] = ()
    """With each seed."""
    seed_interval: Interval | None = None
    """Of the mean difference over endless seeds, 95% (Student); None with one seed."""


class AblationRecord(Record):
    """What each ingredient of a recipe brings."""

    recipe: str
    data: str
    model: str
    seeds: tuple[int, ...]
    epochs: int
    train_count: int
    validation_count: int
    whole: AblatedVariant
    variants: tuple[AblatedVariant, ...]
    """The ingredient that brings most first."""
    device: str
    threads: int
    jobs: int
    sentences: tuple[str, ...]
    """What follows, for people."""
