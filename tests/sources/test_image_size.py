from __future__ import annotations

import pytest

from tenfold.core.errors import DataError
from tenfold.data.images import reading as image_size
from tenfold.data.images.reading import common_size, new_images, size_note

PHOTO = (1512, 2016)


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([(28, 28)] * 20, (28, 28)),
        ([(8, 6)] * 20, (8, 6)),
        ([(64, 48)] * 20, (64, 48)),
        ([(96, 96)] * 20, (96, 96)),
        ([PHOTO] * 20, (96, 96)),
        ([(100, 2000)] * 20, (96, 96)),
        ([(20, 2000)] * 20, (32, 32)),
        ([(10, 10), (20, 30)] * 10, (32, 32)),
        ([(50, 40), (60, 80)] * 10, (40, 40)),
        ([(300, 400), (400, 300), (500, 300)] * 10, (96, 96)),
    ],
)
def test_small_images_keep_their_size_and_large_ones_are_made_smaller(
    sizes: list[tuple[int, int]], chosen: tuple[int, int]
) -> None:
    assert common_size(sizes, None, 96) == chosen
    assert common_size(sizes, 40, 96) == (40, 40)
    assert ("--set data.image_size_px" in size_note(sizes, chosen, None)) == (
        set(sizes) != {chosen}
    )


@pytest.mark.parametrize("size", [(28, 28), (8, 6), (64, 48), PHOTO, (400, 533)])
@pytest.mark.parametrize("other", [(30, 31), PHOTO, (5, 5)])
def test_one_image_of_another_size_changes_nothing(
    size: tuple[int, int], other: tuple[int, int]
) -> None:
    assert common_size([*[size] * 20, other], None, 96) == common_size([size] * 20, None, 96)


def test_what_the_memory_cannot_hold_is_refused_with_a_size_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_size, "available_memory", lambda: 2**30)
    with pytest.raises(DataError, match=r"3,000 images of 2000 × 2000 px.*1\.0 GiB") as caught:
        new_images(3000, (2000, 2000, 3))
    fitting = int(str(caught.value).rsplit("=", 1)[1])
    assert new_images(3000, (fitting, fitting, 3)).shape == (3000, fitting, fitting, 3)
    with pytest.raises(DataError, match="Use fewer images"):
        new_images(10**9, (20, 20, 3))


def test_an_array_that_numpy_cannot_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_size, "available_memory", lambda: None)
    with pytest.raises(DataError, match="more than there is"):
        new_images(10**7, (4096, 4096, 3))
