"""Pruners, and the journal that several processes write."""

from __future__ import annotations

import itertools

import optuna
import pytest
from optuna.trial import TrialState

from tenfold.study.search.optuna_study import hyperband_brackets, make_pruner
from tenfold.study.settings import TuneSettings


def run_trials(
    tune: TuneSettings, values: list[float], *, asks_again: bool = False
) -> list[tuple[str, int]]:
    """Run trials of constant accuracy; give each one's state and epochs."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", pruner=make_pruner(tune))
    ends = []
    for value in values:
        trial = study.ask()
        for epoch in range(1, tune.epochs + 1):
            trial.report(value, epoch)
            answers = {trial.should_prune() for _ in range(2 if asks_again else 1)}
            assert len(answers) == 1
            if answers.pop():
                study.tell(trial, state=TrialState.PRUNED)
                ends.append(("pruned", epoch))
                break
        else:
            study.tell(trial, value)
            ends.append(("complete", tune.epochs))
    return ends


class TestHalving:
    tune = TuneSettings(pruner="halving", reduction_factor=3, epochs=9)

    def test_worse_than_the_best_third_ends_at_the_first_rung(self) -> None:
        ends = run_trials(self.tune, [0.5, 0.4, 0.3, 0.6, 0.2])
        assert ends == [("complete", 9), *[("pruned", 1)] * 2, ("complete", 9), ("pruned", 1)]

    def test_the_second_of_six_goes_on_to_the_second_rung(self) -> None:
        ends = run_trials(self.tune, [0.9, 0.1, 0.1, 0.1, 0.1, 0.8])
        # At rung 1 two of six go on; at rung 3 it has met only the best.
        assert ends[-1] == ("pruned", 3)

    def test_the_last_epoch_is_no_rung(self) -> None:
        tune = self.tune.model_copy(update={"epochs": 1})
        assert run_trials(tune, [0.5, 0.4, 0.3]) == [("complete", 1)] * 3

    def test_it_says_the_same_when_it_is_asked_again(self) -> None:
        """A process that was killed between the answer and its record asks again."""
        values = [0.5, 0.4, 0.6, 0.1, 0.55, 0.7, 0.2]
        assert run_trials(self.tune, values, asks_again=True) == run_trials(self.tune, values)

    def test_not_a_number_ends(self) -> None:
        assert run_trials(self.tune, [0.5, float("nan")])[1] == ("pruned", 1)


class TestHyperband:
    @pytest.mark.parametrize(
        ("epochs", "factor", "counts"),
        [
            (81, 3, [81, 34, 15, 8, 5]),  # table 1 of the paper
            (9, 3, [9, 5, 3]),
            (4, 2, [4, 3, 3]),
            (1, 3, [1]),
        ],
    )
    def test_each_bracket_has_the_paper_s_number_of_trials(
        self, epochs: int, factor: int, counts: list[int]
    ) -> None:
        cycle = hyperband_brackets(epochs, factor)
        assert [cycle.count(bracket) for bracket in range(len(counts))] == counts

    def test_they_take_turns(self) -> None:
        cycle = hyperband_brackets(81, 3)
        shares = [cycle.count(bracket) / len(cycle) for bracket in range(5)]
        for length, bracket in itertools.product(range(1, len(cycle)), range(5)):
            assert abs(cycle[:length].count(bracket) - length * shares[bracket]) <= 2

    def test_the_bracket_without_rungs_never_prunes(self) -> None:
        tune = TuneSettings(pruner="hyperband", reduction_factor=3, epochs=9)
        cycle = hyperband_brackets(9, 3)
        ends = run_trials(tune, [1 - place / 100 for place in range(len(cycle))])
        for bracket, (state, epochs) in zip(cycle, ends, strict=True):
            if bracket == 2:
                assert state == "complete"
            elif state == "pruned":
                assert epochs in {3**power for power in range(bracket, 2)}
        assert any(state == "pruned" for state, _ in ends)


def test_none_never_prunes() -> None:
    assert run_trials(TuneSettings(pruner="none", epochs=2), [0.5, 0.1]) == [("complete", 2)] * 2
