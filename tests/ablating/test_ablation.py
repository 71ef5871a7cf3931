from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenfold.ablating import trainings as training
from tenfold.ablating.ablation import AblationRequest, run_ablation
from tenfold.ablating.variants import recipe_ablations
from tenfold.core.errors import TrainingError, UnknownNameError
from tenfold.core.progress import SilentProgress
from tenfold.core.records.ablation import AblationRecord
from tenfold.recipe import load_recipe
from tenfold.searching.searched_images import SearchedImages

TINY = (
    "model.widths=[4, 4, 4]",
    "training.batch_size=8",
    "training.precision=float32",
)
ONLY = ("whitening", "label-smoothing")


@pytest.fixture
def ablate(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AblationRecord]:
    monkeypatch.setattr("tenfold.engine.device.available_cores", lambda: 1)

    def run(name: str = "run", **changes: Any) -> AblationRecord:
        asked: dict[str, Any] = {
            "data": str(image_folder),
            "out": tmp_path / name,
            "seeds": 2,
            "epochs": 2,
            "only": ONLY,
            "assignments": TINY,
        }
        _, record = run_ablation(AblationRequest(**asked | changes), SilentProgress())
        return record

    return run


Ablate = Callable[..., AblationRecord]


def found(record: AblationRecord) -> Any:
    return [(one.name, one.accuracies) for one in (record.whole, *record.variants)]


class TestIngredients:
    def test_those_of_the_fast_recipe(self) -> None:
        names = [one.name for one in recipe_ablations(load_recipe("fast"))]
        assert {"whitening", "identity-initialization", "frozen-norm-scales"} <= set(names)
        assert {"muon", "schedule", "label-smoothing", "low-resolution", "augmentation"} <= set(
            names
        )
        assert "weight-decay" not in names  # it is 0 in this recipe

    def test_every_one_changes_valid_settings(self) -> None:
        settings = load_recipe("fast")
        for one in recipe_ablations(settings):
            without = settings.with_changes(one.changes)
            assert without != settings
            assert not one.is_present(without.flat())

    def test_an_unknown_one_suggests_the_near(self) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'whitening'"):
            recipe_ablations(load_recipe("fast"), ["whitning"])


def test_the_record(ablate: Ablate, tmp_path: Path) -> None:
    record = ablate()
    assert record.seeds == (0, 1)
    assert record.epochs == 2
    assert {one.name for one in record.variants} == set(ONLY)
    assert record.whole.difference is None
    for one in record.variants:
        assert one.difference == pytest.approx(record.whole.accuracy - one.accuracy)
        assert one.differences == pytest.approx(
            [a - b for a, b in zip(record.whole.accuracies, one.accuracies, strict=True)]
        )
        assert one.interval is not None
        assert one.interval.low <= one.difference <= one.interval.high
        assert one.seed_interval is not None
    assert record.validation_count == 3  # a tenth of 9 or 10 training images of each class
    folder = tmp_path / "run" / "ablate"
    assert {path.name for path in folder.iterdir()} == {
        "ablation.json",
        "ablation.csv",
        "ablation.svg",
        "ablation.png",
        "manifest.json",
    }
    with (folder / "ablation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["whole", *(one.name for one in record.variants)]


def test_the_test_split_is_not_opened(ablate: Ablate, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ablate()
    read = SearchedImages.read

    def damage_and_read(folder: Path, **rest: Any) -> SearchedImages:
        for path in folder.glob("test_*.npy"):
            path.write_bytes(b"no array")
        return read(folder, **rest)

    monkeypatch.setattr(SearchedImages, "read", damage_and_read)
    assert found(ablate("damaged")) == found(whole)


class _Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


def test_finished_trainings_are_kept(ablate: Ablate, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ablate("whole")
    titles: list[str] = []
    fit = training.fit_network

    def fit_or_die(*args: Any, **rest: Any) -> Any:
        result = fit(*args, **rest)
        titles.append(rest["title"])
        if len(titles) == 4:
            raise _Killed
        return result

    monkeypatch.setattr(training, "fit_network", fit_or_die)
    with pytest.raises(_Killed):
        ablate("stopped")
    assert found(ablate("stopped")) == found(whole)
    assert len(titles) == 4 + 3  # the killed one again, and two more of six
    ablate("stopped")
    assert len(titles) == 7


def test_a_variant_that_diverges_is_said_so(
    ablate: Ablate, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = training.fit_network

    def fit_or_diverge(plan: Any, *args: Any, **rest: Any) -> Any:
        if not plan.settings.is_whitened:
            raise TrainingError("The training diverged.")
        return fit(plan, *args, **rest)

    monkeypatch.setattr(training, "fit_network", fit_or_diverge)
    record = ablate()
    (whitening,) = [one for one in record.variants if one.name == "whitening"]
    assert whitening.accuracies == (0.0, 0.0)
    assert any("Diverged at least once" in s and "whitening" in s for s in record.sentences)


@pytest.mark.slow
def test_in_two_processes_it_is_the_same(ablate: Ablate) -> None:
    assert found(ablate("jobs", jobs=2)) == found(ablate("alone"))
