"""A search from its settings to its record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tenfold.core.errors import SettingsError, TrainingError
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.records.tuning import TuneRecord
from tenfold.study.recipe import load_recipe
from tenfold.study.search import trials as searching

RunStage = Callable[..., Path]
UNITS = {"name": "model.units", "low": 2, "high": 64, "step": 2}
RATE = {"name": "training.learning_rate", "low": 1e-4, "high": 1e-1, "is_log": True}


@pytest.fixture
def search(run_stage: RunStage, tmp_path: Path) -> Callable[..., TuneRecord]:
    """Give a function that runs a search, in the folder `name`, and reads its record."""

    def run(changes: Mapping[str, Any], name: str = "run") -> TuneRecord:
        return TuneRecord.read(run_stage("tune", changes, out=tmp_path / name) / "record.json")

    return run


Search = Callable[..., TuneRecord]


def tried(record: TuneRecord) -> list[Any]:
    return [
        (trial.number, trial.state, trial.parameters, trial.execution_values, trial.value)
        for trial in record.trials
    ]


class _Killed(BaseException):
    """Stands for a kill: nothing in the stage may catch it."""


@pytest.fixture
def kill_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Give a function that makes the n-th training from now on be killed at its end."""
    fit = searching.fit_network

    def arm(number: int) -> None:
        calls = iter(range(1, 1000))

        def fit_or_die(*args: Any, **rest: Any) -> Any:
            result = fit(*args, **rest)
            if next(calls) == number:
                raise _Killed
            return result

        monkeypatch.setattr(searching, "fit_network", fit_or_die)

    return arm


class TestSearch:
    def test_records_every_trial_and_the_best(self, search: Search, tmp_path: Path) -> None:
        record = search({"tune.trials": 4, "tune.executions_per_trial": 2, "tune.epochs": 2})
        assert [trial.number for trial in record.trials] == [0, 1, 2, 3]
        for trial in record.trials:
            assert trial.state == "complete"
            assert len(trial.execution_values) == 2
            assert trial.value == pytest.approx(sum(trial.execution_values) / 2)
            assert trial.epochs == 4
            assert trial.reason is None
        assert record.epochs_per_execution == 2
        best = max(record.trials, key=lambda trial: (trial.value or 0, -trial.number))
        assert record.best_number == best.number
        assert record.best_value == best.value
        assert record.best_parameters == best.parameters
        # The test images are not the search's; of the others it trains on nine tenths.
        acquired = AcquireRecord.read(tmp_path / "run" / "acquire" / "record.json")
        assert record.train_count + record.validation_count == sum(acquired.train_counts)

    def test_the_least_number_of_steps_holds_for_trials_too(self, search: Search) -> None:
        changes = {"tune.trials": 1, "tune.epochs": 1, "tune.batch_size": 1000}
        record = search({**changes, "training.least_steps": 3})
        assert record.epochs_per_execution == 3
        assert [trial.epochs for trial in record.trials] == [3]

    def test_values_lie_in_their_ranges(self, search: Search) -> None:
        record = search(
            {
                "tune.trials": 6,
                "tune.sampler": "random",
                "tune.space": [
                    UNITS,
                    RATE,
                    {"name": "training.label_smoothing", "low": 0.0, "high": 0.2, "step": 0.05},
                    "training.optimizer",
                ],
            }
        )
        for trial in record.trials:
            values = trial.parameters
            assert isinstance(values["model.units"], int)
            assert 2 <= values["model.units"] <= 64
            assert values["model.units"] % 2 == 0
            assert 1e-4 <= float(values["training.learning_rate"]) <= 1e-1
            assert round(float(values["training.label_smoothing"]) / 0.05, 9) % 1 == 0
            assert values["training.optimizer"] in {"adam", "rmsprop", "sgd"}
        assert len({str(trial.parameters) for trial in record.trials}) == 6

    @pytest.mark.parametrize("sampler", ["random", "tpe"])
    def test_the_seed_decides_the_values(self, search: Search, sampler: str) -> None:
        changes = {"tune.sampler": sampler, "tune.trials": 5, "tune.space": [UNITS, RATE]}
        first = search(changes, "first")
        assert tried(search(changes, "again")) == tried(first)
        other = search(changes | {"seed": 1}, "other")
        assert [t.parameters for t in other.trials] != [t.parameters for t in first.trials]

    def test_a_setting_of_a_layer_is_searched_where_the_layer_is(self, search: Search) -> None:
        layers = {"name": "model.conv_layers", "low": 1, "high": 2, "step": 1}
        second = {"name": "model.filters.1", "low": 1, "high": 9, "step": 1}
        condition = {"only_if": {"name": "model.conv_layers", "at_least": 2}}
        record = search(
            {
                "model.filters": [2, 2],
                "tune.sampler": "random",
                "tune.trials": 6,
                "tune.space": [layers, second | condition],
            }
        )
        found = {
            (trial.parameters["model.conv_layers"], "model.filters.1" in trial.parameters)
            for trial in record.trials
        }
        assert found == {(1, False), (2, True)}


