"""Every stage keeps the contract; the folds' models come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenfold.core.errors import RunFolderError, UnknownNameError
from tenfold.core.records.data import AcquireRecord
from tenfold.core.settings import recipe_names
from tenfold.core.stages import STAGE_FILES, shown_stages, stage_help, stage_order, training_stages
from tenfold.data.dataset import read_arrays, read_split
from tenfold.study.recipe import StudySettings, load_recipe
from tenfold.study.stages.stage import STAGES, Stage, read_fold_models
from tenfold.study.study import Study
from tenfold.training.device import Device
from tenfold.training.inference import predict_logits, probabilities_from_logits


@pytest.fixture(params=STAGES.names())
def stage(request: pytest.FixtureRequest) -> Stage:
    return STAGES[request.param]


@pytest.fixture(params=[*recipe_names(), "no search", "warm start alone"])
def settings(request: pytest.FixtureRequest) -> StudySettings:
    if request.param == "no search":
        return load_recipe("report", ["tune.is_enabled=false"])
    if request.param == "warm start alone":
        return load_recipe("cnn", ['cross_validate.protocols=["warm-start"]'])
    return load_recipe(request.param)


def test_its_name_is_the_registry_s(stage: Stage) -> None:
    assert STAGES[stage.name] is stage


def test_it_says_what_it_does(stage: Stage) -> None:
    assert stage.summary
    assert stage.summary[0].islower()
    assert not stage.summary.endswith(".")
    assert stage.version >= 1


def test_its_needs_are_stages_and_come_earlier(stage: Stage, settings: StudySettings) -> None:
    needs = stage.needs(settings)
    assert len(set(needs)) == len(needs)
    for need in needs:
        assert STAGES[need].position < stage.position


def test_the_settings_it_uses_can_be_stored(stage: Stage, settings: StudySettings) -> None:
    used = stage.settings_used(settings)
    assert json.loads(json.dumps(used, allow_nan=False)) == used


def test_what_its_result_depends_on_is_not_the_data_s_place(stage: Stage) -> None:
    settings = load_recipe("cnn")
    moved = settings.with_changes({"data.location": "/elsewhere"})
    same = stage.settings_used(settings) == stage.settings_used(moved)
    assert same is (stage.name not in ("acquire", "report"))  # the page shows where data came from


def test_positions_are_unique_and_give_the_order() -> None:
    positions = [STAGES[name].position for name in stage_order()]
    assert positions == sorted(set(positions))
    assert set(stage_order()) == set(STAGES)


def test_the_order_is_the_study_s() -> None:
    assert stage_order() == (
        "acquire",
        "explore",
        "tune",
        "train",
        "evaluate",
        "cross-validate",
        "audit",
        "model",
        "report",
    )


def test_what_its_file_s_text_declares_is_what_it_is(stage: Stage) -> None:
    assert STAGE_FILES.declared("position")[stage.name] == stage.position
    assert STAGE_FILES.declared("summary")[stage.name] == stage.summary
    assert STAGE_FILES.declared("is_training").get(stage.name, False) == stage.is_training
    assert stage_help()[stage.name].lower() == f"{stage.summary}.".lower()


def test_every_stage_is_a_command_and_all_but_the_report_are_shown_in_it() -> None:
    assert tuple(stage_help()) == stage_order()
    assert (*shown_stages(), "report") == stage_order()
    assert {*STAGES["report"].reads_if_complete, "report"} == set(STAGES)
    assert training_stages() == ("tune", "train", "cross-validate")


def test_the_search_is_needed_only_where_there_is_one() -> None:
    on, off = load_recipe("cnn"), load_recipe("fast", ["tune.is_enabled=false"])
    for name in ("train", "cross-validate"):
        assert "tune" in STAGES[name].needs(on)
        assert "tune" not in STAGES[name].needs(off)


def test_an_unknown_stage_suggests_the_near() -> None:
    with pytest.raises(UnknownNameError, match=r"no stage named 'trian'\. Did you mean 'train'"):
        STAGES["trian"]


@pytest.fixture
def folder(tiny_settings: Callable[..., StudySettings], tmp_path: Path) -> Path:
    """Give the folder of a complete cross-validation of two folds, both protocols."""
    changes = {"tune.is_enabled": False, "cross_validate.protocols": ["fresh", "warm-start"]}
    list(Study(tiny_settings(changes), tmp_path / "run").run("cross-validate"))
    return tmp_path / "run" / "cross-validate"


def acquired(folder: Path) -> AcquireRecord:
    return AcquireRecord.read(folder.parent / "acquire" / "record.json")


def test_each_predicts_its_own_fold_as_it_did(folder: Path) -> None:
    stored = read_arrays(folder / "out_of_fold_fresh.npz")
    images = read_split(folder.parent / "acquire", "train").images
    networks = [network for _, network in read_fold_models(folder, 2, acquired(folder))]
    for fold, network in enumerate(networks, start=1):
        own = stored["fold"] == fold
        logits = predict_logits(network, images[own], device=Device("cpu", "test", 1))
        np.testing.assert_allclose(
            probabilities_from_logits(logits), stored["probabilities"][own], atol=1e-5
        )
    assert len(list(folder.glob("*.safetensors"))) == 2  # none of the protocol that leaks


def test_a_damaged_file_is_named(folder: Path) -> None:
    path = folder / "weights_fold_2.safetensors"
    other = folder.parent / "train" / "weights_last.safetensors"
    path.write_bytes(other.read_bytes())
    with pytest.raises(RunFolderError, match=r"weights_fold_2.* does not hold the network"):
        list(read_fold_models(folder, 2, acquired(folder)))
    path.unlink()
    with pytest.raises(RunFolderError, match="missing or damaged"):
        list(read_fold_models(folder, 2, acquired(folder)))
