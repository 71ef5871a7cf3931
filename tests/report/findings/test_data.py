"""What was found in the data, and what the page says of it."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from real_study import CONFLICTS, LEAKS, TEST_COUNTS, TRAIN_COUNTS
from tenfold.core.records.data import (
    AcquireRecord,
    CorrectionsRecord,
    MirrorRecord,
    SplitCorrections,
)
from tenfold.core.records.evaluation import CrossValidateRecord
from tenfold.core.records.training import RebalancingRecord
from tenfold.evaluation.scores import is_imbalanced
from tenfold.report.findings.data import (
    Extremes,
    brightness_extremes,
    channel_facts,
    class_balances,
    conflicts,
    contrast_extremes,
    had_copies_only,
    mirror_sentence,
    share_in_groups,
    size_effect,
    validation_draw,
)
from tenfold.report.records import StudyRecords


def test_balance(builder: SimpleNamespace) -> None:
    train, test = class_balances(builder.acquire_record(("cat", "dog")))
    assert (train.split, train.total, train.imbalance.is_uneven) == ("training", 10000, False)
    train, test = class_balances(
        builder.acquire_record(("cat", "dog"), train_counts=(40, 12), test_counts=(10, 0))
    )
    assert (train.largest, train.smallest) == (("cat", 40), ("dog", 12))
    assert train.imbalance.is_uneven
    assert test.empty == ("dog",)
    assert len(class_balances(builder.acquire_record(("cat",), test_counts=(0,)))) == 1


MIRRORING = MirrorRecord(
    decided_by="measurement",
    measured=False,
    images=400,
    plain_accuracy=0.9,
    mirrored_accuracy=0.1,
    taught_accuracy=0.5,
    pairs=(("left", "right"),),
)


def test_why_images_are_not_mirrored_and_how_to_have_it_otherwise() -> None:
    sentence = mirror_sentence(keeps_class=False, record=MIRRORING)
    assert sentence.startswith("Images are not mirrored when they are augmented, measured: left")
    assert "left and right look like each other's mirror images" in sentence
    assert sentence.endswith("--set data.mirror_keeps_class=true.")
    assert "doubt" not in sentence


def test_a_doubt_and_a_contradiction_are_said() -> None:
    doubtful = MIRRORING.model_copy(update={"measured": None, "pairs": ()})
    assert "doubt" in mirror_sentence(keeps_class=False, record=doubtful)
    for decided_by in ("names", "default"):
        by_other = doubtful.model_copy(update={"decided_by": decided_by})
        assert "doubt" in mirror_sentence(keeps_class=True, record=by_other)
    told = MIRRORING.model_copy(update={"decided_by": "setting"})
    assert "measuring says otherwise" in mirror_sentence(keeps_class=True, record=told)
    assert "otherwise," not in mirror_sentence(keeps_class=False, record=told)


def test_records_of_before_mirroring_was_measured_are_read(builder: SimpleNamespace) -> None:
    stored = builder.acquire_record(("cat", "dog")).model_dump(mode="json")
    del stored["mirroring"]
    record = AcquireRecord.model_validate(stored, strict=False)
    assert record.mirroring is None
    sentence = mirror_sentence(record.mirror_keeps_class, record.mirroring)
    assert sentence.startswith("Images are mirrored left to right when they are augmented.")


def test_dominant_channel(builder: SimpleNamespace) -> None:
    facts = channel_facts(builder.cifar_study().explore)
    assert (facts.strongest[0], facts.weakest[0]) == ("red", "blue")
    assert (facts.widest[0], facts.narrowest[0]) == ("blue", "green")


@pytest.mark.parametrize(
    ("mean", "tone", "leaning"),
    [
        (0.34, "dark", None),
        (0.4, "moderate", "dark"),
        (0.5, "moderate", None),
        (0.6, "moderate", "bright"),
        (0.7, "bright", None),
    ],
)
def test_tones(builder: SimpleNamespace, mean: float, tone: str, leaning: str | None) -> None:
    record = builder.gray_study().explore.model_copy(update={"channel_means": (mean,)})
    facts = channel_facts(record)
    assert (facts.tone, facts.leaning) == (tone, leaning)


def test_brightest_and_darkest_classes_of_ten(builder: SimpleNamespace) -> None:
    found = brightness_extremes(builder.cifar_study().explore)
    assert found == Extremes(
        False, (("airplane", 0.5583), ("ship", 0.5202)), (("frog", 0.4369), ("automobile", 0.4528))
    )


def test_two_classes_have_one_at_each_end(builder: SimpleNamespace) -> None:
    record = builder.explore_record(("cat", "dog"), (0.4, 0.6), (0.2, 0.1))
    assert brightness_extremes(record) == Extremes(False, (("dog", 0.6),), (("cat", 0.4),))
    assert contrast_extremes(record) == Extremes(False, (("cat", 0.2),), (("dog", 0.1),))


def test_a_tie_is_one_to_the_digits_shown(builder: SimpleNamespace) -> None:
    record = builder.explore_record(("cat", "dog"), (0.5, 0.5001), (0.2, 0.2))
    found = brightness_extremes(record)
    assert found.are_equal
    assert len(found.highest) == 2


def test_a_tie_for_the_last_place_lists_all_of_it(builder: SimpleNamespace) -> None:
    record = builder.explore_record(tuple("abcdef"), (0.9, 0.5, 0.5, 0.5, 0.2, 0.1), (0.2,) * 6)
    found = brightness_extremes(record)
    assert (_names(found.highest), _names(found.lowest)) == ("a b c d", "f e")


def test_a_class_without_images_is_not_called_dark(builder: SimpleNamespace) -> None:
    record = builder.explore_record(("cat", "dog", "ape"), (0.0, 0.4, 0.6), (0.0, 0.2, 0.3))
    empty, *others = record.classes
    empty = empty.model_copy(update={"count": 0})
    found = brightness_extremes(record.model_copy(update={"classes": (empty, *others)}))
    assert (_names(found.highest), _names(found.lowest)) == ("ape", "dog")
    assert brightness_extremes(record.model_copy(update={"classes": (empty,)})) is None


def _names(ends: tuple[tuple[str, float], ...]) -> str:
    return " ".join(name for name, _ in ends)


@pytest.fixture
def study(builder: SimpleNamespace) -> StudyRecords:
    """Give two large classes that are recognised and two small ones that are not."""
    classes = ("ant", "bee", "cat", "dog")
    confusion = np.array([[950, 50, 0, 0], [60, 940, 0, 0], [30, 20, 0, 0], [9, 9, 1, 1]])
    base: StudyRecords = builder.cifar_study()
    return dataclasses.replace(
        base,
        settings={"training": {"validation_method": "stratified", "validation_fraction": 0.1}},
        references=(),
        acquire=builder.acquire_record(
            classes, train_counts=(5000, 5000, 250, 100), test_counts=(1000, 1000, 50, 20)
        ),
        explore=None,
        tune=None,
        train=builder.train_record((0.7, 0.8, 0.9), (0.7, 0.8, 0.85), class_count=4),
        evaluate=builder.evaluate_record(confusion, classes),
        cross_validate=CrossValidateRecord(
            folds=2, protocols=(builder.protocol_record("fresh", (0.9, 0.91)),)
        ),
    )


@pytest.mark.parametrize(
    ("training", "given", "expected"),
    [
        ({"validation_method": "stratified", "validation_fraction": 0.1}, 0, "stratified"),
        ({"validation_method": "stratified", "validation_fraction": 0.1}, 9, None),
        ({"validation_method": "stratified", "validation_fraction": 0}, 0, None),
        ({"validation_method": "last"}, 0, "last"),
        (None, 0, None),
    ],
)
def test_how_the_validation_images_were_drawn(
    study: StudyRecords, training: Any, given: int, expected: str | None
) -> None:
    acquire = study.acquire.model_copy(update={"validation_count": given})
    assert validation_draw({"training": training}, acquire) == expected


def test_small_classes_are_compared_with_large_ones(
    study: StudyRecords, builder: SimpleNamespace
) -> None:
    assert study.evaluate is not None
    effect = size_effect(study.evaluate, study.acquire)
    assert (effect.sizes, effect.most_of_small, effect.least_of_large) == ("uneven", 250, 5000)
    assert effect.rank_correlation == pytest.approx(0.7379, abs=1e-4)
    classes = study.acquire.classes
    for counts, sizes in (((90,) * 4, "equal"), ((90, 100, 95, 90), "about equal")):
        acquire = builder.acquire_record(classes, train_counts=counts)
        assert size_effect(study.evaluate, acquire).sizes == sizes
        assert not is_imbalanced(acquire)


def test_the_headline_leads_with_balanced_accuracy(study: StudyRecords, section: Any) -> None:
    text = section("header", study)
    assert "Balanced accuracy 48.5%" in text
    assert "plain accuracy 91.4%" in text
    assert "finds 48 on average over the classes, but only 0 of cat; counting every image" in text


def test_equal_classes_have_no_worst_and_an_untested_one_is_said_to_count(
    study: StudyRecords, builder: SimpleNamespace, section: Any
) -> None:
    evaluate = builder.evaluate_record(np.diag([3, 1, 1, 0]), study.acquire.classes)
    text = section("header", dataclasses.replace(study, evaluate=evaluate))
    assert "but only" not in text
    assert "1 class without a test image counted as 0" in text
    assert "every tested class has F1 1" in text


@pytest.mark.parametrize(
    ("part", "fragment"),
    [
        ("exploration", "the largest class to the smallest is 50.0 to 1"),
        ("exploration", "the validation split and the folds of the cross-validation have"),
        ("training", "Accuracy here counts every image alike"),
        ("evaluation", "so accuracy (91.4%) is mostly that of the large ones"),
        ("evaluation", "Rebalance the classes"),
        ("cross-validation", "Averaged over the classes, which differ in size, the folds find"),
        ("conclusions", "Balanced accuracy 48.5%; plain test accuracy 91.4%"),
        ("conclusions", "gives a macro recall of"),
    ],
)
def test_every_section_says_it(
    study: StudyRecords, builder: SimpleNamespace, section: Any, part: str, fragment: str
) -> None:
    assert fragment in section(part, study)
    assert fragment not in section(part, builder.cifar_study())


def test_the_page_says_how_the_training_was_rebalanced(study: StudyRecords, section: Any) -> None:
    assert study.train is not None
    chosen = RebalancingRecord(
        asked="auto", method="inverse", ratio=50, sentence="It was rebalanced, as it is uneven."
    )
    train = study.train.model_copy(update={"rebalancing": chosen})
    rebalanced = dataclasses.replace(study, train=train)
    assert chosen.sentence in section("exploration", rebalanced)
    assert "the training was rebalanced already" in section("conclusions", rebalanced)
    unasked = chosen.model_copy(update={"asked": "none", "method": "none"})
    train = study.train.model_copy(update={"rebalancing": unasked})
    assert chosen.sentence not in section("exploration", dataclasses.replace(study, train=train))


def test_planted_faults_are_counted(real_study: StudyRecords) -> None:
    assert real_study.audit is not None
    duplicates = real_study.audit.duplicates
    assert (duplicates.leaked_test_images, conflicts(duplicates)) == (LEAKS, CONFLICTS)
    images = sum(TRAIN_COUNTS + TEST_COUNTS) + LEAKS - 1  # one file has a leak's name already
    share = 2 * (LEAKS + CONFLICTS) / images
    assert share_in_groups(duplicates, real_study.acquire) == pytest.approx(share, abs=0.002)


@pytest.mark.parametrize(
    ("size_px", "candidates", "expected"), [(32, 0, False), (8, 0, True), (8, 1, False)]
)
def test_small_images_are_searched_for_copies_only(
    real_study: StudyRecords,
    builder: SimpleNamespace,
    size_px: int,
    candidates: int,
    expected: bool,
) -> None:
    audit = _with_duplicates(real_study, candidates=candidates).audit
    assert audit is not None
    acquire = builder.acquire_record(("cat", "dog"), size_px=size_px)
    assert had_copies_only(audit.duplicates, acquire) == expected


def test_the_section_follows_the_facts(real_study: StudyRecords, section: Any) -> None:
    text = section("audit", real_study)
    assert "3 test images (6.8%) have a near-duplicate" in text
    assert "labels as the source gave them" not in text
    assert "Look at these first" not in text
    assert "No test image has a near-duplicate" in section(
        "audit", _with_duplicates(real_study, leaked_test_images=0)
    )
    assert "50% of all images" in section(
        "audit", _with_duplicates(real_study, images_in_groups=85)
    )
    assert "--thorough" not in text
    text = section("audit", _with_duplicates(real_study, candidates=50, left_out=1200))
    assert "1,200 further pairs were not compared" in text
    assert "--thorough" in text


def test_scores_with_and_without_corrections_stand_side_by_side(
    real_study: StudyRecords, section: Any
) -> None:
    corrections = CorrectionsRecord(
        file="mine.csv",
        lines=9,
        train=SplitCorrections(relabelled=1, dropped=2),
        test=SplitCorrections(relabelled=3, dropped=0),
    )
    assert real_study.evaluate is not None
    given = real_study.evaluate.scores.model_copy(update={"accuracy": 0.651, "macro_f1": 0.649})
    acquire = real_study.acquire.model_copy(update={"corrections": corrections})
    text = section("audit", dataclasses.replace(real_study, acquire=acquire, scores_as_given=given))
    rows = re.findall(r" [\d,]+(?: \(few\))? (\d\.\d{3}) \d\.\d{3} ", text)
    assert [float(accuracy) for accuracy in rows] == [0.955, 0.651, 0.951, 1]
    assert "1 training image relabelled and 2 left out and 3 test images relabelled" in text
    assert "accuracy of 0.651 and a macro F1 of 0.649" in text


def test_without_folds_the_page_says_how_to_audit_training(
    real_study: StudyRecords, section: Any
) -> None:
    assert real_study.audit is not None
    audit = real_study.audit.model_copy(update={"labels": real_study.audit.labels[1:]})
    assert "The training labels were not audited" in section(
        "audit", dataclasses.replace(real_study, audit=audit)
    )


def _with_duplicates(real_study: StudyRecords, **changes: Any) -> StudyRecords:
    assert real_study.audit is not None
    duplicates = real_study.audit.duplicates.model_copy(update=changes)
    return dataclasses.replace(
        real_study, audit=real_study.audit.model_copy(update={"duplicates": duplicates})
    )
