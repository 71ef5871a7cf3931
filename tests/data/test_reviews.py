from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tenfold.core.errors import RunFolderError, SettingsError
from tenfold.data.corrections import Correction, parse_corrections
from tenfold.data.decisions import Journal
from tenfold.data.reviews import RESOLVED, Review, check_reviewer

CLASSES = ("cat", "dög", '=fire "truck"')
TRAIN, TEST = np.array([0, 1, 2, 0]), np.array([2, 0])
LABELS = {
    f"{split}/{place}": CLASSES[label]
    for split, labels in (("train", TRAIN), ("test", TEST))
    for place, label in enumerate(labels.tolist())
}


def review(folder: Path, earlier: tuple[Correction, ...] = ()) -> Review:
    return Review(folder, LABELS, earlier, CLASSES)


def corrections(of: Review) -> tuple[Correction, ...]:
    return parse_corrections(
        of.write_corrections().read_bytes(), "ours", train=TRAIN, test=TEST, classes=CLASSES
    )


def test_corrections_are_those_of_todays_file(tmp_path: Path) -> None:
    one = review(tmp_path)
    ann = one.journal("ann")
    ann.decide("train/0", "cat", "relabel", '=fire "truck"')
    ann.decide("train/1", "dög", "keep", "dög")
    ann.decide("test/1", "cat", "drop")
    ann.decide("test/0", '=fire "truck"', "unsure")
    assert corrections(one) == (
        Correction("test", 0, "keep", None),
        Correction("test", 1, "drop", None),
        Correction("train", 0, "relabel", 2),
        Correction("train", 1, "keep", None),
    )


def test_where_reviewers_disagree_nothing_changes_until_it_is_resolved(tmp_path: Path) -> None:
    one = review(tmp_path)
    one.journal("ann").decide("train/0", "cat", "relabel", "dög")
    one.journal("ben").decide("train/0", "cat", "drop")
    one.journal("ann").decide("train/3", "cat", "drop")
    one.journal("ben").decide("train/3", "cat", "drop")
    assert list(one.disagreements()) == ["train/0"]
    assert corrections(one) == (
        Correction("train", 0, "keep", None),
        Correction("train", 3, "drop", None),
    )
    assert "train/0,cat,,keep,disagree,ann ben," in one.corrections_csv()
    assert [pairs for _, _, pairs in one.both()] == [
        [("class dög", "drop"), ("drop", "drop")],
    ]
    one.journal(RESOLVED).decide("train/0", "cat", "relabel", "dög")
    assert Correction("train", 0, "relabel", 1) in corrections(review(tmp_path))


def test_earlier_corrections_stay(tmp_path: Path) -> None:
    earlier = (
        Correction("train", 0, "relabel", 1),
        Correction("train", 1, "drop", None),
        Correction("train", 2, "relabel", 0),
    )
    one = review(tmp_path, earlier)
    one.journal("ann").decide("train/0", "cat", "keep", "dög")  # as it was corrected
    one.journal("ann").decide("train/2", '=fire "truck"', "relabel", '=fire "truck"')
    assert corrections(one) == (
        Correction("train", 0, "relabel", 1),
        Correction("train", 1, "drop", None),
        Correction("train", 2, "keep", None),
    )


@pytest.mark.parametrize(
    ("name", "given", "label", "problem"),
    [
        ("train/0", "dög", None, "has the label 'dög' and the study the label 'cat'"),
        ("train/99", "cat", None, "no such image"),
        ("train/0", "cat", "horse", "a class 'horse'"),
    ],
)
def test_decisions_about_other_data(
    tmp_path: Path, name: str, given: str, label: str | None, problem: str
) -> None:
    journal = Journal(tmp_path / "ann.jsonl")
    journal.decide(name, given, "drop" if label is None else "relabel", label)
    before = journal.path.read_bytes()
    with pytest.raises(RunFolderError, match="made for other data") as caught:
        review(tmp_path)
    assert problem in str(caught.value)
    assert journal.path.read_bytes() == before


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "x" * 41, "Resolved", "a b"])
def test_no_name_for_a_reviewer(name: str) -> None:
    with pytest.raises(SettingsError):
        check_reviewer(name)
