"""The one place that speaks Optuna: storage, sampler, pruners.

Every suggested value comes from a sampler seeded by (study seed, trial, setting), so what a trial
tries depends on the trials before it, and not on how often the process was started.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optuna
from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import FrozenTrial, Trial, TrialState

from tenfold.core.files import write_bytes
from tenfold.core.randomness import derive_seed
from tenfold.core.records.training import EpochRecord
from tenfold.core.records.tuning import ParameterValue, SearchDimension
from tenfold.study.settings import TuneSettings

_MOST_STARTUP_TRIALS = 10  # Optuna's own default
_FEWEST_TRIALS_FOR_A_MEDIAN = 3
_FEWEST_TRIALS_FOR_IMPORTANCES = 3  # with two trials every setting explains all of the difference


def open_study(journal: Path, tune: TuneSettings) -> optuna.Study:
    """Open the search's journal, which several processes may write to at a time."""
    backend = JournalFileBackend(str(journal), _JournalLock(Path(f"{journal}.lock")))
    return optuna.create_study(
        storage=JournalStorage(backend),
        study_name="tune",
        direction="maximize",
        pruner=make_pruner(tune),
        load_if_exists=True,
    )


class _JournalLock(BaseJournalFileLock):
    """Lets one process at a time append to the journal.

    Optuna's own locks are files that are there or not: one whose process was killed is broken only
    after half a minute, in which all others wait. The operating system's go with their process.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        self._lock.acquire(poll_interval=0.005)
        return True

    def release(self) -> None:
        self._lock.release()


def mend_journal(journal: Path) -> None:
    """Remove a half-written line that a kill left.

    The run folder is locked by the operating system and no worker is running yet, so nobody else
    can be writing.
    """
    if journal.is_file():
        content = journal.read_bytes()
        write_bytes(journal, content[: content.rfind(b"\n") + 1])


def find_trial(study: optuna.Study, number: int) -> Trial | None:
    """Give a trial that is not finished; None if it is."""
    trial = study.trials[number]
    return None if trial.state.is_finished() else Trial(study, trial._trial_id)


def suggest(
    study: optuna.Study,
    trial: Trial,
    dimension: SearchDimension,
    tune: TuneSettings,
    seed: int,
) -> ParameterValue:
    """Draw a trial's value of one dimension, or give the one it drew before it was killed."""
    study.sampler = _sampler(tune, derive_seed(seed, "trial", trial.number, dimension.key))
    return _suggest_value(trial, dimension)


def _sampler(tune: TuneSettings, seed: int) -> optuna.samplers.BaseSampler:
    seed %= 2**32  # NumPy's legacy generators, which Optuna uses, take no more
    if tune.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    startup = _MOST_STARTUP_TRIALS if tune.trials is None else max(3, tune.trials // 4)
    # Trials that run at the same time count as bad ones, so that others look elsewhere (constant
    # liar, Ginsbourger et al. 2010); one trial at a time has no such neighbours.
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)


def _suggest_value(trial: Trial, dimension: SearchDimension) -> ParameterValue:
    if dimension.choices is not None:
        chosen = trial.suggest_categorical(dimension.key, dimension.choices)
        assert chosen is not None  # None is no choice: `SearchDimension` has none
        return chosen
    low, high, step = dimension.low, dimension.high, dimension.step
    assert low is not None  # `search_space` checked both
    assert high is not None
    if step is not None and all(float(number).is_integer() for number in (low, high, step)):
        return trial.suggest_int(dimension.key, int(low), int(high), step=int(step))
    return trial.suggest_float(
        dimension.key, low, high, step=None if dimension.is_log else step, log=dimension.is_log
    )


class EpochPruner:
    """Reports each epoch to Optuna, once, and says whether the trial falls behind."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._reported = set(trial.storage.get_trial(trial._trial_id).intermediate_values)

    def __call__(self, epoch: EpochRecord) -> bool:
        """Say whether the trial ends with this epoch."""
        # A resumed training tells its earlier epochs again.
        if epoch.epoch not in self._reported and epoch.validation_accuracy is not None:
            self._trial.report(epoch.validation_accuracy, epoch.epoch)
            self._reported.add(epoch.epoch)
        return self._trial.should_prune()


def importances(complete: list[FrozenTrial], seed: int) -> dict[str, float] | None:
    """Give each setting's share of the objective's variance (fANOVA, Hutter et al. 2014).

    Settings that only some of the trials have are left out: fANOVA needs one space for all.
    """
    if len(complete) < _FEWEST_TRIALS_FOR_IMPORTANCES:
        return None
    first = complete[0]
    if all(trial.value == first.value for trial in complete):
        return None  # nothing to explain
    if all(trial.params == first.params for trial in complete):
        return None  # nothing to explain it by
    study = optuna.create_study(direction="maximize")
    study.add_trials(complete)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed % 2**32)
    try:
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):  # no setting that all trials have
        return None
    finite = {name: float(share) for name, share in found.items() if np.isfinite(share)}
    return finite or None


def best_so_far(study: optuna.Study) -> str:
    """Give the best value so far, for the progress bar."""
    values = [trial.value for trial in study.trials if trial.state is TrialState.COMPLETE]
    return f"best {max(value or 0.0 for value in values):.2%}" if values else "none complete"


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna's own lines and its notices about experimental parts off the screen."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


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
