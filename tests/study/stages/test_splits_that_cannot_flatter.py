"""Groups, series and order in time, through the stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import CrossValidateRecord, EvaluateRecord
from tenfold.data.dataset import read_arrays, read_order, read_split, read_test_spans

RunStage = Callable[..., Path]
PEOPLE = 12
SHOTS = 5


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Give pictures of persons, each of one class; test images are of half of them."""
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        for shot in range(SHOTS):
            split = "test" if (shot == 0 or person >= PEOPLE - 2) else "train"
            path = tmp_path / "data" / split / f"class-{person % 2}" / f"p{person:02}_{shot}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(100 * (person % 2), 100 * (person % 2) + 150, (8, 8, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return tmp_path / "data"


def _settings(data: Path, **more: object) -> dict[str, object]:
    return {"data.source": "folder", "data.location": str(data), "tune.is_enabled": False} | {
        f"data.{name}": value for name, value in more.items()
    }


def test_scores_with_and_without_images_of_one_group(
    run_stage: RunStage, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.evaluation.series_difference.FEWEST_IMAGES", 2)
    folder = run_stage("evaluate", _settings(people, group_by=r"name:(p\d+)"))
    acquire = folder.parent / "acquire"
    record = EvaluateRecord.read(folder / "record.json")
    assert record.series is not None
    assert record.series.held_out is not None
    assert record.series.held_out.images == 2 * SHOTS
    assert record.series.shared.images == PEOPLE - 2
    spans = read_test_spans(acquire)
    assert spans is not None
    stored = read_arrays(folder / "predictions.npz")
    right = stored["probabilities"].argmax(1) == read_split(acquire, "test").labels
    assert record.series.held_out.accuracy == pytest.approx(right[~spans].mean())
    assert record.series.shared.accuracy == pytest.approx(right[spans].mean())
    assert record.series.p_value is not None
    assert 0 < record.series.p_value <= 1
    grouping = AcquireRecord.read(acquire / "record.json").grouping
    assert grouping is not None
    assert (grouping.groups, grouping.images, grouping.largest) == (PEOPLE, 60, SHOTS)


def test_without_groups_nothing_is_scored_apart(run_stage: RunStage, people: Path) -> None:
    folder = run_stage("evaluate", _settings(people, group_by="none"))
    assert EvaluateRecord.read(folder / "record.json").series is None


def test_folds_are_blocks_of_time(run_stage: RunStage, people: Path) -> None:
    changes = _settings(people, order_by=r"name:p(\d+)", group_by="none")
    folder = run_stage(
        "cross-validate", {**changes, "cross_validate.is_enabled": True, "cross_validate.folds": 2}
    )
    record = CrossValidateRecord.read(folder / "record.json")
    assert "blocks of time" in " ".join(record.notes)
    order = read_order(folder.parent / "acquire")
    assert order is not None
    name = record.protocols[0].name
    fold = read_arrays(folder / f"out_of_fold_{name}.npz")["fold"]
    assert order[fold == 1].max() < order[fold == 2].min()


def test_rules_for_images_without_files_are_refused(run_stage: RunStage) -> None:
    with pytest.raises(DataError, match="--group-by cannot be used with the source"):
        run_stage(
            "acquire", {"data.source": "digits", "data.location": None, "data.group_by": "folder"}
        )
