"""A study as a run of MLflow, on a tracking server or in a database file.

A run is found again by the tag ``tenfold.study``, and by the training that it is of: the same
command adds what is missing and changes what is new, also after it was killed. The model is logged
by the name of the module that loads it (`tenfold.serving.tracking.pyfunc`); nothing is pickled.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tenfold.core.errors import SettingsError, TenfoldError, TrackingError, need
from tenfold.core.text import shortlist
from tenfold.serving.tracking.facts import Point, StudyFacts

_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
_MOST_METRICS, _MOST_PARAMETERS = 1000, 100
"""In one request: https://mlflow.org/docs/latest/api_reference/rest-api.html#log-batch"""
_LONGEST_VALUE, _LONGEST_TAG, _LONGEST_KEY = 500, 5000, 250
"""Characters that servers of every version take; ``settings.json`` has settings in full."""
_STUDY, _TRAINING, _LOGGED = "tenfold.study", "tenfold.training", "tenfold.logged"
_MODEL_DIGEST = "tenfold.model"
_MODEL_NAME = "model"
_OF_THE_MODEL = ("test/", "promises/", "model/")
"""Scores of the model itself, not of how it came about."""
_NO_ANSWER = "Max retries exceeded"
_LOADER = "tenfold.serving.tracking.pyfunc"
_NEEDED_BY_THE_MODEL = ("torch", "numpy", "scikit-learn", "pandas", "safetensors", "Pillow")


@dataclass(frozen=True)
class MlflowLog:
    """What was logged and where it is.

    Parameters
    ----------
    place
        The tracking server or database, without what only its owner should know.
    experiment
        Its name.
    run_id
        Of the run.
    is_new
        Whether the run was made for it.
    is_unchanged
        Whether all of it was there already.
    model_uri
        For ``mlflow.pyfunc.load_model``; None without a model.
    """

    place: str
    experiment: str
    run_id: str
    is_new: bool
    is_unchanged: bool
    model_uri: str | None


def log_to_mlflow(facts: StudyFacts, uri: str, experiment: str) -> MlflowLog:
    """Log a study, or what of it is not there yet.

    Parameters
    ----------
    uri
        Of the tracking server or database, as MLflow writes them.
    experiment
        Name; made if there is none.

    Raises
    ------
    SettingsError
        If MLflow is not installed or the address is none that it takes.
    TrackingError
        If the place cannot be reached or refuses what is logged.
    """
    place = shown_uri(uri)
    _check_uri(uri, place)
    mlflow = imported_mlflow()
    with _errors_of(uri):
        client = mlflow.MlflowClient(tracking_uri=uri)
        with _retries(0, seconds=10):
            found = client.get_experiment_by_name(experiment)
    with _errors_of(uri), _retries(3, seconds=120):
        if found is None:
            location = _artifact_location(uri)
            experiment_id = client.create_experiment(experiment, location)
        elif found.lifecycle_stage == "deleted":
            raise TrackingError(
                f"The experiment {experiment!r} at {place} was deleted. Restore it there, or give "
                "another name with --experiment."
            )
        else:
            experiment_id = found.experiment_id
        run = _run_of(client, experiment_id, facts)
        is_new = run is None
        if run is None:
            tags = {_STUDY: facts.study}
            run = client.create_run(experiment_id, facts.started_ms, tags, facts.name)
        run_id = run.info.run_id
        is_unchanged = run.data.tags.get(_LOGGED) == facts.digest
        if is_unchanged:
            model = _logged_model(client, run, facts)
        else:
            _log_numbers(client, run, facts, is_new=is_new)
            _log_files(client, run_id, facts)
            model = _log_model(mlflow, client, run, facts)
            # Last: what is logged whole is not looked at again.
            client.set_tag(run_id, _LOGGED, facts.digest)
            if facts.missing:
                client.update_run(run_id, status="RUNNING")
            else:
                client.set_terminated(run_id, "FINISHED", facts.ended_ms)
        uri_of_model = None if model is None else f"models:/{model}"
        return MlflowLog(place, experiment, run_id, is_new, is_unchanged, uri_of_model)


