from __future__ import annotations

import pytest
import torch
from torch import nn

from tenfold.core.errors import TrainingError
from tenfold.training import device as memory_need
from tenfold.training.device import check_memory, enough_memory

CPU = torch.device("cpu")


def _network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten())


def test_a_step_that_cannot_fit_is_refused_with_a_size_and_what_fits_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_need, "available_memory", lambda: 2**26)
    with pytest.raises(TrainingError, match=r"200 × 200 px.*image_size_px=(64|96).*batch_size"):
        check_memory(_network(), (200, 200, 3), 100, CPU)
    check_memory(_network(), (200, 200, 3), 10, CPU)
    check_memory(_network(), (64, 64, 3), 100, CPU)


def test_torchs_own_words_become_a_sentence() -> None:
    with (
        pytest.raises(TrainingError, match=r"batches of 4 images of 90 × 80 px"),
        enough_memory((80, 90, 3), 4),
    ):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="shape"), enough_memory((80, 80, 3), 4):
        raise RuntimeError("a shape does not fit")
