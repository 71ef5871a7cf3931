from __future__ import annotations

import csv
import io
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.training import train_record
from tenfold.core.errors import SettingsError
from tenfold.core.records.data import LabelAudit, LabelIssue
from tenfold.data.corrections import parse_corrections
from tenfold.data.dataset import ImageSplit
from tenfold.data.image_pairs import ImagePairs
from tenfold.data.near_duplicates import NearDuplicates
from tenfold.evaluation.audit import (
    AuditedImages,
    confident_class,
    duplicates_csv,
    issues_csv,
    looks_in_proportion,
    rank_label_issues,
    summarize_duplicates,
)
from tenfold.evaluation.robustness import training_passes

CLASSES = ("cat", "dog, wet", "=cmd")


def noisy(count: int = 1000) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], set[int]]:
    """Give predictions of a good model, labels, and which of these were changed."""
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 5, count)
    probabilities = rng.dirichlet(np.full(5, 0.3), count)
    probabilities[np.arange(count), truth] += 3
    probabilities /= probabilities.sum(1, keepdims=True)
    changed = rng.choice(count, 30, replace=False)
    labels = truth.copy()
    labels[changed] = (truth[changed] + rng.integers(1, 5, 30)) % 5
    return probabilities.astype(np.float32), labels, set(changed.tolist())


def test_changed_labels_come_first_with_their_true_class() -> None:
    probabilities, labels, changed = noisy()
    ranking = rank_label_issues(probabilities, labels)
    assert set(ranking.order[:30].tolist()) == changed
    assert set(np.flatnonzero(ranking.is_flagged).tolist()) <= changed
    first = ranking.order[:30]
    assert (ranking.suggested[first] == probabilities[first].argmax(1)).all()
    assert (np.diff(ranking.score[ranking.order]) >= 0).all()


def test_a_ranking_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.9, 0.1]])
    labels = np.array([0, 0, 1, 1])
    # Thresholds: (0.9 + 0.7) / 2 = 0.8 and (0.8 + 0.1) / 2 = 0.45.
    assert confident_class(probabilities, labels).tolist() == [0, -1, 1, 0]
    ranking = rank_label_issues(probabilities.astype(np.float32), labels)
    assert ranking.is_flagged.tolist() == [False, False, False, True]
    assert ranking.order.tolist() == [3]
    assert ranking.score[3] == pytest.approx(0.1 / (0.1 + 0.9))


def test_a_class_without_images_attracts_nothing() -> None:
    probabilities = np.tile(np.array([0.3, 0.1, 0.6], np.float32), (4, 1))
    ranking = rank_label_issues(probabilities, np.array([0, 0, 1, 1]))
    assert not (confident_class(probabilities.astype(float), np.array([0, 0, 1, 1])) == 2).any()
    assert len(ranking.order) == 4  # not flagged, but another class is more probable


def test_cleanlab_agrees() -> None:
    filters = pytest.importorskip("cleanlab.filter")
    probabilities, labels, _ = noisy()
    ranking = rank_label_issues(probabilities, labels)
    theirs = filters.find_label_issues(
        labels, probabilities.astype(float), filter_by="confident_learning", n_jobs=1
    )
    np.testing.assert_array_equal(ranking.is_flagged, theirs)
    assert ranking.is_flagged.sum() > 10
    by_default = filters.find_label_issues(labels, probabilities.astype(float), n_jobs=1)
    chosen = rank_label_issues(probabilities, labels, is_cleanlab=True)
    np.testing.assert_array_equal(chosen.is_flagged, by_default)


def test_a_missing_cleanlab_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(SettingsError, match=r"not installed\. Install it with pip install"):
        rank_label_issues(np.eye(2, dtype=np.float32), np.array([0, 1]), is_cleanlab=True)


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(2, 6))
def test_any_predictions_are_ranked(seed: int, count: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.2), count).astype(np.float32)
    labels = rng.integers(0, classes, count)
    ranking = rank_label_issues(probabilities, labels)
    assert ((ranking.score >= 0) & (ranking.score <= 1)).all()
    assert (ranking.suggested[ranking.order] != labels[ranking.order]).all()
    assert len(set(ranking.order.tolist())) == len(ranking.order)


def audited() -> AuditedImages:
    """Give 6 training and 4 test images; the third training image was dropped."""
    pixels = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    return AuditedImages(
        ImageSplit(pixels[:6], labels[:6]),
        ImageSplit(pixels[6:], labels[6:]),
        np.array([0, 1, 3, 4, 5, 6]),
        np.arange(4),
    )


def found(*rows: tuple[int, int, float]) -> ImagePairs:
    first, second, agreement = np.array(rows).reshape(-1, 3).T
    pairs = ImagePairs.of(first.astype(np.int64), second.astype(np.int64), is_mirrored=False)
    return pairs.with_agreement(agreement.astype(np.float32))


def duplicates(same: ImagePairs, alike: ImagePairs | None = None) -> NearDuplicates:
    return NearDuplicates(same, found() if alike is None else alike, 0.8, 50)


def test_identifiers_count_the_images_that_were_dropped() -> None:
    images = audited()
    names = [images.id_at(number) for number in range(len(images))]
    assert names[1:4] == ["train/1", "train/3", "train/4"]
    assert names[6] == "test/0"
    assert [images.place(name) for name in names] == list(range(10))
    assert images.pixels([2, 7]).ravel().tolist() == [2, 7]