def imported_mlflow() -> Any:
    """Import MLflow so that it tells nobody of it, and says nothing of itself.

    Raises
    ------
    SettingsError
        If it is not installed.
    """
    # MLflow reports its use, and writes an identifier into the home folder, unless told before.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # It would print addresses with their passwords.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    with warnings.catch_warnings():  # of its own type hints and of its dependencies
        warnings.simplefilter("ignore")
        mlflow = need("mlflow", extra="mlflow")
        need("pandas", extra="mlflow")
        need("mlflow.pyfunc", extra="mlflow")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def shown_uri(uri: str) -> str:
    """Give an address without what only its owner should know: passwords, signatures."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else uri


def _without_secrets(text: str, uri: str) -> str:
    """Take out of a library's message what only the address's owner should know."""
    parts = urlsplit(uri)
    password = parts.password or ""
    for secret in (parts.netloc.rpartition("@")[0], password, unquote(password), parts.query):
        if secret:
            text = text.replace(f"{secret}@", "").replace(secret, "***")
    return text


def _check_uri(uri: str, place: str) -> None:
    scheme = uri.partition(":")[0].partition("+")[0]
    if ":" not in uri or scheme not in _SCHEMES:
        raise SettingsError(
            f"--mlflow is {place!r}, which is no place that MLflow logs to. Give a tracking "
            "server (http://127.0.0.1:5000) or a database (sqlite:///mlflow.db); folders of files "
            "are what MLflow has given up."
        )
    if (file := _sqlite_file(uri)) is not None and not file.parent.is_dir():
        # MLflow would try to open it for minutes.
        raise SettingsError(
            f"--mlflow is {place}, but there is no folder {file.parent}. Make it, or give another "
            "file."
        )


def _sqlite_file(uri: str) -> Path | None:
    """Give the file of an SQLite database: ``sqlite:///relative`` or ``sqlite:////absolute``."""
    parts = urlsplit(uri)
    if parts.scheme.partition("+")[0] != "sqlite" or len(parts.path) < 2:
        return None
    return Path(parts.path[1:]).absolute()


def _artifact_location(uri: str) -> str | None:
    """Give a place for files beside a database file; elsewhere it is the server's to choose.

    MLflow's own choice is the folder in which the command happens to run.
    """
    file = _sqlite_file(uri)
    return None if file is None else (file.parent / "mlartifacts").as_uri()


@contextmanager
def _retries(most: int, *, seconds: int) -> Iterator[None]:
    """Let MLflow ask so often again, and wait so long; what the user has set in its place stays.

    Its own seven times are minutes.
    """
    wanted = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(most),
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds),
    }
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def _errors_of(uri: str) -> Iterator[None]:
    """Turn whatever a server, a database or an artifact store raises into one of our errors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except TenfoldError:
        raise
    except Exception as error:  # stores are plug-ins: of any kind
        reason = _without_secrets(" ".join(str(error).split()), uri)
        if len(reason) > 400:
            reason = f"{reason[:400]}…"
        what = f"does not take the study ({type(error).__name__}: {reason})"
        if _NO_ANSWER in reason:
            what = f"does not answer ({reason.rpartition(_NO_ANSWER)[2].strip(' :')})"
        raise TrackingError(
            f"MLflow at {shown_uri(uri)} {what}. See that it runs and that you may write there; "
            "then run the same command again, which goes on where this one stopped."
        ) from error


def _run_of(client: Any, experiment_id: str, facts: StudyFacts) -> Any:
    """Find the run that this study was logged to; None if it was not, or was trained anew since.

    Curves that were logged cannot be taken back, so another training is another run.
    """
    own = f"tags.`{_STUDY}` = '{facts.study}'"
    for run in client.search_runs([experiment_id], own, order_by=["attributes.start_time DESC"]):
        if run.data.tags.get(_TRAINING) in (None, facts.training):
            return run
    return None


def _log_numbers(client: Any, run: Any, facts: StudyFacts, *, is_new: bool) -> None:
    from mlflow.entities import Metric, Param, RunTag

    run_id = run.info.run_id
    tags = dict(facts.tags)
    if facts.training is not None:  # before its curves: a run never holds those of two trainings
        tags[_TRAINING] = facts.training
    if facts.missing:
        tags["tenfold.missing"] = ", ".join(facts.missing)
    elif "tenfold.missing" in run.data.tags:
        client.delete_tag(run_id, "tenfold.missing")
    chosen = [RunTag(name, value[:_LONGEST_TAG]) for name, value in tags.items()]
    client.log_batch(run_id, tags=chosen)
    settings = {name[:_LONGEST_KEY]: _cut(value) for name, value in facts.settings.items()}
    settings = {name: one for name, one in settings.items() if name not in run.data.params}
    for part in _parts([Param(*one) for one in settings.items()], _MOST_PARAMETERS):
        client.log_batch(run_id, params=part)
    metrics = [
        _metric(Metric, name, point)
        for name, point in facts.scores.items()
        if run.data.metrics.get(name) != point.value
    ]
    for name, points in facts.curves.items():
        there = set()
        if not is_new:
            there = {(one.step, one.value) for one in client.get_metric_history(run_id, name)}
        new = [point for point in points if (point.step, point.value) not in there]
        metrics += [_metric(Metric, name, point) for point in new]
    for part in _parts(metrics, _MOST_METRICS):
        client.log_batch(run_id, metrics=part)


def _metric(kind: Any, name: str, point: Point, model_id: str | None = None) -> Any:
    key = name[:_LONGEST_KEY]
    return kind(key, point.value, point.at_ms, point.step, model_id=model_id)


def _cut(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else f"{value[: _LONGEST_VALUE - 1]}…"


def _parts(values: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), most):
        yield values[start : start + most]


def _log_files(client: Any, run_id: str, facts: StudyFacts) -> None:
    with tempfile.TemporaryDirectory(prefix="tenfold-mlflow-") as scratch:
        for name, path in facts.files.items():  # MLflow takes a file's own name
            target = Path(scratch) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        client.log_artifacts(run_id, scratch)


def _logged_model(client: Any, run: Any, facts: StudyFacts) -> str | None:
    """Give the identifier of the study's model where it is logged whole."""
    own = f"source_run_id = '{run.info.run_id}'"
    for model in client.search_logged_models([run.info.experiment_id], own):
        is_whole = str(model.status).rpartition(".")[2] == "READY"
        if is_whole and model.tags.get(_MODEL_DIGEST) == facts.model_digest:
            return str(model.model_id)
        if not is_whole:  # a kill left it
            client.delete_logged_model(model.model_id)
    return None


