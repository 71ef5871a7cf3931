"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cifar10_path() -> Path:
    """Give the folder of CIFAR-10's binary version, for tests marked ``cifar10``."""
    place = os.environ.get("TENFOLD_CIFAR10")
    if not place:
        pytest.skip("needs CIFAR-10: set TENFOLD_CIFAR10 to the folder of its binary version")
    return Path(place)
