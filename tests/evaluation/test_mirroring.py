"""Whether images may be mirrored is measured, whatever the classes are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tenfold.core.progress import SilentProgress
from tenfold.data.dataset import ImageSplit
from tenfold.data.sources.source import SOURCES, SourceOptions
from tenfold.evaluation.mirroring import decide_mirroring

Draw = Callable[..., ImageSplit]
NAMES = ("ant", "bee", "cow", "dog", "elk", "fox")


def test_two_classes_that_mirror_each_other_are_not_mirrored(drawn: Draw) -> None:
    decision = decide_mirroring(drawn(("left", "right"), 30), NAMES[:2], seed=0)
    assert not decision.keeps_class
    assert decision.record.decided_by == "measurement"
    assert decision.record.pairs == (("ant", "bee"),)
    assert decision.record.plain_accuracy > 0.9
    assert decision.record.mirrored_accuracy < 0.1


def test_a_pair_is_found_among_classes_that_mirroring_keeps(drawn: Draw) -> None:
    shapes = ("square", "left", "up", "right", "down", "diamond")
    decision = decide_mirroring(drawn(shapes, 30), NAMES, seed=0)
    assert not decision.keeps_class
    assert decision.record.pairs == (("bee", "dog"),)


def test_classes_that_mirroring_keeps_are_mirrored_whatever_their_names(drawn: Draw) -> None:
    decision = decide_mirroring(drawn(("up", "down", "square"), 20), ("b", "d", "p"), seed=0)
    assert decision.keeps_class
    assert decision.record.measured is True
    assert decision.record.pairs == ()


@pytest.mark.parametrize(
    ("classes", "keeps_class", "decided_by"),
    [
        (("turn left", "turn right"), False, "names"),
        (("TurnLeft", "TurnRight"), False, "names"),
        (("b", "d"), False, "names"),
        (("cat", "dog"), True, "default"),
        (("left bank", "right wing"), True, "default"),
    ],
)
def test_where_nothing_can_be_measured_names_count_and_it_is_in_doubt(
    classes: tuple[str, ...], keeps_class: bool, decided_by: str
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1), dtype=np.uint8)
    decision = decide_mirroring(ImageSplit(images, np.arange(8) % 2), classes, seed=0)
    assert decision.record.measured is None
    assert (decision.keeps_class, decision.record.decided_by) == (keeps_class, decided_by)


def test_images_of_no_content_leave_it_in_doubt() -> None:
    split = ImageSplit(np.zeros((40, 8, 8, 3), np.uint8), np.arange(40) % 4)
    assert decide_mirroring(split, NAMES[:4], seed=0).record.measured is None


def test_what_the_user_says_goes_and_it_is_measured_all_the_same(drawn: Draw) -> None:
    decision = decide_mirroring(drawn(("left", "right"), 20), NAMES[:2], True, seed=0)
    assert decision.keeps_class
    assert (decision.record.decided_by, decision.record.measured) == ("setting", False)


def test_threads_and_absent_classes_change_nothing(drawn: Draw) -> None:
    split = drawn(("left", "right"), 12)
    threads = torch.get_num_threads()
    records = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            records.append(decide_mirroring(split, NAMES[:2], seed=0).record)
    finally:
        torch.set_num_threads(threads)
    assert records[0] == records[1]
    moved = ImageSplit(split.images, split.labels * 2 + 1)
    record = decide_mirroring(moved, ("none", "ant", "nor", "bee"), seed=0).record
    assert record == records[0]


def test_large_classes_leave_room_for_small_ones(drawn: Draw) -> None:
    many, few = drawn(("square",), 60), drawn(("left", "right"), 6)
    split = ImageSplit(
        np.concatenate([many.images, few.images]), np.concatenate([many.labels, few.labels + 1])
    )
    assert decide_mirroring(split, NAMES[:3], seed=0, most_images=30).record.images == 30


@pytest.mark.slow
def test_digits_are_not_mirrored() -> None:
    train = SOURCES["digits"].load(None, SourceOptions(), SilentProgress()).train
    names = [f"number {digit}" for digit in range(10)]
    decision = decide_mirroring(train, names, seed=0, most_images=400)
    assert not decision.keeps_class
    assert decision.record.measured is False


@pytest.mark.cifar10
@pytest.mark.slow
def test_photographs_are_mirrored(cifar10_path: Path) -> None:
    dataset = SOURCES["cifar10"].load(cifar10_path, SourceOptions(), SilentProgress())
    decision = decide_mirroring(dataset.train, dataset.classes, seed=0)
    assert decision.keeps_class
    assert decision.record.measured is True