def _log_model(mlflow: Any, client: Any, run: Any, facts: StudyFacts) -> str | None:
    """Log the model folder as a model of MLflow; give its identifier, None without a folder."""
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.models import Model

    if facts.model is None or (found := _logged_model(client, run, facts)) is not None:
        return None if facts.model is None else found
    run_id = run.info.run_id
    logged = client.create_logged_model(
        run.info.experiment_id,
        name=_MODEL_NAME,
        source_run_id=run_id,
        tags={_MODEL_DIGEST: str(facts.model_digest)},
        model_type="image classifier",
    )
    described = Model(
        artifact_path=logged.artifact_location,
        run_id=run_id,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
    )
    with tempfile.TemporaryDirectory(prefix="tenfold-mlflow-") as scratch:
        folder = Path(scratch) / "model"
        mlflow.pyfunc.save_model(
            folder,
            loader_module=_LOADER,
            data_path=str(facts.model),
            mlflow_model=described,
            pip_requirements=_requirements(),
        )
        client.log_model_artifacts(logged.model_id, str(folder))
    # Once more, so that MLflow's list of models has them; the run's own points stay as they are.
    shown = [
        _metric(Metric, name, point, logged.model_id)
        for name, point in facts.scores.items()
        if name.startswith(_OF_THE_MODEL)
    ]
    for part in _parts(shown, _MOST_METRICS):
        client.log_batch(run_id, metrics=part)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    client.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)


def _requirements() -> list[str]:
    """Give what loads the model, as pip writes it; given, or MLflow would load it to find out."""
    packages = ("tenfold", *_NEEDED_BY_THE_MODEL)
    # A build's own part (+cpu) is on no index.
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in packages]


def mlflow_text(log: MlflowLog, facts: StudyFacts) -> str:
    """Say what was logged, for people."""
    lines = [f"MLflow: {log.place}, experiment {log.experiment}, run {facts.name} ({log.run_id})"]
    if log.is_unchanged:
        lines.append("All of it was there already; nothing was changed.")
    else:
        did = "Logged" if log.is_new else "Brought up to date"
        parts = [
            f"{len(facts.settings)} settings",
            f"{len(facts.scores)} scores",
            f"{len(facts.curves)} curves",
            f"{len(facts.files)} files",
        ]
        if log.model_uri is not None:
            parts.append("the model")
        lines.append(f"{did}: {shortlist(parts)}.")
    if log.model_uri is not None:
        lines.append(f"Load the model: mlflow.pyfunc.load_model({log.model_uri!r})")
    return "\n".join(lines)