class TestResuming:
    @pytest.mark.parametrize("sampler", ["random", "tpe"])
    @pytest.mark.parametrize("number", [1, 4, 5])
    def test_a_stopped_search_ends_as_an_unbroken_one(
        self, search: Search, kill_in: Callable[[int], None], sampler: str, number: int
    ) -> None:
        changes = {
            "tune.sampler": sampler,
            "tune.trials": 4,
            "tune.executions_per_trial": 2,
            "tune.space": [UNITS, RATE],
        }
        whole = search(changes, "whole")
        kill_in(number)
        with pytest.raises(_Killed):
            search(changes, "stopped")
        assert tried(search(changes, "stopped")) == tried(whole)

    def test_a_half_written_line_and_a_stale_lock_are_mended(
        self, search: Search, kill_in: Callable[[int], None], tmp_path: Path
    ) -> None:
        changes = {"tune.trials": 3, "tune.space": [UNITS]}
        whole = search(changes, "whole")
        kill_in(2)
        with pytest.raises(_Killed):
            search(changes, "stopped")
        work = tmp_path / "stopped" / ".tune.partial" / ".work"
        journal = work / "journal.log"
        journal.write_bytes(journal.read_bytes() + b'{"op_code": 6, "worker')
        (work / "journal.log.lock").write_text("")
        assert tried(search(changes, "stopped")) == tried(whole)

    def test_finished_executions_are_not_trained_again(
        self, search: Search, kill_in: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        changes = {"tune.trials": 2, "tune.executions_per_trial": 2}
        kill_in(4)
        with pytest.raises(_Killed):
            search(changes)
        seen = []
        fit = searching.fit_network

        def counted(trainer: Any, *args: Any) -> Any:
            seen.append(trainer.title)
            return fit(trainer, *args)

        monkeypatch.setattr(searching, "fit_network", counted)
        search(changes)
        assert seen == ["Trial 2/2, execution 2/2"]


class TestFailingTrials:
    layers: ClassVar[dict[str, Any]] = {
        "model.padding": "valid",
        "model.filters": [2, 2, 2],
        "tune.sampler": "random",
        "tune.trials": 6,
    }

    def test_a_failing_one_is_recorded_with_its_reason(self, search: Search) -> None:
        space = [{"name": "model.conv_layers", "low": 1, "high": 3, "step": 1}]
        record = search(self.layers | {"tune.space": space})
        # 8×8 pixels without padding: 6, 3, 1, 0
        failed = [trial for trial in record.trials if trial.state == "failed"]
        complete = [trial for trial in record.trials if trial.state == "complete"]
        assert failed
        assert complete
        for trial in failed:
            assert trial.parameters["model.conv_layers"] in {2, 3}
            assert trial.reason is not None
            assert "8" in trial.reason
            assert trial.value is None
        assert record.best_number in {trial.number for trial in complete}

    def test_when_all_fail_the_reasons_are_given(self, search: Search) -> None:
        space = [{"name": "model.conv_layers", "choices": [3]}]
        with pytest.raises(
            TrainingError, match=r"None of the 2 trials .* succeeded: .*tune\.space"
        ):
            search(self.layers | {"tune.trials": 2, "tune.space": space})

    def test_a_diverging_one_fails_alone(self, search: Search) -> None:
        record = search(
            {
                "tune.trials": 5,
                "tune.epochs": 6,
                "tune.sampler": "random",
                "training.optimizer": "sgd",
                "training.schedule": "constant",
                "training.weight_decay": 10.0,
                "tune.space": [{"name": "training.learning_rate", "choices": [1e-2, 1000.0]}],
            }
        )
        states = {
            trial.parameters["training.learning_rate"]: trial.state for trial in record.trials
        }
        assert states == {1e-2: "complete", 1000.0: "failed"}
        assert any("diverged" in (trial.reason or "") for trial in record.trials)

    def test_a_value_out_of_its_setting_s_range_fails_with_that_reason(
        self, search: Search
    ) -> None:
        record = search(
            {
                "tune.trials": 4,
                "tune.sampler": "random",
                "tune.space": [{"name": "model.dense_dropout", "choices": [0.5, 1.5]}],
            }
        )
        reasons = {trial.reason for trial in record.trials if trial.state == "failed"}
        assert any("model.dense_dropout" in (reason or "") for reason in reasons)


class TestPruning:
    def test_a_trial_below_the_median_stops_early(
        self, search: Search, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = search(
            {
                "tune.trials": 8,
                "tune.epochs": 3,
                "tune.pruner": "median",
                "tune.sampler": "random",
                "tune.validation_fraction": 0.4,
                "tune.space": [{"name": "training.learning_rate", "choices": [1e-9, 0.05]}],
            }
        )
        pruned = [trial for trial in record.trials if trial.state == "pruned"]
        assert pruned
        for trial in pruned:
            assert trial.number >= 3  # the first three are never pruned
            assert trial.epochs < 3
            assert trial.value is None
            assert trial.reason is not None
            assert "median" in trial.reason


class TestImportances:
    def test_none_with_too_few_trials(self, search: Search) -> None:
        assert search({"tune.trials": 2}).importances is None

    @pytest.mark.parametrize("fraction", [0.1, 0.4])
    def test_none_when_nothing_varies(self, search: Search, fraction: float) -> None:
        space = [{"name": "model.units", "choices": [4]}]
        changes = {"tune.trials": 3, "tune.validation_fraction": fraction, "tune.space": space}
        assert search(changes).importances is None

    def test_shares_add_up_to_one(self, search: Search) -> None:
        record = search(
            {"tune.trials": 6, "tune.validation_fraction": 0.4, "tune.space": [UNITS, RATE]}
        )
        assert record.importances is not None
        assert set(record.importances) <= {"model.units", "training.learning_rate"}
        assert math.isclose(sum(record.importances.values()), 1, rel_tol=1e-6)


class TestSeveralModels:
    changes: ClassVar[dict[str, Any]] = {
        "tune.models": ["cnn", "fast"],
        "tune.trials": 5,
        "tune.sampler": "random",
        "tune.pruner": "none",
        "tune.space": [UNITS, "training.learning_rate", "model.depths.0"],
    }

    def test_each_trial_has_the_settings_of_its_model_alone(self, search: Search) -> None:
        record = search(self.changes)
        drawn = [trial.parameters.pop("model.name") for trial in record.trials]
        assert set(drawn) == {"cnn", "fast"}
        own = {"cnn": {"model.units"}, "fast": {"model.depths.0"}}
        for name, trial in zip(drawn, record.trials, strict=True):
            assert trial.state == "complete", trial.reason
            assert set(trial.parameters) == {"training.learning_rate", *own[str(name)]}

    def test_the_winner_decides_what_is_trained(self, run_stage: RunStage, tmp_path: Path) -> None:
        space = ["training.learning_rate", "model.depths.0"]
        changes = self.changes | {"tune.models": ["fast"], "tune.trials": 1, "tune.space": space}
        folder = run_stage("train", changes, out=tmp_path / "run")
        tuned = TuneRecord.read(tmp_path / "run" / "tune" / "record.json")
        trained = TrainRecord.read(folder / "record.json")
        assert tuned.best_parameters["model.name"] == trained.model == "fast"
        assert trained.model_settings["depths"][0] == tuned.best_parameters["model.depths.0"]  # type: ignore[index]
        assert tuned.best_assignments["model.name"] == "fast"
        assert tuned.best_assignments["model.depths"] == trained.model_settings["depths"]

    def test_the_seed_decides_and_a_stopped_search_ends_alike(
        self, search: Search, kill_in: Callable[[int], None]
    ) -> None:
        changes = self.changes | {
            "tune.sampler": "tpe",
            "tune.pruner": "halving",
            "tune.reduction_factor": 2,
            "tune.epochs": 2,
        }
        whole = search(changes, "whole")
        kill_in(2)
        with pytest.raises(_Killed):
            search(changes, "stopped")
        assert tried(search(changes, "stopped")) == tried(whole)


class TestTimeBudget:
    def test_the_first_trial_always_runs_and_no_further_begins(self, search: Search) -> None:
        record = search({"tune.trials": None, "tune.budget_seconds": 1e-6})
        assert [trial.state for trial in record.trials] == ["complete"]
        assert record.budget_seconds == 1e-6

    def test_the_trials_are_an_end_too(self, search: Search) -> None:
        assert len(search({"tune.trials": 2, "tune.budget_seconds": 1e6}).trials) == 2

    def test_a_trial_that_was_begun_is_ended_though_the_time_is_up(
        self, search: Search, kill_in: Callable[[int], None], tmp_path: Path
    ) -> None:
        changes = {"tune.trials": 3, "tune.budget_seconds": 1000.0}
        kill_in(2)
        with pytest.raises(_Killed):
            search(changes)
        time = tmp_path / "run" / ".tune.partial" / ".work" / "time.json"
        time.write_text('{"seconds": 1000.0}')
        assert [trial.state for trial in search(changes).trials] == ["complete"] * 2

    def test_a_search_needs_an_end(self) -> None:
        with pytest.raises(SettingsError, match=r"needs an end: set tune\.trials or tune\.budget"):
            load_recipe("cnn").with_changes({"tune.trials": None})
