"""Early stopping: how long it waits."""

from __future__ import annotations

import pytest

from tenfold.training.schedule import has_stalled


@pytest.mark.parametrize(
    ("epochs", "best_epoch", "patience", "expected"),
    [
        (0, None, 2, False),
        (9, None, 2, False),  # nothing was validated
        (1, 0, 1, False),
        (2, 0, 1, True),
        (2, 1, 1, False),
        (5, 2, 2, True),
        (5, 2, 3, False),
        (1000, 0, None, False),
    ],
)
def test_it_waits_so_many_epochs(
    epochs: int, best_epoch: int | None, patience: int | None, expected: bool
) -> None:
    assert has_stalled(epochs=epochs, best_epoch=best_epoch, patience=patience) is expected
