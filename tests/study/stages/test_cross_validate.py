"""Folds, what is predicted of them, and what a kill leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.records.data import AuditRecord
from tenfold.core.records.evaluation import CrossValidateRecord
from tenfold.data.dataset import ImageSplit, read_arrays, read_split
from tenfold.evaluation.scores import classification_scores
from tenfold.study.stages import cross_validate
from tenfold.study.stages.stage import TrainedModel

RunStage = Callable[..., Path]
NO_SEARCH = {"tune.is_enabled": False}
BOTH = NO_SEARCH | {"cross_validate.protocols": ["fresh", "warm-start"]}


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Give the list of what each training of the stage was called with, in order."""
    seen: list[dict[str, Any]] = []
    fit = cross_validate.fit_network

    def recorded(trainer: Any, plan: Any, train: ImageSplit, validation: Any, **rest: Any) -> Any:
        seen.append(
            {"training": trainer.settings, "train": train, "validation": validation, **rest}
        )
        return fit(trainer, plan, train, validation, **rest)

    monkeypatch.setattr(cross_validate, "fit_network", recorded)
    return seen


def images_of(*splits: ImageSplit | None) -> set[bytes]:
    return {image.tobytes() for split in splits if split is not None for image in split.images}


def folds_of(folder: Path, protocol: str) -> Iterator[ImageSplit]:
    """Give the images that each fold's model predicted, by the out-of-fold table."""
    train = read_split(folder.parent / "acquire", "train")
    fold = read_arrays(folder / f"out_of_fold_{protocol}.npz")["fold"]
    for number in range(1, fold.max() + 1):
        yield ImageSplit(train.images[fold == number], train.labels[fold == number])


@pytest.mark.parametrize("weights", ["last", "best"])
def test_no_model_predicts_an_image_it_was_fitted_or_chosen_by(
    run_stage: RunStage, fits: list[dict[str, Any]], weights: str
) -> None:
    folder = run_stage(
        "cross-validate",
        NO_SEARCH
        | {
            "cross_validate.folds": 3,
            "training.weights": weights,
            "training.validation_fraction": 0.25,
        },
    )
    held_out = list(folds_of(folder, "fresh"))
    assert len(fits) == len(held_out) == 3
    everything = images_of(read_split(folder.parent / "acquire", "train"))
    for fit, fold in zip(fits, held_out, strict=True):
        used = images_of(fit["train"], fit["validation"])
        assert not used & images_of(fold)
        assert used | images_of(fold) == everything
        assert fit["initial_weights"] is None
        assert (fit["validation"] is None) is (weights == "last")


def test_folds_that_may_end_early_hold_their_own_images_out(
    run_stage: RunStage, fits: list[dict[str, Any]]
) -> None:
    changes = {"training.early_stopping_patience": 1, "training.validation_fraction": 0.25}
    folder = run_stage("cross-validate", NO_SEARCH | {"cross_validate.folds": 3} | changes)
    for fit, fold in zip(fits, folds_of(folder, "fresh"), strict=True):
        assert fit["validation"] is not None
        assert not images_of(fit["train"], fit["validation"]) & images_of(fold)


