"""Whatever is handed over as images is taken as it is meant, or the advice given leads there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tenfold.core.errors import DataError
from tenfold.data.array_images import as_images

MOST_LINES = 1
MOST_CHARACTERS = 700

Pixels = npt.NDArray[np.uint8]


def colour(count: int = 5, height: int = 6, width: int = 7) -> Pixels:
    images = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    images[0, 0, 0] = (0, 255, 128)  # the whole range, so that a scale can be read from it
    return images


def gray(count: int = 5, height: int = 6, width: int = 7) -> Pixels:
    return colour(count, height, width)[..., :1].copy()


def message_of(X: Any, image_shape: tuple[int, int, int] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        as_images(X, image_shape)
    return str(caught.value)


def follow(X: Any, y: Any = None) -> tuple[Any, Any]:
    """Do what the message says, and give the images that it leads to."""
    text = message_of(X)
    assert "Write: " in text, text
    names = {"X": X, "y": y, "np": np, "PIL": PIL}
    exec(text.split("Write: ")[1].removesuffix(" (transparency is dropped)"), names)
    return as_images(names["X"]), names["y"]


class Lazy:
    """As files of HDF5 are read: a shape, a type, and parts."""

    def __init__(self, array: Pixels) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, part: Any) -> Any:
        return self._array[part]


def _read_only(X: Pixels) -> Pixels:
    X = X.copy()
    X.flags.writeable = False
    return X


def _objects(items: Any) -> Any:
    array = np.empty(len(items), object)
    array[:] = list(items)
    return array


CONTAINERS: dict[str, Callable[[Pixels], Any]] = {
    "int64": lambda X: X.astype(np.int64),
    "uint16": lambda X: X.astype(">u2"),
    "float16": lambda X: X.astype(np.float16),
    "float32": lambda X: X.astype(np.float32),
    "longdouble": lambda X: X.astype(np.longdouble),
    "numbers as objects": lambda X: X.astype(object),
    "Fortran order": np.asfortranarray,
    "negative strides": lambda X: X[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
    "every other": lambda X: np.repeat(X, 2, axis=2)[:, :, ::2],
    "read only": _read_only,
    "nothing masked": lambda X: np.ma.masked_array(X, False),
    "nested lists": lambda X: X.tolist(),
    "list of arrays": list,
    "tuple of arrays": tuple,
    "list of views": lambda X: [image[::-1][::-1] for image in X],
    "objects of arrays": lambda X: _objects(list(X)),
    "list of pictures": lambda X: [PIL.Image.fromarray(image.squeeze()) for image in X],
    "objects of pictures": lambda X: _objects([PIL.Image.fromarray(i.squeeze()) for i in X]),
    "tensor": torch.from_numpy,
    "bfloat16": lambda X: torch.from_numpy(X).bfloat16(),
    "needs gradients": lambda X: torch.from_numpy(X).float().requires_grad_(),
    "tensor of other order": lambda X: torch.from_numpy(X).to(memory_format=torch.channels_last),
    "list of tensors": lambda X: [torch.from_numpy(image) for image in X],
    "list of bfloat16": lambda X: [torch.from_numpy(image).bfloat16() for image in X],
    "lazy": Lazy,
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("images", [colour(), gray()], ids=["colour", "gray"])
def test_every_container_gives_the_same_pixels(make: Callable[[Pixels], Any], images: Any) -> None:
    taken = as_images(make(images))
    assert taken.dtype == np.uint8
    assert taken.flags.c_contiguous
    np.testing.assert_array_equal(taken, images)


def test_a_memory_map_is_not_copied(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", colour())
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert np.shares_memory(as_images(mapped), mapped)


def test_columns_and_tables_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    X = gray(height=6, width=6)
    column = pandas.Series(list(X), index=list("abcde"))
    np.testing.assert_array_equal(as_images(column), X)
    np.testing.assert_array_equal(as_images(column.to_frame()), X)
    np.testing.assert_array_equal(follow(pandas.DataFrame(X.reshape(5, -1)))[0], X)


ARRANGED: dict[str, Callable[[Pixels], Any]] = {
    "channels first": lambda X: X.transpose(0, 3, 1, 2),
    "channels first, fractions": lambda X: (X / 255).transpose(0, 3, 1, 2),
    "tensor, channels first": lambda X: torch.from_numpy(X).permute(0, 3, 1, 2),
    "tensors, channels first": lambda X: [torch.from_numpy(i).permute(2, 0, 1) / 255 for i in X],
    "bfloat16, channels first": lambda X: torch.from_numpy(X).permute(0, 3, 1, 2).bfloat16(),
    "list, channels first": lambda X: list(X.transpose(0, 3, 1, 2)),
    "nested lists, channels first": lambda X: X.transpose(0, 3, 1, 2).tolist(),
    "number of images last": lambda X: X.transpose(1, 2, 3, 0),
    "transparent": lambda X: np.concatenate([X, np.full_like(X[..., :1], 255)], axis=3),
    "transparent, channels first": lambda X: np.concatenate(
        [X, np.full_like(X[..., :1], 255)], axis=3
    ).transpose(0, 3, 1, 2),
    "one axis too many": lambda X: X[None],
    "another axis too many": lambda X: X[:, None],
    "lazy, channels first": lambda X: Lazy(X.transpose(0, 3, 1, 2)),
    "iterator": iter,
    "transparent pictures": lambda X: [PIL.Image.fromarray(i).convert("RGBA") for i in X],
    "mixed pictures": lambda X: [
        PIL.Image.fromarray(i).convert("RGBA" if n else "RGB") for n, i in enumerate(X)
    ],
    "fractions": lambda X: X / 255,
    "fractions of 16 bits": lambda X: (X / 255).astype(np.float16),
    "fractions in a list": lambda X: list((X / 255).astype(np.float32)),
    "fractions in a tensor": lambda X: torch.from_numpy(X) / 255,
    "from -1 to 1": lambda X: X / 127.5 - 1,
    "overshooting fractions": lambda X: np.where(X == 255, 1.02, np.where(X == 0, -0.02, X / 255)),
    "not whole": lambda X: X + np.where(X < 255, 0.25, 0),
    "overshooting": lambda X: X + np.where(X == 255, 7.5, np.where(X == 0, -7.5, 0.2)),
    "16 bits": lambda X: X.astype(np.uint16) * 257,
    "16 bits as float": lambda X: X.astype(np.float32) * 257,
    "16 bits as whole numbers": lambda X: X.astype(np.int32) * 257,
    "12 bits": lambda X: (X.astype(np.float64) * (4095 / 255)).round().astype(np.int16),
    "10 bits": lambda X: (X.astype(np.float64) * (1023 / 255)).round().astype(np.uint16),
    "signed": lambda X: X.astype(np.int16) - 128,
    "32 bits": lambda X: X.astype(np.uint32) * 16843009,
}


@pytest.mark.parametrize("make", ARRANGED.values(), ids=ARRANGED)
def test_the_advice_gives_the_pixels(make: Callable[[Pixels], Any]) -> None:
    np.testing.assert_array_equal(follow(make(colour()))[0], colour())


GRAY: dict[str, Callable[[Pixels], Any]] = {
    "channel first": lambda X: X.transpose(0, 3, 1, 2),
    "transparent": lambda X: np.concatenate([X, np.full_like(X, 255)], axis=3),
    "transparent, channels first": lambda X: np.stack([X[..., 0], np.full_like(X[..., 0], 255)], 1),
    "rows": lambda X: X.reshape(len(X), -1),
    "rows of fractions": lambda X: X.reshape(len(X), -1) / 255,
    "16-bit pictures": lambda X: [
        PIL.Image.fromarray(image.squeeze().astype(np.uint16) * 257) for image in X
    ],
}


@pytest.mark.parametrize("make", GRAY.values(), ids=GRAY)
def test_the_advice_gives_the_gray_pixels(make: Callable[[Pixels], Any]) -> None:
    X = gray(height=6, width=6)
    np.testing.assert_array_equal(follow(make(X))[0], X)


def test_truth_values_become_black_and_white() -> None:
    X = gray() > 127
    np.testing.assert_array_equal(follow(X)[0], X * 255)


@pytest.mark.parametrize("channels_first", [True, False])
def test_rows_of_colour_are_reshaped_in_the_order_that_they_have(channels_first: bool) -> None:
    X = colour(height=6, width=6)
    rows = (X.transpose(0, 3, 1, 2) if channels_first else X).reshape(5, -1)
    text = message_of(rows)
    code = (
        "X.reshape(-1, 3, 6, 6).transpose(0, 2, 3, 1)"
        if channels_first
        else ("X.reshape(-1, 6, 6, 3)")
    )
    assert code in text
    np.testing.assert_array_equal(eval(code, {"X": rows}), X)


@pytest.mark.parametrize(
    "X",
    [
        [np.zeros((6, 7, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)],
        [np.zeros((6, 7), np.uint8), np.zeros((6, 7, 3), np.uint8)],
        [np.zeros((6, 7, 1), np.uint8), np.zeros((9, 7), np.uint8)],
        [PIL.Image.new("RGB", (7, 6)), PIL.Image.new("RGB", (8, 6))],
        [PIL.Image.new("L", (7, 6)), PIL.Image.new("L", (6, 7))],
    ],
)
def test_images_of_several_sizes_are_brought_to_one(X: Any) -> None:
    assert len(follow(X)[0]) == 2


@pytest.mark.parametrize("mode", ["1", "P", "PA", "LA", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_pictures_of_any_mode_are_converted(mode: str) -> None:
    picture = PIL.Image.fromarray(colour()[0]).convert("RGBA").convert("RGB")
    X = [picture.convert("LA").convert(mode) if mode == "PA" else picture.convert(mode)] * 2
    assert follow(X)[0].shape == (2, 6, 7, 3)


def test_files_are_opened(tmp_path: Path) -> None:
    paths = [tmp_path / f"{place}.png" for place in range(5)]
    for path, image in zip(paths, colour(), strict=True):
        PIL.Image.fromarray(image).save(path)
    for X in (paths, [str(path) for path in paths], np.array([str(path) for path in paths])):
        text = message_of(X)
        code = text.split("for example: X = ")[1].split("; or")[0]
        opened = eval(code, {"X": X, "PIL": PIL})
        np.testing.assert_array_equal(as_images(opened), colour())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_images_with_missing_pixels_are_left_out_with_their_labels(bad: float) -> None:
    X = colour().astype(np.float32)
    X[2, 3, 3, 1] = bad
    for given_images in (X, list(X), torch.from_numpy(X)):
        images, labels = follow(given_images, list("abcde"))
        np.testing.assert_array_equal(images, colour()[[0, 1, 3, 4]])
        assert labels.tolist() == list("abde")


@pytest.mark.parametrize("X", [colour()[0], torch.from_numpy(colour()[0]), colour()[0].tolist()])
def test_one_image_alone_gets_an_axis(X: Any) -> None:
    np.testing.assert_array_equal(follow(X)[0], colour()[:1])


def test_where_the_shape_is_known_one_image_is_known_too() -> None:
    for X in (colour(1, 5, 3)[0], colour(1, 5, 3)[0].transpose(2, 0, 1)):
        text = message_of(X, (5, 3, 3))
        again = eval(text.split("Write: X = ")[1], {"X": X})
        np.testing.assert_array_equal(again, colour(1, 5, 3))
    X = gray(5, 6, 3)[..., 0]
    np.testing.assert_array_equal(as_images(X, (6, 3, 1))[..., 0], X)


@pytest.mark.parametrize(
    ("X", "text"),
    [
        (None, "received None"),
        ({"a": 1}, "of type dict"),
        ([], "an empty list"),
        (np.zeros((0, 4, 4, 3)), r"received shape \(0, 4, 4, 3\)"),
        (np.zeros((2, 8, 9, 10), np.uint8), r"X\[\.\.\., \[0, 1, 2\]\] takes the first three"),
        (np.zeros((2, 5, 8, 9, 3), np.uint8), "1 axes too many"),
        (np.zeros((2, 37)), "Reshape your data: .*transpose"),
        (colour().astype("M8[s]"), "received datetime64"),
        (colour().astype(str), "received <U3"),
        (colour() * 1j, "Complex data not supported"),
        (np.ma.masked_less(colour(), 9), "masked values"),
        ([colour()[0], None], "image 1 is None"),
        ([colour()[0], "cat.jpg"], "file names"),
        (b"cat.jpg", "one file name"),
        (PIL.Image.new("RGB", (5, 5)), "one picture"),
        (sparse.csr_matrix((5, 36)), "in sparse form"),
        (torch.from_numpy(colour()).float().to_sparse(), "layout torch.sparse"),
        (np.random.default_rng(0).normal(0, 1, (4, 6, 6, 3)), "seem to be normalised"),
        (colour().view(np.int8), r"X\.view\('uint8'\) gives them back"),
        (np.full((2, 4, 4, 1), "x", object), "received object of str"),
        (np.full((2, 4, 4, 1), True, object), "received object of bool"),
    ],
)
def test_what_has_no_one_meaning_is_refused_in_a_sentence(X: Any, text: str) -> None:
    with pytest.raises(DataError, match=text) as caught:
        as_images(X)
    assert "X * 255" not in str(caught.value)


def test_no_advice_that_harms() -> None:
    for X in (colour().transpose(0, 3, 1, 2), colour()[:, None], colour()[0]):
        assert "reshape" not in message_of(X)
    transparent = np.concatenate([colour(), gray()], axis=3)
    for X in (colour() * np.uint16(257), np.where(colour() == 0, np.nan, 1), transparent):
        assert "* 255)" not in message_of(X).replace("/ 65535 * 255)", "")


DTYPES = [
    *(np.dtype(code) for code in "?bBhHiIlLqQefdgFD"),
    *(np.dtype(code) for code in ("O", "U3", "S3", "M8[s]", "m8[s]", ">u2", ">f4", "V2")),
]
RANGES = [(0, 1), (0, 255), (-1, 1), (0, 65535), (-9, 300), (-0.02, 1.04), (0, 0), (1, 1), (-3, 3)]


@st.composite
def anything(draw: st.DrawFn) -> Any:
    """Give an array of any shape, type and values in any container."""
    size = st.integers(0, 5)
    channels = st.sampled_from([0, 1, 2, 3, 4, 6])
    shape = draw(
        st.one_of(
            st.lists(size, max_size=6).map(tuple),
            st.tuples(size, size, size, channels),
            st.tuples(size, channels, size, size),
        )
    )
    dtype = draw(st.sampled_from(DTYPES))
    low, high = draw(st.sampled_from(RANGES))
    values = np.random.default_rng(draw(st.integers(0, 3))).uniform(low, high, shape)
    if draw(st.booleans()):
        values = np.round(values)
    bad = draw(st.sampled_from([None, None, None, np.nan, np.inf]))
    if bad is not None and values.size:
        values.flat[0] = bad
    with np.errstate(all="ignore"):
        array = values.astype("f8").astype(np.int64) if dtype.kind in "mM" else values
        array = array.astype("S3") if dtype.kind == "V" else array
        try:
            array = np.asarray(array).astype(dtype)
        except (TypeError, ValueError, OverflowError):
            array = np.asarray(values)
    return draw(st.sampled_from(WRAPPINGS))(array)


def _tensor(array: npt.NDArray[Any]) -> Any:
    try:
        return torch.from_numpy(array.copy())
    except (TypeError, ValueError):
        return array


def _frame(array: npt.NDArray[Any]) -> Any:
    pandas = pytest.importorskip("pandas")
    return (
        pandas.DataFrame(array)
        if array.ndim == 2
        else pandas.Series(list(array))
        if (array.ndim)
        else array
    )


WRAPPINGS: list[Callable[[npt.NDArray[Any]], Any]] = [
    lambda array: array,
    np.asfortranarray,
    lambda array: array[::-1] if array.ndim else array,
    lambda array: array.tolist(),
    lambda array: list(array) if array.ndim else array,
    lambda array: [*array, *array[..., :1]] if array.ndim > 1 else array,
    lambda array: iter(array) if array.ndim else array,
    lambda array: _objects(list(array)) if array.ndim else array,
    _tensor,
    lambda array: list(_tensor(array)) if array.ndim else array,
    _frame,
    Lazy,
]


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@settings(max_examples=200, deadline=None)
@given(X=anything())
def test_anything_is_taken_or_refused_in_few_words(X: Any) -> None:
    try:
        images = as_images(X)
    except DataError as error:
        text = str(error)
        assert len(text.splitlines()) <= MOST_LINES
        assert len(text) <= MOST_CHARACTERS
        if "Write: X = " in text and not isinstance(X, Iterator):
            assert follow(X)[0].dtype == np.uint8
        return
    assert images.dtype == np.uint8
    assert images.ndim == 4
    assert images.shape[3] in (1, 3)
    if isinstance(X, np.ndarray) and X.dtype != object:
        np.testing.assert_array_equal(images.reshape(X.shape), X)
