"""The policy that does nothing."""

from __future__ import annotations

import torch

from tenfold.data.augmentation.none import POLICY


def test_the_images_themselves_come_back() -> None:
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    assert POLICY(images, torch.empty(2, 0), mirror_keeps_class=True) is images
