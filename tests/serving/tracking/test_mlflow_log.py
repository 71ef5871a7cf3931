"""A study in MLflow, in a database file, read back by MLflow itself."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import SettingsError, TrackingError
from tenfold.serving.tracking import mlflow_log
from tenfold.serving.tracking.facts import StudyFacts, study_facts
from tenfold.serving.tracking.mlflow_log import (
    MlflowLog,
    imported_mlflow,
    log_to_mlflow,
    mlflow_text,
    shown_uri,
)

REASON = "needs MLflow: pip install 'tenfold[mlflow]'"
pytestmark = [
    pytest.mark.slow,  # MLflow's import and its database take seconds
    pytest.mark.usefixtures("one_core"),
    pytest.mark.filterwarnings("ignore"),  # MLflow's, where the tests ask it themselves
]


@pytest.fixture(scope="module")
def mlflow() -> Any:
    if importlib.util.find_spec("mlflow") is None:  # an import would tell of itself
        pytest.skip(REASON)
    return imported_mlflow()


@pytest.fixture(scope="module")
def database(mlflow: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a database for all tests, each with an experiment of its own."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlflow.db"


class Logged:
    """What MLflow has of an experiment."""

    def __init__(self, mlflow: Any, database: str, experiment: str) -> None:
        self.client = mlflow.MlflowClient(database)
        self.place = self.client.get_experiment_by_name(experiment)
        self.runs = self.client.search_runs([self.place.experiment_id])
        self.models = self.client.search_logged_models([self.place.experiment_id])

    def content(self) -> dict[str, Any]:
        """Give all of the only run but its identifiers."""
        (run,) = self.runs
        own = run.info.run_id
        histories = {
            name: [(one.step, one.value, one.timestamp) for one in self.history(name)]
            for name in run.data.metrics
        }
        tags = {name: value for name, value in run.data.tags.items() if "mlflow.log" not in name}
        return {
            "parameters": run.data.params,
            "histories": histories,
            "tags": tags,
            "status": run.info.status,
            "files": sorted(self._files(own, None)),
            "models": [(one.name, one.tags, str(one.status)) for one in self.models],
        }

    def history(self, name: str) -> Any:
        return self.client.get_metric_history(self.runs[0].info.run_id, name)

    def _files(self, run_id: str, folder: str | None) -> list[str]:
        found = []
        for one in self.client.list_artifacts(run_id, folder):
            found += self._files(run_id, one.path) if one.is_dir else [one.path]
        return found


@pytest.fixture
def look(mlflow: Any, database: str) -> Callable[[str], Logged]:
    return lambda experiment: Logged(mlflow, database, experiment)


def test_mlflow_reads_what_was_logged_and_it_is_logged_once(
    whole_study: Path, mlflow: Any, database: str, look: Callable[[str], Logged]
) -> None:
    facts = study_facts(whole_study)
    first = log_to_mlflow(facts, database, "once")
    assert (first.is_new, first.is_unchanged) == (True, False)
    content = look("once").content()
    assert content["parameters"] == facts.settings
    assert content["status"] == "FINISHED"
    assert content["tags"].items() >= facts.tags.items()
    assert content["files"] == sorted(facts.files)
    for name, points in facts.curves.items():
        expected = [(one.step, one.value, one.at_ms) for one in points]
        assert content["histories"].pop(name) == expected
    assert content["histories"] == {
        name: [(0, one.value, one.at_ms)] for name, one in facts.scores.items()
    }
    (model,) = look("once").models
    accuracy = facts.scores["test/accuracy"].value
    assert {one.key: one.value for one in model.metrics}["test/accuracy"] == accuracy
    (run,) = look("once").runs
    assert run.info.run_name == "soft-blobs"
    second = log_to_mlflow(facts, database, "once")
    assert (second.is_new, second.is_unchanged) == (False, True)
    assert second.run_id == first.run_id
    assert second.model_uri == first.model_uri
    assert first.model_uri in mlflow_text(first, facts)


def test_the_model_is_a_function_of_python(
    study: Path, mlflow: Any, database: str, tmp_path: Path
) -> None:
    log = log_to_mlflow(study_facts(study), database, "model")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(database)
    try:
        for uri in (log.model_uri, f"runs:/{log.run_id}/model"):
            loaded = mlflow.pyfunc.load_model(uri)
        place = str(tmp_path / "here")
        folder = mlflow.artifacts.download_artifacts(log.model_uri, dst_path=place)
    finally:
        mlflow.set_tracking_uri(before)
    assert loaded.loader_module == "tenfold.serving.tracking.pyfunc"
    images = np.load(study / "acquire" / "test_images.npy")[:5]
    from tenfold.classifier import load

    found = loaded.predict(images)
    expected = load(study, device="cpu").predict_proba(images)
    assert np.array_equal(np.float32(found["probabilities"].tolist()), expected)
    assert not [*Path(folder).rglob("*.pkl")]
    assert np.array_equal(
        load(Path(folder) / "data" / "model", device="cpu").predict_proba(images), expected
    )


@pytest.mark.parametrize("last", ["_log_numbers", "_log_files", "_log_model"])
def test_after_a_stop_the_same_command_completes_it(  # noqa: PLR0917 -- fixtures
    last: str,
    whole_study: Path,
    mlflow: Any,
    database: str,
    look: Callable[[str], Logged],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = study_facts(whole_study)
    complete = getattr(mlflow_log, last)

    def stop(*given: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    def cut(*given: Any, **named: Any) -> None:
        if last == "_log_model":  # between the model's being made and its being whole
            monkeypatch.setattr(mlflow.MlflowClient, "finalize_logged_model", stop)
        complete(*given, **named)
        raise KeyboardInterrupt

    experiment = f"stopped after {last}"
    with monkeypatch.context() as patch:
        patch.setattr(mlflow_log, last, cut)
        with pytest.raises(KeyboardInterrupt):
            log_to_mlflow(facts, database, experiment)
    monkeypatch.undo()
    log = log_to_mlflow(facts, database, experiment)
    assert not log.is_new
    assert not log.is_unchanged
    log_to_mlflow(facts, database, f"{experiment}, whole")
    assert look(experiment).content() == look(f"{experiment}, whole").content()


def test_more_of_a_study_goes_to_its_run_and_another_training_to_one_of_its_own(
    whole_study: Path, tmp_path: Path, database: str, look: Callable[[str], Logged]
) -> None:
    begun = Path(shutil.copytree(whole_study, tmp_path / "begun"))
    for stage in ("report", "model", "evaluate"):
        shutil.rmtree(begun / stage)
    part = log_to_mlflow(study_facts(begun), database, "more")
    assert part.model_uri is None
    content = look("more").content()
    assert content["status"] == "RUNNING"
    assert "scores" in content["tags"]["tenfold.missing"]
    facts = study_facts(whole_study)
    whole = log_to_mlflow(facts, database, "more")
    assert whole.run_id == part.run_id
    content = look("more").content()
    assert content["status"] == "FINISHED"
    assert "tenfold.missing" not in content["tags"]
    assert len(content["histories"]["train/loss"]) == 3
    again = log_to_mlflow(replace(facts, training="e" * 64, digest="e" * 64), database, "more")
    assert again.run_id != whole.run_id
    assert len(look("more").runs) == 2


@pytest.mark.long
def test_many_and_long_values_are_logged(
    study: Path, database: str, look: Callable[[str], Logged]
) -> None:
    facts = study_facts(study)
    one = facts.scores["test/accuracy"]
    many = replace(
        facts,
        settings={f"setting.{number}": "x" * 9000 for number in range(130)},
        scores={f"class/{number}/f1": one for number in range(1100)},
        tags={"data.location": "y" * 9000},
        model=None,
        model_digest=None,
    )
    log_to_mlflow(many, database, "many")
    content = look("many").content()
    assert len(content["parameters"]) == 130
    assert {len(value) for value in content["parameters"].values()} == {500}
    assert len([name for name in content["histories"] if name.startswith("class/")]) == 1100


def test_a_place_that_is_not_there_is_said(
    study: Path, mlflow: Any, database: str, tmp_path: Path
) -> None:
    facts = study_facts(study)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(TrackingError, match="does not answer") as raised:
            log_to_mlflow(facts, f"http://anna:geheim@127.0.0.1:{port}", "none")
    assert "geheim" not in str(raised.value)
    assert str(port) in str(raised.value)
    for uri in ("runs", "/tmp/runs", "file:///tmp/runs", f"sqlite:///{tmp_path}/no/such.db"):
        with pytest.raises(SettingsError, match="sqlite"):
            log_to_mlflow(facts, uri, "none")
    client = mlflow.MlflowClient(database)
    client.delete_experiment(client.create_experiment("deleted"))
    with pytest.raises(TrackingError, match="--experiment"):
        log_to_mlflow(facts, database, "deleted")


def test_addresses_are_shown_without_secrets() -> None:
    assert shown_uri("https://me:secret@example.org/x?token=abc") == "https://example.org/x"
    assert shown_uri("sqlite:///mlflow.db") == "sqlite:///mlflow.db"
    assert shown_uri("postgresql://u:p@host/db") == "postgresql://host/db"


def test_mlflow_reports_its_use_to_nobody(mlflow: Any, tmp_path: Path) -> None:
    """A home stays empty: MLflow would write an identifier there to report its use with."""
    code = "from tenfold.serving.tracking.mlflow_log import imported_mlflow; imported_mlflow()"
    assert run_alone(tmp_path, "-c", code) == set()


@pytest.mark.long
def test_the_command_leaves_nothing_but_what_was_asked(
    whole_study: Path, mlflow: Any, tmp_path: Path
) -> None:
    words = ["-m", "tenfold", "log", str(whole_study)]
    words += ["--mlflow", "sqlite:///mlflow.db", "--experiment", "shown"]
    assert run_alone(tmp_path, *words) == {"mlflow.db", "mlartifacts"}
    found = Logged(mlflow, f"sqlite:///{tmp_path}/folder/mlflow.db", "shown")
    assert len(found.runs) == 1
    assert str(tmp_path / "folder") in str(found.models[0].artifact_location)


def run_alone(place: Path, *words: str) -> set[str]:
    """Run Python in an empty folder and home, the home to stay so; give what is in the folder."""
    folder, home = place / "folder", place / "home"
    folder.mkdir()
    home.mkdir()
    # By the others MLflow knows tests and CI, in which it reports nothing.
    kept = {"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name in kept}
    result = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment | {"HOME": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert [*home.rglob("*")] == []
    return {path.name for path in folder.iterdir()}


def test_what_is_said_of_a_log(study: Path) -> None:
    facts: StudyFacts = study_facts(study)
    log = MlflowLog("http://here", "e", "r", is_new=True, is_unchanged=False, model_uri=None)
    assert "http://here" in mlflow_text(log, facts)
    assert "load_model" not in mlflow_text(log, facts)
