"""A data set in memory: names from file systems become text that can be stored."""

from __future__ import annotations

import os

import numpy as np

from tenfold.core.records.data import LeftOutImage
from tenfold.data.dataset import ImageDataset, ImageSplit


def test_names_that_are_no_text_are_made_text() -> None:
    name = os.fsdecode(b"caf\xe9")
    split = ImageSplit(np.zeros((2, 4, 4, 1), np.uint8), np.arange(2))
    dataset = ImageDataset(
        source="folder",
        location=f"/data/{name}",
        title=name,
        description="",
        classes=(name, "café"),
        train=split,
        test=split,
        split_note="",
        left_out=(LeftOutImage(path=name, reason="broken"),),
        notes=(name,),
    )
    assert dataset.classes == (r"caf\xe9", "café")
    assert dataset.location == r"/data/caf\xe9"
    assert (dataset.title, dataset.notes[0], dataset.left_out[0].path) == (r"caf\xe9",) * 3


def test_take_gives_a_copy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 2, 2, 1), np.uint8)
    split = ImageSplit(images, np.arange(4))
    some = split.take(np.array([3, 0]))
    np.testing.assert_array_equal(some.images, split.images[[3, 0]])
    np.testing.assert_array_equal(some.labels, split.labels[[3, 0]])
    assert not np.shares_memory(some.images, split.images)
