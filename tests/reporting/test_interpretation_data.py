"""The sentences about the data name the right classes."""

from __future__ import annotations

from types import SimpleNamespace

from tenfold.core.records.acquire import AcquireRecord
from tenfold.core.records.mirroring import MirrorRecord
from tenfold.reporting.interpretation_data import (
    balance_sentences,
    brightness_sentences,
    channel_sentences,
    mirror_sentence,
    spread_sentences,
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


def test_brightest_and_darkest_classes_of_ten(builder: SimpleNamespace) -> None:
    bright, dark = brightness_sentences(builder.cifar_study().explore)
    assert "airplane (0.558) and ship (0.520)" in bright
    assert "frog (0.437) and automobile (0.453)" in dark
    assert "values belong to" in bright


def test_two_classes_have_one_at_each_end(builder: SimpleNamespace) -> None:
    record = builder.explore_record(("cat", "dog"), (0.4, 0.6), (0.2, 0.1))
    bright, dark = brightness_sentences(record)
    assert bright.startswith("The highest mean pixel value belongs to dog (0.600): its images")
    assert dark.startswith("The lowest mean pixel value belongs to cat (0.400)")
    most, least = spread_sentences(record)
    assert "most in cat (0.200)" in most
    assert "least in dog (0.100)" in least


def test_a_tie_is_named_as_one(builder: SimpleNamespace) -> None:
    record = builder.explore_record(("cat", "dog"), (0.5, 0.5001), (0.2, 0.2))
    assert brightness_sentences(record) == [
        "All 2 classes are equally bright: their mean pixel values agree to three digits (0.500)."
    ]


def test_a_tie_for_the_last_place_lists_all_of_it(builder: SimpleNamespace) -> None:
    record = builder.explore_record(tuple("abcdef"), (0.9, 0.5, 0.5, 0.5, 0.2, 0.1), (0.2,) * 6)
    bright, dark = brightness_sentences(record)
    assert "a (0.900), b (0.500), c (0.500) and d (0.500)" in bright
    assert "f (0.100) and e (0.200)" in dark


def test_a_class_without_images_is_not_called_dark(builder: SimpleNamespace) -> None:
    record = builder.explore_record(("cat", "dog", "ape"), (0.0, 0.4, 0.6), (0.0, 0.2, 0.3))
    empty = record.classes[0].model_copy(update={"count": 0})
    sentences = brightness_sentences(
        record.model_copy(update={"classes": (empty, *record.classes[1:])})
    )
    assert "cat" not in " ".join(sentences)
    assert "dog (0.400)" in sentences[1]


def test_dominant_channel(builder: SimpleNamespace) -> None:
    text = " ".join(channel_sentences(builder.cifar_study().explore))
    assert "The red channel dominates (0.491); the blue channel is the weakest (0.447)." in text
    assert "most in the blue channel (standard deviation 0.262)" in text


def test_gray_images_have_no_dominant_channel(builder: SimpleNamespace) -> None:
    text = " ".join(channel_sentences(builder.gray_study().explore))
    assert "one channel (gray)" in text
    assert "dominates" not in text


def test_balance(builder: SimpleNamespace) -> None:
    even = balance_sentences(builder.acquire_record(("cat", "dog")))
    assert "each of the 2 classes has 5,000 images" in even[0]
    uneven = balance_sentences(
        builder.acquire_record(("cat", "dog"), train_counts=(40, 12), test_counts=(10, 0))
    )
    assert "from 12 images (dog, 23.1%) to 40 images (cat, 76.9%), a ratio of 3.3 to 1" in uneven[0]
    assert "leave out dog" in uneven[1]
