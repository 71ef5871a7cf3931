"""The audit of tiny studies, and corrections from the audit's file back into the scores."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tenfold.core.errors import DataError, RunFolderError
from tenfold.core.records.data import AcquireRecord, AuditRecord
from tenfold.core.records.evaluation import ClassificationScores, EvaluateRecord
from tenfold.data.corrections import corrections_settings
from tenfold.data.dataset import read_arrays, read_given_split, read_groups, read_split, write_array
from tenfold.study.recipe import StudySettings
from tenfold.study.study import Study

RunStage = Callable[..., Path]
QUICK = {"tune.is_enabled": False, "evaluate.robustness_images": 0}


@pytest.fixture
def doubled_folder(image_folder: Path) -> Path:
    """Give the image folder as training and test split that share two images, one mislabelled."""
    split = image_folder.parent / "split"
    for number, path in enumerate(sorted(image_folder.rglob("*.png"))):
        part = "test" if number % 4 == 0 else "train"
        place = split / part / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(place)
    source = split / "train" / "dark"
    (split / "test" / "dark" / "copy.png").write_bytes((source / "01.png").read_bytes())
    (split / "test" / "light" / "copy.png").write_bytes((source / "02.png").read_bytes())
    return split


def test_finds_the_leaks_and_scores_without_them(run_stage: RunStage, doubled_folder: Path) -> None:
    folder = run_stage("audit", QUICK | {"data.location": str(doubled_folder)})
    record = AuditRecord.read(folder / "record.json")
    assert record.duplicates.across.exact == 2
    assert record.duplicates.across.other_label == 1
    assert record.duplicates.leaked_test_images == 2
    assert record.duplicates.within_train.exact == 0
    assert record.scores.plain.images == 11
    assert record.scores.without_leaks is not None
    assert record.scores.without_leaks.images == 9
    assert record.scores.leaks_only is not None
    assert record.scores.leaks_only.images == 2
    rows = list(csv.DictReader((folder / "duplicates.csv").read_text().splitlines()))
    assert [row["is_exact"] for row in rows] == ["true", "true"]
    assert all(row["first"].startswith("train/") for row in rows)
    shown = read_arrays(folder / "images.npz")
    train = read_split(folder.parent / "acquire", "train")
    for row in rows:
        place = int(row["first"].removeprefix("train/"))
        image = shown["images"][shown["ids"].tolist().index(row["first"])]
        np.testing.assert_array_equal(image, train.images[place])


def test_audits_training_labels_only_by_models_that_did_not_see_them(run_stage: RunStage) -> None:
    folder = run_stage("audit", QUICK)
    record = AuditRecord.read(folder / "record.json")
    assert [labels.split for labels in record.labels] == ["train", "test"]
    assert "not trained on the image" in record.labels[0].probabilities
    assert "2 folds" in record.labels[1].probabilities
    leaky = QUICK | {"cross_validate.protocols": ["warm-start"]}
    folder = run_stage("audit", leaky, out=folder.parent.parent / "leaky")
    labels = AuditRecord.read(folder / "record.json").labels
    assert [part.split for part in labels] == ["test"]
    assert not (folder.parent / "cross-validate").exists()


def test_a_cross_validation_that_came_later_is_taken_up(
    tiny_settings: Callable[..., StudySettings], tmp_path: Path
) -> None:
    settings = tiny_settings(QUICK | {"cross_validate.is_enabled": False})
    study = Study(settings, tmp_path / "run")

    def ran(*names: str) -> list[str]:
        return [outcome.name for outcome in study.run(*names) if outcome.was_run]

    assert ran("audit") == ["acquire", "train", "evaluate", "audit"]
    assert ran("audit") == []
    assert ran("cross-validate") == ["cross-validate"]
    assert ran("audit") == ["audit"]
    assert len(AuditRecord.read(tmp_path / "run" / "audit" / "record.json").labels) == 2


def corrected(settings: Callable[..., StudySettings], file: Path, out: Path) -> Study:
    changes = QUICK | {"data.corrections": corrections_settings(file, file.read_bytes()).plain()}
    return Study(settings(changes), out, corrections=file.read_bytes(), update=True)


def test_corrections_are_honoured_and_scored_with_and_without(
    tiny_settings: Callable[..., StudySettings], run_stage: RunStage, tmp_path: Path
) -> None:
    folder = run_stage("audit", QUICK)
    acquire = folder.parent / "acquire"
    before = read_split(acquire, "train")
    test = read_split(acquire, "test")
    rows = [
        {"id": "train/3", "suggested": "light", "action": "relabel"},
        {"id": "train/4", "suggested": "", "action": "drop"},
        {"id": "test/0", "suggested": "", "action": "drop"},
        {"id": "test/1", "suggested": "dark", "action": "relabel"},
        {"id": "test/2", "suggested": "dark", "action": "keep"},
    ]
    file = tmp_path / "mine.csv"
    with file.open("w", newline="") as text:
        writer = csv.DictWriter(text, ["id", "suggested", "action"])
        writer.writeheader()
        writer.writerows(rows)
    list(corrected(tiny_settings, file, folder.parent).run("evaluate", "audit"))

    after = read_split(acquire, "train")
    assert len(after) == len(before) - 1
    assert after.labels[3] == 2
    np.testing.assert_array_equal(after.images[4], before.images[5])
    np.testing.assert_array_equal(read_given_split(acquire, "train").labels, before.labels)
    assert len(read_groups(acquire)) == len(after)
    acquired = AcquireRecord.read(acquire / "record.json")
    assert sum(acquired.train_counts) == len(after)
    assert acquired.corrections is not None
    assert acquired.corrections.train.dropped == 1
    assert acquired.corrections.train.relabelled == int(before.labels[3] != 2)
    assert acquired.train_sha256 == after.sha256()

    evaluate = folder.parent / "evaluate"
    scores = EvaluateRecord.read(evaluate / "record.json").scores
    given = ClassificationScores.read(evaluate / "scores_as_given.json")
    assert scores.count == len(test) - 1
    assert given.count == len(test)
    assert [c.total_cases for c in given.classes] == np.bincount(test.labels).tolist()

    issues = AuditRecord.read(folder / "record.json").labels[0].issues
    originals = {f"train/{place}" for place in range(len(before)) if place != 4}
    assert {issue.id for issue in issues} <= originals
    for issue in issues:
        place = int(issue.id.removeprefix("train/"))
        assert issue.given == (2 if place == 3 else before.labels[place])


def test_the_audits_own_file_unedited_changes_no_label(
    tiny_settings: Callable[..., StudySettings], run_stage: RunStage
) -> None:
    folder = run_stage("audit", QUICK)
    before = read_split(folder.parent / "acquire", "train").labels
    list(corrected(tiny_settings, folder / "label_issues.csv", folder.parent).run("acquire"))
    np.testing.assert_array_equal(read_split(folder.parent / "acquire", "train").labels, before)
    assert (folder.parent / "corrections.csv").is_file()


def test_wrong_lines_stop_the_study_and_leave_it_usable(
    tiny_settings: Callable[..., StudySettings], tmp_path: Path
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("id,action\ntrain/999,drop\ntrain/0,remove\n")
    study = corrected(tiny_settings, file, tmp_path / "run")
    with pytest.raises(DataError, match=r"line 2: There is no image train/999[\s\S]*line 3:"):
        list(study.run("acquire"))
    file.write_text("id,action\ntrain/0,drop\n")
    list(corrected(tiny_settings, file, tmp_path / "run").run("acquire"))


def test_a_corrections_file_changed_behind_our_back_is_named(
    tiny_settings: Callable[..., StudySettings], tmp_path: Path
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("id,action\ntrain/0,drop\n")
    study = corrected(tiny_settings, file, tmp_path / "run")
    list(study.run("acquire"))
    (tmp_path / "run" / "corrections.csv").write_text("id,action\ntrain/1,drop\n")
    study = Study(study.settings, tmp_path / "run")
    assert [outcome.was_run for outcome in study.run("acquire")] == [False]
    write_array(tmp_path / "run" / "acquire" / "test_labels.npy", np.zeros(3, np.int64))
    with pytest.raises(RunFolderError, match=r"not the corrections file mine\.csv"):
        list(study.run("acquire"))
