"""Pruners by epochs that keep no state: the same answer however often the process was started."""

from __future__ import annotations

import math

import optuna
from optuna.trial import FrozenTrial

from tenfold.recipe import TuneSettings

_FEWEST_TRIALS_FOR_A_MEDIAN = 3


def make_pruner(tune: TuneSettings) -> optuna.pruners.BasePruner:
    """Give the pruner that the settings name."""
    match tune.pruner:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=_FEWEST_TRIALS_FOR_A_MEDIAN)
        case "halving":
            return BracketPruner((0,), tune.reduction_factor, tune.epochs)
        case "hyperband":
            cycle = hyperband_brackets(tune.epochs, tune.reduction_factor)
            return BracketPruner(cycle, tune.reduction_factor, tune.epochs)
        case _:
            return optuna.pruners.NopPruner()


def hyperband_brackets(epochs: int, factor: int) -> tuple[int, ...]:
    """Give one cycle of Hyperband's trials: the bracket of each, as its first rung's power.

    Bracket k halves first after factor**k epochs; the one that never halves is the last. It has
    as many trials as Hyperband gives it (Li et al. 2018, arXiv 1603.06560, algorithm 1). They
    take turns, so that a search that ends amid a cycle had its share of every bracket.

    Parameters
    ----------
    epochs
        Most epochs of a trial.
    factor
        Hyperband's eta.
    """
    most = 0
    while factor ** (most + 1) <= epochs:
        most += 1
    counts = [
        math.ceil((most + 1) / (most - first + 1) * factor ** (most - first))
        for first in range(most + 1)
    ]
    total, given = sum(counts), [0] * len(counts)
    cycle = []
    for place in range(1, total + 1):
        # The bracket that lags furthest behind its share.
        bracket = max(range(len(counts)), key=lambda k: place * counts[k] / total - given[k])
        given[bracket] += 1
        cycle.append(bracket)
    return tuple(cycle)


class BracketPruner(optuna.pruners.BasePruner):
    """Successive halving, in one bracket or several.

    After ``factor**(k + i)`` epochs (rung i of bracket k) a trial goes on only if it is among the
    best ``1 / factor`` of the bracket's trials that came so far (Jamieson and Talwalkar 2016, arXiv
    1502.07943; asynchronous, as trials come one after the other: Li et al. 2020, arXiv 1810.05934).
    Optuna's pruner of that kind keeps in the journal which rungs a trial has passed, before it says
    whether: a kill between the two would let a trial go on that had lost.

    Parameters
    ----------
    cycle
        The bracket of each trial, in turn.
    factor
        Of a rung to the next.
    epochs
        Of a whole trial: one that came so far is complete.
    """

    def __init__(self, cycle: tuple[int, ...], factor: int, epochs: int) -> None:
        self._cycle = cycle
        self._factor = factor
        self._epochs = epochs

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Say whether the trial ends after the epoch that it reported last."""
        epoch = trial.last_step
        bracket = self._bracket(trial.number)
        if epoch is None or epoch >= self._epochs or not self._is_rung(epoch, bracket):
            return False
        value: float = trial.intermediate_values[epoch]
        if math.isnan(value):
            return True
        rivals: list[float] = [
            other.intermediate_values[epoch]
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number
            and self._bracket(other.number) == bracket
            and epoch in other.intermediate_values
        ]
        # With fewer than `factor` trials the best so far goes on.
        promoted = max((len(rivals) + 1) // self._factor, 1)
        return sum(rival > value for rival in rivals) >= promoted

    def _bracket(self, number: int) -> int:
        return self._cycle[number % len(self._cycle)]

    def _is_rung(self, epoch: int, bracket: int) -> bool:
        rung = int(self._factor**bracket)
        while rung < epoch:
            rung *= self._factor
        return rung == epoch
