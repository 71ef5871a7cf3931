"""Series that nobody declared: found where neighbours look alike, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.data import series
from tenfold.data.dataset import Images, Labels
from tenfold.data.images.exif import Taken
from tenfold.data.series import find_series

SERIES = 30
FRAMES = 5


def _scenes(*, are_series: bool, seed: int = 0) -> tuple[Images, Labels]:
    """Give smooth pictures; in series each is a little brighter than the one before."""
    rng = np.random.default_rng(seed)
    scenes = []
    for _ in range(SERIES):
        scene = rng.integers(40, 180, (4, 4, 3))
        for frame in range(FRAMES):
            if not are_series:
                scene = rng.integers(40, 180, (4, 4, 3))
            scenes.append(scene + 4 * frame)
    images = np.repeat(np.repeat(np.array(scenes, np.uint8), 8, axis=1), 8, axis=2)
    return images, np.repeat(np.arange(SERIES) % 2, FRAMES)


def _names(pattern: str) -> list[str]:
    return [
        pattern.format(series=number // FRAMES, frame=number % FRAMES, number=number)
        for number in range(SERIES * FRAMES)
    ]


def _of_series(groups: np.ndarray) -> list[set[int]]:
    return [{*groups[start : start + FRAMES].tolist()} for start in range(0, len(groups), FRAMES)]


@pytest.mark.parametrize("pattern", ["scene{series}_{frame}.jpg", "IMG_{number:04}.jpg"])
def test_frames_are_found_by_their_names(pattern: str) -> None:
    images, labels = _scenes(are_series=True)
    found = find_series(images, labels, _names(pattern), {})
    assert found is not None
    assert found.is_found
    assert found.by == "names that differ by a number only"
    of_series = _of_series(found.groups)
    assert all(len(groups) == 1 for groups in of_series)
    # Where numbers run on, a frame may be as alike to the scene after it as to the one before.
    assert len(set.union(*of_series)) > 0.8 * SERIES


def test_shots_are_found_by_their_times() -> None:
    images, labels = _scenes(are_series=True)
    taken = {
        place: Taken("camera", f"2024:01:{1 + place // FRAMES:02} 10:00:{place % FRAMES:02}")
        for place in range(len(labels))
    }
    names = [f"{chr(97 + place % 26)}{chr(97 + place // 26)}x.jpg" for place in range(len(labels))]
    found = find_series(images, labels, names, taken)
    assert found is not None
    assert found.by == "times in EXIF"
    assert all(len(groups) == 1 for groups in _of_series(found.groups))
    hours_apart = {place: Taken("camera", f"2024:01:01 {place % 24:02}:00:00") for place in taken}
    assert find_series(images, labels, names, hours_apart) is None


@pytest.mark.parametrize("seed", range(5))
def test_numbers_alone_are_no_series(seed: int) -> None:
    images, labels = _scenes(are_series=False, seed=seed)
    for pattern in ("scene{series}_{frame}.jpg", "IMG_{number:04}.jpg", "{number}.jpg"):
        assert find_series(images, labels, _names(pattern), {}) is None


def test_chance_is_known_well_however_few_pairs_are_proposed() -> None:
    """Else the rare strangers that look alike are missed, and clothes in one room are series."""
    images, labels = _scenes(are_series=False)
    first = np.arange(60)
    likeness = series._Likeness.of(images, labels, first, first + 1, np.random.default_rng(0))
    assert len(likeness.proposed) == len(first)
    assert len(likeness.chance) > 10_000


def test_nothing_to_go_by_is_no_series() -> None:
    images, labels = _scenes(are_series=True)
    names = [f"{chr(97 + place % 26)}{chr(97 + place // 26)}.jpg" for place in range(len(labels))]
    assert find_series(images, labels, names, {}) is None
    assert find_series(images[:3], labels[:3], _names("a{number}.jpg")[:3], {}) is None
