"""Tasks in other processes read what a frozen backbone gives, and do not compute it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import tiny_backbone
from tenfold.core.progress import SilentProgress
from tenfold.core.records.data import AuditRecord
from tenfold.core.run_folder import FEATURES
from tenfold.data.dataset import read_split
from tenfold.models import pretrained
from tenfold.study import ablation as ablation_module
from tenfold.study import image_tasks
from tenfold.study.ablation import Ablation, ingredients_of
from tenfold.study.image_tasks import network_worker
from tenfold.study.recipe import StudySettings, load_recipe
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.processes import Processes
from tenfold.study.scaling.work import Driver, Place, Task, Work
from tenfold.study.search import search
from tenfold.study.stages import cross_validate
from tenfold.study.study import Study
from tenfold.training import feature_store as feature_store_module
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


@dataclass
class Counted:
    """A place that counts the blocks of images that it computes.

    Parameters
    ----------
    place
        Where.
    """

    place: Place
    blocks: int = 0

    @property
    def jobs(self) -> int:
        return 2

    def run(self, work: Work, driver: Driver) -> None:
        def next_task() -> Task | None:
            task = driver.next_task()
            is_block = work.function in {tiny_backbone.busy_network, network_worker}
            self.blocks += is_block and task is not None
            return task

        self.place.run(work, replace(driver, next_task=next_task))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (image_tasks, feature_store_module):
        monkeypatch.setattr(module, "BLOCK_IMAGES", 4)
    monkeypatch.setattr(image_tasks, "LEAST_BLOCKS", 1)
    monkeypatch.setattr(image_tasks, "network_worker", tiny_backbone.busy_network)


def features_and_weights(run: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    features = {path.name: path.read_bytes() for path in (run / FEATURES).glob("*.safetensors")}
    weights = {path.name: path.read_bytes() for path in (run / "train").glob("*.safetensors")}
    assert features
    assert weights
    return features, weights


@pytest.mark.slow
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "kind", ["processes", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.long])]
)
def test_blocks_of_images_are_tasks(
    kind: str,
    settings: StudySettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    settings = settings.with_changes({"tune.is_enabled": False})
    list(Study(settings, tmp_path / "here").run("train"))
    expected = features_and_weights(tmp_path / "here")
    place = Counted(Processes(2) if kind == "processes" else request.getfixturevalue("ray_place"))
    feature_store.cache_clear()
    monkeypatch.setattr(TinyBackbone, "computed", 0)
    list(Study(settings, tmp_path / "run", place=place).run("train"))
    assert TinyBackbone.computed <= 2  # by this process, to describe the network
    assert features_and_weights(tmp_path / "run") == expected
    assert place.blocks == len(expected[0])
    # What was lost, and nothing else, is computed again.
    lost = sorted((tmp_path / "run" / FEATURES).glob("*.safetensors"))[:2]
    for path in lost:
        path.unlink()
    shutil.rmtree(tmp_path / "run" / "train")
    feature_store.cache_clear()
    place.blocks = 0
    list(Study(settings, tmp_path / "run", place=place).run("train"))
    assert features_and_weights(tmp_path / "run") == expected
    assert place.blocks == len(lost)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", ["trained", "frozen"])
def test_the_audit_looks_at_blocks_of_images_by_tasks(
    kind: str,
    settings: StudySettings,
    tiny_settings: Callable[..., StudySettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == "trained":
        settings = tiny_settings({"data.mirror_keeps_class": True})
        monkeypatch.setattr(image_tasks, "network_worker", network_worker)
    settings = settings.with_changes(
        {"tune.is_enabled": False, "cross_validate.is_enabled": kind == "trained"}
    )
    list(Study(settings, tmp_path / "here").run("audit"))
    shutil.copytree(tmp_path / "here", tmp_path / "run")
    for name in ("audit", FEATURES):
        shutil.rmtree(tmp_path / "run" / name, ignore_errors=True)
    feature_store.cache_clear()
    monkeypatch.setattr(TinyBackbone, "computed", 0)
    place = Counted(Processes(2))
    list(Study(settings, tmp_path / "run", place=place).run("audit"))
    assert place.blocks > 0
    assert TinyBackbone.computed == 0
    here, run = (tmp_path / name / "audit" for name in ("here", "run"))
    for path in here.glob("*.csv"):
        assert (run / path.name).read_bytes() == path.read_bytes()
    records = [AuditRecord.read(folder / "record.json") for folder in (here, run)]
    assert records[0].model_copy(update={"seconds": records[1].seconds}) == records[1]


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
@pytest.mark.long
def test_trials_in_processes_are_told_the_features(
    settings: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "trial_worker", tiny_backbone.lazy_trials)
    list(Study(settings, tmp_path / "run", place=Processes(2)).run("tune"))


@pytest.mark.slow
@pytest.mark.long
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