def test_every_image_is_predicted_once_and_the_scores_follow(run_stage: RunStage) -> None:
    folder = run_stage("cross-validate", NO_SEARCH | {"cross_validate.folds": 3})
    train = read_split(folder.parent / "acquire", "train")
    table = read_arrays(folder / "out_of_fold_fresh.npz")
    protocol = CrossValidateRecord.read(folder / "record.json").protocols[0]
    assert sorted(set(table["fold"])) == [1, 2, 3]
    assert table["probabilities"].sum(1) == pytest.approx(np.ones(len(train)), abs=1e-5)
    for fold in protocol.folds:
        rows = table["fold"] == fold.fold
        assert (fold.validation_count, fold.train_count) == (rows.sum(), (~rows).sum())
        scores = classification_scores(
            train.labels[rows], table["probabilities"][rows], ("dark", "gray", "light")
        )
        assert (fold.accuracy, fold.macro_f1) == (scores.accuracy, scores.macro_f1)
    accuracies = [fold.accuracy for fold in protocol.folds]
    assert protocol.means["accuracy"] == pytest.approx(np.mean(accuracies))
    assert protocol.standard_deviations["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    assert not protocol.is_leaky


def test_warm_start_begins_with_the_trained_model_and_is_named_a_leak(
    run_stage: RunStage, fits: list[dict[str, Any]]
) -> None:
    folder = run_stage("cross-validate", BOTH)
    record = CrossValidateRecord.read(folder / "record.json")
    assert [(p.name, p.is_leaky) for p in record.protocols] == [
        ("fresh", False),
        ("warm-start", True),
    ]
    warm = record.protocols[1]
    assert (warm.epochs, warm.optimizer, warm.augmentation) == (1, "adam", "report")
    assert "leak" in warm.description
    trained = TrainedModel.read(
        folder.parent / "train", _acquired(folder.parent / "acquire")
    ).weights
    assert [fit["initial_weights"] is None for fit in fits] == [True, True, False, False]
    for fit in fits[2:]:
        assert all((fit["initial_weights"][name] == trained[name]).all() for name in trained)
    fresh, warm_table = (
        read_arrays(folder / f"out_of_fold_{name}.npz")["fold"] for name in ("fresh", "warm-start")
    )
    assert np.array_equal(fresh, warm_table)  # the same folds, so the two compare


def _acquired(folder: Path) -> Any:
    from tenfold.core.records.data import AcquireRecord

    return AcquireRecord.read(folder / "record.json")


def test_complete_folds_are_kept_when_the_stage_is_stopped(
    run_stage: RunStage, fits: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = NO_SEARCH | {"cross_validate.folds": 3}
    whole = run_stage("cross-validate", changes, out=run_stage("acquire").parent.parent / "whole")
    scores = cross_validate.classification_scores
    calls = iter(range(9))

    def stop_in_the_third(*args: Any) -> Any:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return scores(*args)

    fits.clear()
    with monkeypatch.context() as patch:
        patch.setattr(cross_validate, "classification_scores", stop_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            run_stage("cross-validate", changes, out=whole.parent.parent / "stopped")
    assert len(fits) == 3
    folder = run_stage("cross-validate", changes, out=whole.parent.parent / "stopped")
    assert len(fits) == 4
    ours, theirs = (read_arrays(each / "out_of_fold_fresh.npz") for each in (folder, whole))
    assert np.array_equal(ours["probabilities"], theirs["probabilities"])


def test_fewer_epochs_for_the_folds(run_stage: RunStage, fits: list[dict[str, Any]]) -> None:
    run_stage("cross-validate", NO_SEARCH | {"cross_validate.epochs": 1})
    assert [fit["training"].epochs for fit in fits] == [1, 1]


def test_no_more_folds_than_images_of_a_class(run_stage: RunStage, image_folder: Path) -> None:
    for path in sorted((image_folder / "dark").iterdir())[4:]:
        path.unlink()
    folder = run_stage("cross-validate", NO_SEARCH | {"cross_validate.folds": 11})
    record = CrossValidateRecord.read(folder / "record.json")
    assert record.folds == len(record.protocols[0].folds) == 3
    assert "3 folds instead of 11" in record.notes[0]
    assert "'dark'" in record.notes[0]


def test_an_image_alone_in_its_class_trains_in_every_fold(
    run_stage: RunStage, image_folder: Path, fits: list[dict[str, Any]]
) -> None:
    for path in sorted((image_folder / "dark").iterdir())[1:]:
        path.unlink()
    folder = run_stage("cross-validate", NO_SEARCH)
    train = read_split(folder.parent / "acquire", "train")
    alone = np.flatnonzero(train.labels == 0)
    assert len(alone) == 1
    assert all(0 in fit["train"].labels for fit in fits)
    stored = read_arrays(folder / "out_of_fold_fresh.npz")
    assert (np.flatnonzero(stored["fold"] == 0) == alone).all()
    assert (np.flatnonzero(np.isnan(stored["probabilities"]).any(axis=1)) == alone).all()


def test_without_a_second_class_of_two_images_there_are_no_folds(
    run_stage: RunStage, image_folder: Path
) -> None:
    for name in ("dark", "gray"):
        for path in sorted((image_folder / name).iterdir())[1:]:
            path.unlink()
    folder = run_stage("cross-validate", NO_SEARCH)
    record = CrossValidateRecord.read(folder / "record.json")
    assert (record.folds, record.protocols) == (0, ())
    assert "left out" in record.notes[0]
    audit = AuditRecord.read(run_stage("audit", NO_SEARCH) / "record.json")
    assert [labels.split for labels in audit.labels] == ["test"]
