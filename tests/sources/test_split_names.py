from __future__ import annotations

import pytest

from tenfold.data.sources.folder_splits import possible_role, role_of, without_role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *((name, "train") for name in ("train", "Training", "TRAIN", "train_set", "trainset")),
        *((name, "train") for name in ("Training Data", "train-images", "train2017", "01_train")),
        *((name, "train") for name in ("images_train", "trainval", "training_set", "train_data")),
        *((name, "test") for name in ("test", "Testing", "test_set", "Test Images", "evaluation")),
        *((name, "test") for name in ("eval", "holdout", "hold-out", "held_out", "testdata")),
        *((name, "validation") for name in ("val", "valid", "Validation", "dev", "validation_set")),
        *((name, "validation") for name in ("VAL", "val2017", "development", "valid images")),
        *((name, None) for name in ("cat", "trains", "invalid", "tester", "contest", "device")),
        *((name, None) for name in ("control", "train ticket", "latest", "values", "seg_train")),
    ],
)
def test_usual_names_of_splits_are_known_in_any_case(name: str, role: str | None) -> None:
    assert role_of(name) == role


@pytest.mark.parametrize(
    ("name", "role", "rest"),
    [
        ("seg_train", "train", "seg"),
        ("PublicTest", "test", "Public"),
        ("X_test", "test", "X"),
        ("cat-val", "validation", "cat"),
        ("tr", "train", ""),
        ("train_test", None, ""),
        ("cattrain", None, "cattrain"),
    ],
)
def test_a_name_may_have_a_split_in_it(name: str, role: str | None, rest: str) -> None:
    assert possible_role(name) == role
    assert without_role(name) == rest
