"""Tasks in other processes read what a frozen backbone gives, and do not compute it."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny_backbone
from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import read_split
from tenfold.models import pretrained
from tenfold.study import ablation as ablation_module
from tenfold.study.ablation import Ablation, ingredients_of
from tenfold.study.recipe import StudySettings, load_recipe
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.processes import Processes
from tenfold.study.search import search
from tenfold.study.stages import cross_validate
from tenfold.study.study import Study
from tenfold.training import inference
from tenfold.training.feature_store import feature_store
from tiny_backbone import TinyBackbone


@pytest.fixture
def settings(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> StudySettings:
    monkeypatch.setattr("tenfold.training.device.available_cores", lambda: 1)
    monkeypatch.setattr(pretrained, "build_backbone", lambda *_args, **_kw: TinyBackbone())
    monkeypatch.setattr(inference, "LEAST_KEPT_IMAGES", 1)
    feature_store.cache_clear()  # as in a new process
    return load_recipe("transfer").with_changes(
        {
            "data.source": "folder",
            "data.location": str(image_folder),
            "data.mirror_keeps_class": True,
            "cross_validate.folds": 2,
            "tune.trials": 2,
            "tune.space": ["training.label_smoothing"],
        }
    )


@pytest.mark.slow
def test_folds_in_processes_are_told_the_features(
    settings: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = []
    for name, place in (("here", Here()), ("processes", Processes(2))):
        feature_store.cache_clear()
        if name == "processes":
            monkeypatch.setattr(cross_validate, "fold_worker", tiny_backbone.lazy_folds)
        list(Study(settings, tmp_path / name, place=place).run("cross-validate"))
        stage = tmp_path / name / "cross-validate"
        weights.append({p.name: p.read_bytes() for p in stage.rglob("*.safetensors")})
        assert len(weights[-1]) == 2
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_trials_in_processes_are_told_the_features(
    settings: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "trial_worker", tiny_backbone.lazy_trials)
    list(Study(settings, tmp_path / "run", place=Processes(2)).run("tune"))


@pytest.mark.slow
def test_an_ablation_in_processes_is_told_the_features(
    settings: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(Study(settings, tmp_path / "run").run("acquire"))
    monkeypatch.setattr(ablation_module, "ablation_worker", tiny_backbone.lazy_ablation)
    Ablation(
        settings=settings,
        train=read_split(tmp_path / "run" / "acquire", "train"),
        classes=("bright", "dark", "middle"),
        mirror_keeps_class=True,
        ingredients=ingredients_of(settings)[:2],
        seeds=(0,),
        out=tmp_path / "ablation",
    ).run(data="photos", device="cpu", progress=SilentProgress(), place=Processes(2))
    assert not (tmp_path / "ablation" / ".features").exists()
