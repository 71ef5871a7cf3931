"""The facts about the data name the right classes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tenfold.core.records.data import AcquireRecord, MirrorRecord
from tenfold.report.findings.data import (
    Extremes,
    brightness_extremes,
    channel_facts,
    class_balances,
    contrast_extremes,
    mirror_sentence,
)

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


def _names(ends: tuple[tuple[str, float], ...]) -> str:
    return " ".join(name for name, _ in ends)


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
