"""Records go to JSON and back unchanged, and say clearly when they cannot."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from tenfold.core import records
from tenfold.core.errors import RunFolderError
from tenfold.core.record import Record, Reference
from tenfold.core.records.evaluation import ClassScores
from tenfold.core.records.training import EpochRecord
from tenfold.core.records.tuning import TrialRecord

SCORES = ClassScores(
    name="größer ±1",
    total_cases=10,
    total_predictions=9,
    correct=3,
    precision=1 / 3,
    recall=0.1 + 0.2,
    f1=5e-324,
)
EPOCH = EpochRecord(
    epoch=1,
    learning_rate=1e-3,
    train_loss=2.3,
    train_accuracy=0.1,
    validation_loss=None,
    validation_accuracy=None,
    seconds=0.5,
)
TRIAL = TrialRecord(
    number=0,
    state="failed",
    parameters={"model.units": 64, "training.optimizer": "adam", "flag": True, "rate": 0.5},
    execution_values=(0.5, 0.25),
    value=None,
    epochs=3,
    seconds=1.0,
    reason="diverged",
)
REFERENCE = Reference(label="Folds", measure="cross_validate.accuracy", value=(0.656, 0.681))


@pytest.mark.parametrize(
    "record", [SCORES, EPOCH, TRIAL, REFERENCE], ids=lambda r: type(r).__name__
)
def test_a_record_survives_the_disk_to_the_last_bit(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record.write(path)
    back = type(record).read(path)
    assert back == record
    assert back.model_dump() == record.model_dump()
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_a_parameter_keeps_its_type(tmp_path: Path) -> None:
    TRIAL.write(tmp_path / "trial.json")
    back = TrialRecord.read(tmp_path / "trial.json").parameters
    assert {name: type(value) for name, value in back.items()} == {
        "model.units": int,
        "training.optimizer": str,
        "flag": bool,
        "rate": float,
    }


def test_a_record_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SCORES.correct = 4  # type: ignore[misc]


def test_a_field_too_many_or_too_few_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Reference(label="a", measure="b", value=1.0, extra=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="measure"):
        Reference(label="a", value=1.0)  # type: ignore[call-arg]


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with pytest.raises(RunFolderError, match=r"is missing\. Run the same command again") as caught:
        ClassScores.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"name": "a"}',
        b"\xff\xfe\x00",
        SCORES.model_dump_json().encode()[:-20],
        SCORES.model_dump_json().replace("}", ', "more": 1}').encode(),
        SCORES.model_dump_json().replace('"correct":3', '"correct":"three"').encode(),
        EPOCH.model_dump_json().encode(),
    ],
)
def test_a_damaged_file_is_a_clear_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"is not a ClassScores .*use another --out") as caught:
        ClassScores.read(path)
    assert str(path) in str(caught.value)


def test_a_value_that_is_no_number_is_written_as_null(tmp_path: Path) -> None:
    EPOCH.model_copy(update={"validation_loss": float("nan")}).write(tmp_path / "epoch.json")
    assert "NaN" not in (tmp_path / "epoch.json").read_text()
    assert EpochRecord.read(tmp_path / "epoch.json").validation_loss is None


def test_every_record_is_documented_and_strict() -> None:
    for module in pkgutil.iter_modules(records.__path__, f"{records.__name__}."):
        importlib.import_module(module.name)
    waiting, found = [Record], []
    while waiting:
        waiting += (children := waiting.pop().__subclasses__())
        found += children
    ours = [record for record in found if record.__module__.startswith(records.__name__)]
    assert len(ours) > 15
    for record in ours:
        assert record.__doc__, record
        assert record.model_config["extra"] == "forbid", record
        assert record.model_config["frozen"], record