def test_leaks_come_first_in_the_table() -> None:
    pairs = found((0, 3, 1.0), (1, 8, 0.85), (0, 6, 0.95), (7, 9, 0.99))
    images = audited()
    rows = list(csv.DictReader(duplicates_csv(duplicates(pairs), images, CLASSES).splitlines()))
    assert [(row["first"], row["second"]) for row in rows] == [
        ("train/0", "test/0"),
        ("train/1", "test/2"),
        ("train/0", "train/4"),
        ("test/1", "test/3"),
    ]
    assert rows[1]["second_label"] == "'=cmd"  # else a spreadsheet would compute it
    assert images.is_leak(pairs).tolist() == [True, False, True, False]


def test_duplicates_are_counted_by_split_and_label() -> None:
    pairs = ImagePairs.joined(
        found((0, 6, 0.95), (1, 8, 0.85), (0, 3, 0.9), (7, 9, 0.99)),
        found((1, 4, 1.0)).as_exact(),
    )
    summary = summarize_duplicates(duplicates(pairs), audited())
    assert (summary.across.exact, summary.across.near, summary.across.other_label) == (0, 2, 1)
    assert (summary.within_train.exact, summary.within_train.near) == (1, 1)
    assert summary.within_test.other_label == 1
    assert (summary.groups, summary.images_in_groups) == (3, 8)
    assert summary.leaked_test_images == 2
    assert len(summary.shown) == 5
    assert summary.shown[0].first_label != summary.shown[0].second_label


def test_alike_pairs_are_listed_apart_and_counted_nowhere_else() -> None:
    images, alike = audited(), found((1, 8, 0.7), (2, 4, 0.75))
    record = summarize_duplicates(duplicates(found((0, 6, 0.95)), alike), images)
    assert (record.alike, record.alike_across, record.leaked_test_images) == (2, 1, 1)
    assert [pair.agreement for pair in record.shown_alike] == [0.75, 0.7]
    assert (record.groups, len(record.shown)) == (1, 1)
    text = duplicates_csv(duplicates(found((0, 6, 0.95)), alike), images, CLASSES)
    verdicts = [row["verdict"] for row in csv.DictReader(text.splitlines())]
    assert verdicts == ["same", "alike", "alike"]


def test_without_pairs_there_is_nothing_to_show() -> None:
    summary = summarize_duplicates(duplicates(found()), audited())
    assert summary.shown == ()
    assert summary.groups == 0


def test_the_issues_can_be_read_back_as_corrections() -> None:
    audit = LabelAudit(
        split="train",
        probabilities="",
        images=6,
        flagged=2,
        issues=(
            LabelIssue(id="train/1", given=1, suggested=2, score=0.1),
            LabelIssue(id="train/4", given=0, suggested=1, score=0.2),
        ),
    )
    text = issues_csv([audit], CLASSES)
    assert text.splitlines()[0] == "id,given,suggested,score,action"
    labels = np.array([0, 1, 0, 2, 0, 1, 2])
    edited = text.replace("keep", "relabel", 1).encode()
    corrections = parse_corrections(edited, "mine.csv", train=labels, test=labels, classes=CLASSES)
    assert [(c.index, c.action, c.label) for c in corrections] == [
        (1, "relabel", 2),
        (4, "keep", None),
    ]


def test_no_class_name_is_a_formula_and_all_come_back() -> None:
    classes = (
        "=1+1",
        "-x",
        "+",
        "@sum",
        "'=1+1",
        "\tx",
        "a\rb\nc",
        " ",
        "cat ",
        "＝1",
        'a,"b"',
        "cat",
    )
    labels = np.arange(len(classes))
    issues = tuple(
        LabelIssue(
            id=f"train/{label}", given=label, suggested=(label + 1) % len(classes), score=0.1
        )
        for label in labels.tolist()
    )
    audit = LabelAudit.model_construct(issues=issues)
    text = issues_csv([audit], classes).replace(",keep\n", ",relabel\n")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    assert not {row[name][:1] for row in rows for name in ("given", "suggested")} & set(
        "=+-@\t\r＝"
    )
    read = parse_corrections(text.encode(), "a.csv", train=labels, test=labels, classes=classes)
    assert [correction.label for correction in read] == [*labels[1:].tolist(), 0]
    by_hand = "id,given,suggested,action\ntrain/0,=1+1,-x,relabel\ntrain/1, -x ,cat,relabel\n"
    read = parse_corrections(by_hand.encode(), "a.csv", train=labels, test=labels, classes=classes)
    assert [correction.label for correction in read] == [1, 11]


def test_pairs_are_compared_in_proportion_to_the_training_but_not_few() -> None:
    train = train_record((0.4,), None)

    def looks(multiply_adds: int | None, images: int) -> int:
        return looks_in_proportion(
            train.model_copy(update={"multiply_adds": multiply_adds}), images
        )

    assert looks(None, 10) == looks(1, 1000) >= 10_000
    assert looks(1, 10**6) == 10 * looks(1, 10**5) >= 10**6
    large, larger = looks(10**9, 1000), looks(2 * 10**9, 1000)
    assert larger == pytest.approx(2 * large, rel=0.01)
    # A third of what the training cost, a look costing no less than a small network's step.
    assert 10**7 * large <= 10**9 * training_passes(train) / 3
