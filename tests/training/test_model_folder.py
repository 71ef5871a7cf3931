"""The model folder: what is written is what is read, and nothing else is accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenfold.core.errors import ModelFolderError
from tenfold.core.records.training import FORMAT_VERSION, ModelData
from tenfold.models.model import NetworkPlan
from tenfold.training.model_folder import (
    CARD,
    MODEL_JSON,
    NEIGHBOURS,
    WEIGHTS,
    PackagedModel,
    describe_model,
    parse_model_json,
    read_model_folder,
    save_model,
    write_model_folder,
)
from tenfold.training.settings import TrainingSettings

PLAN = NetworkPlan.parse(
    "cnn", {"conv_layers": 1, "filters": [4], "units": 5}, image_shape=(8, 10, 1), class_count=3
)


def packaged(**changes: Any) -> PackagedModel:
    network = PLAN.build(seed=1, mean=torch.tensor([90.0]), standard_deviation=torch.tensor([50.0]))
    values: dict[str, Any] = {
        "title": "Öwls ￼",
        "plan": PLAN,
        "weights": network.state_dict(),
        "training": TrainingSettings(),
        "classes": ("cat", "dog", "öwl"),
        "temperature": 1.5,
        "precision": "float32",
        "mirror_keeps_class": True,
        "data": ModelData(
            title="Photos",
            source="folder",
            description="",
            train_counts=(3, 3, 3),
            test_counts=(1, 1, 1),
            train_sha256="a" * 64,
            test_sha256=None,
        ),
    }
    return PackagedModel(
        describe_model(**{**values, **changes}), network.state_dict(), "# A card\n", b"neighbours"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model_folder(tmp_path / "model", packaged())
    return tmp_path / "model"


def test_what_is_written_is_read(folder: Path) -> None:
    written, read = packaged(), read_model_folder(folder)
    assert read.record.model_copy(update={"files": {}, "digest": "0" * 64}) == written.record
    assert read.card == written.card
    assert read.neighbours == written.neighbours
    assert set(read.weights) == set(written.weights)
    assert all(torch.equal(read.weights[name], written.weights[name]) for name in read.weights)
    pixels = torch.randint(0, 256, (2, 1, 8, 10), dtype=torch.uint8)
    assert torch.equal(read.network()(pixels), PLAN.restore(written.weights).eval()(pixels))


def test_the_normalization_stands_in_the_record() -> None:
    record = packaged().record
    assert record.normalization_mean == pytest.approx((90.0,))
    assert record.normalization_standard_deviation == pytest.approx((50.0,))


def test_the_hashes_are_those_of_sha256sum(folder: Path) -> None:
    import hashlib

    files = json.loads((folder / MODEL_JSON).read_bytes())["files"]
    assert set(files) == {WEIGHTS, CARD, NEIGHBOURS}
    for name, digest in files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_the_same_model_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_model_folder(tmp_path / "again", packaged())
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_other_files_are_not_looked_at(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "manifest.json").write_bytes(b"\0")
    read_model_folder(folder)


def test_a_run_folder_stands_for_its_model(folder: Path) -> None:
    assert read_model_folder(folder.parent).card == "# A card\n"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _path: None, "no such file or folder"),
        (lambda path: path.mkdir(), "is no model folder: it has no model.json"),
        (lambda path: path.write_text("x"), "is no model folder"),
        (
            lambda path: (path.mkdir(), (path / "settings.json").write_text("{}")),
            "has no model folder yet. Make it: tenfold model --out",
        ),
    ],
)
def test_no_model_is_said_clearly(
    make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    make(tmp_path / "nothing")
    with pytest.raises(ModelFolderError, match=message) as caught:
        read_model_folder(tmp_path / "nothing")
    assert str(tmp_path / "nothing") in str(caught.value)


@pytest.mark.parametrize("name", [WEIGHTS, CARD, NEIGHBOURS])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelFolderError, match="is missing; copy the folder again") as caught:
        read_model_folder(folder)
    assert str(folder / name) in str(caught.value)


@pytest.mark.parametrize("name", [WEIGHTS, CARD, NEIGHBOURS, MODEL_JSON])
def test_changed_bytes_are_found(name: str, folder: Path) -> None:
    path = folder / name
    content = path.read_bytes()
    for place in range(0, len(content), max(len(content) // 200, 1)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ModelFolderError):
            read_model_folder(folder)
    for changed in (content[:-1], content + b"\n", b""):
        path.write_bytes(changed)
        with pytest.raises(ModelFolderError):
            read_model_folder(folder)
    path.write_bytes(content)
    read_model_folder(folder)


def test_a_changed_card_is_told_where_notes_belong(folder: Path) -> None:
    (folder / CARD).write_text("# My notes")
    with pytest.raises(ModelFolderError, match=r"another.*Notes of your own belong into a file"):
        read_model_folder(folder)


def test_a_newer_format_is_told_to_update(folder: Path) -> None:
    values = json.loads((folder / MODEL_JSON).read_bytes())
    values = {"format_version": FORMAT_VERSION + 1, "something": {"new": values}}
    (folder / MODEL_JSON).write_text(json.dumps(values))
    with pytest.raises(
        ModelFolderError,
        match=f"format {FORMAT_VERSION + 1}, which a newer tenfold wrote; this one",
    ):
        read_model_folder(folder)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    model = packaged()
    other = {**model.weights}
    other.pop("mean")
    write_model_folder(tmp_path / "model", PackagedModel(model.record, other, model.card))
    with pytest.raises(ModelFolderError, match="do not fit the network that"):
        read_model_folder(tmp_path / "model").network()


MODEL_TEXT = packaged().record.model_dump_json(indent=2).encode()
PATH = Path("model.json")


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_refused_with_one_error(content: bytes) -> None:
    with pytest.raises(ModelFolderError, match=r"model\.json"):
        parse_model_json(content, PATH)


def test_every_changed_byte_of_the_record_is_found(folder: Path) -> None:
    content = (folder / MODEL_JSON).read_bytes()
    parse_model_json(content, PATH)
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        with pytest.raises(ModelFolderError):
            parse_model_json(changed, PATH)


@given(st.data())
def test_cut_and_mixed_bytes_are_refused_with_one_error(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(MODEL_TEXT)))
    end = data.draw(st.integers(start, len(MODEL_TEXT)))
    middle = data.draw(st.binary(max_size=20))
    with pytest.raises(ModelFolderError, match=r"model\.json"):
        parse_model_json(MODEL_TEXT[:start] + middle + MODEL_TEXT[end:], PATH)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(json.loads(MODEL_TEXT))), plain, min_size=1))
def test_any_values_are_refused_with_one_error(changes: dict[str, Any]) -> None:
    values = {**json.loads(MODEL_TEXT), **changes}
    with pytest.raises(ModelFolderError, match=r"model\.json"):
        parse_model_json(json.dumps(values).encode(), PATH)


def test_deep_nesting_is_refused_with_one_error() -> None:
    with pytest.raises(ModelFolderError, match=r"model\.json"):
        parse_model_json(b"[" * 200_000, PATH)


class TestSaving:
    def test_a_model_replaces_a_model(self, folder: Path) -> None:
        save_model(folder, packaged(title="Another"))
        assert read_model_folder(folder).record.title == "Another"
        assert [path.name for path in folder.parent.iterdir()] == ["model"]

    def test_an_empty_folder_is_filled_and_parents_are_made(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for path in (tmp_path / "empty", tmp_path / "a" / "b"):
            save_model(path, packaged())
            read_model_folder(path)

    def test_anything_else_stays(self, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
        with pytest.raises(ModelFolderError, match="not empty and holds no model"):
            save_model(tmp_path / "photos", packaged())
        with pytest.raises(ModelFolderError, match="is a file"):
            save_model(tmp_path / "photos" / "cat.jpg", packaged())
        assert [path.name for path in tmp_path.rglob("*")] == ["photos", "cat.jpg"]
