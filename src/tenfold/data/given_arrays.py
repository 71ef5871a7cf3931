"""What people hand over as images, as one array of whatever shape and type.

Nothing is guessed: what can be meant in one way alone is taken, and for all else the error says
what arrived and ends, where that can be known, in Python that gives the images meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError

EXPECTED = (
    "Expected images of shape (N, height, width, channels) with 1 or 3 channels, or "
    "(N, height, width), and at least one"
)
PATHS_ADVICE = (
    "Open the files, for example: X = [PIL.Image.open(path).convert('RGB') for path in X]; or let "
    "`tenfold run --data FOLDER` read a folder that has a sub-folder for each class."
)
_PICTURE_MODES = frozenset({"L", "RGB"})
_MODES_OF_NUMBERS = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
"""Pillow's modes of more than 8 bits, which it converts by cutting off."""
_CONVERTIBLE_MODES = frozenset({"1", "P", "PA", "LA", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"})


@dataclass(frozen=True, eq=False)
class GivenArray:
    """An array, and the Python that gives it from ``X``, to which advice is added.

    `problems` is what is wrong with ``X`` already; `array` and `code` are then what it should be.
    """

    array: npt.NDArray[Any]
    code: str
    problems: tuple[str, ...] = ()

    def amended(self, problem: str, array: npt.NDArray[Any], code: str) -> GivenArray:
        """Give what it should be instead, and what is wrong with it besides."""
        return GivenArray(array, code, (*self.problems, problem))


def read_array(given: Any) -> GivenArray:
    """Give what was handed over as one array of whatever shape and type."""
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise DataError(
            "The images have masked values. Fill them with the pixels that you want there: "
            "X.filled(0) makes them black."
        )
    if isinstance(given, np.ndarray):
        return _from_objects(given, "X") if given.dtype == object else GivenArray(given, "X")
    if _is_tensor(given):
        return GivenArray(_tensor_array(given), f"X{_tensor_code(given)}")
    if isinstance(given, list | tuple):
        return _from_items(given)
    _refuse_others(given)
    try:
        has_no_array = hasattr(given, "dtype") and not hasattr(given, "__array__")
        array = np.asarray(given[:] if has_no_array else given)
    except Exception as error:  # whatever a foreign type raises
        raise DataError(
            f"{EXPECTED}; received {_kind(given)}, which gives no array ({_first_line(error)}). "
            "Give a NumPy array."
        ) from error
    code = "np.asarray(X[:])" if has_no_array else "np.asarray(X)"
    return _from_objects(array, code) if array.dtype == object else GivenArray(array, code)


def _refuse_others(given: Any) -> None:
    """Refuse what NumPy would make an array of objects of."""
    if isinstance(given, str | bytes | PathLike):
        raise DataError(f"{EXPECTED}; received one file name. {PATHS_ADVICE}")
    if _is_picture(given):
        raise DataError(f"{EXPECTED}; received one picture. Write: X = [X]")
    if hasattr(given, "toarray") and hasattr(given, "nnz"):
        raise DataError(
            f"{EXPECTED}; received shape {given.shape} in sparse form. Make the rows dense and "
            "give each image its height and width: X.toarray().reshape(-1, height, width)."
        )
    if isinstance(given, Iterator):
        raise DataError(
            f"{EXPECTED}; received a {type(given).__name__}, which can be read only once. "
            "Write: X = list(X)"
        )
    if given is None or isinstance(given, Mapping | Set | range):
        raise DataError(f"{EXPECTED}; received {_kind(given)}. Give a NumPy array.")


def _from_items(items: Sequence[Any]) -> GivenArray:
    """Give the array of a list of images."""
    if not items:
        raise DataError(f"{EXPECTED}; received an empty {type(items).__name__}.")
    if any(isinstance(item, str | bytes | PathLike) for item in items):
        raise DataError(f"{EXPECTED}; received file names. {PATHS_ADVICE}")
    for place, item in enumerate(items):
        if item is None:
            raise DataError(f"{EXPECTED}; image {place} is None. Leave it out, with its label.")
    if any(map(_is_picture, items)):
        _check_pictures(items)
        code = "np.stack([np.asarray(image) for image in X])"
        return GivenArray(_stacked([np.asarray(item) for item in items]), code)
    if any(map(_is_tensor, items)):
        arrays = [_tensor_array(item) if _is_tensor(item) else _array(item) for item in items]
        first = next(filter(_is_tensor, items))
        return GivenArray(_stacked(arrays), f"np.stack([i{_tensor_code(first)} for i in X])")
    if any(hasattr(item, "__array__") for item in items):
        return _number_array(_stacked([_array(item) for item in items]), "np.stack(X)")
    try:
        array = np.asarray(items)
    except ValueError:  # rows of several lengths
        array = _stacked([_array(item) for item in items])
    return _number_array(array, "np.asarray(X)")


def _from_objects(array: npt.NDArray[Any], code: str) -> GivenArray:
    """Give the array that an array of Python objects stands for."""
    items = array.ravel().tolist()
    if array.ndim == 0:
        raise DataError(f"{EXPECTED}; received {_kind(items[0])}. Give a NumPy array.")
    if items and array.size == len(array) and not isinstance(items[0], int | float | complex):
        return _from_items(items)
    return _number_array(array, code)


def _number_array(array: npt.NDArray[Any], code: str) -> GivenArray:
    """Give an array of a number's type; Python's numbers are taken, nothing else."""
    if array.dtype != object:
        return GivenArray(array, code)
    kinds = set(map(type, array.ravel().tolist()))
    strangers = sorted(kind.__name__ for kind in kinds if not issubclass(kind, int | float))
    if strangers or bool in kinds:
        raise DataError(
            f"Expected images of numbers from 0 to 255, received object of {_listed(strangers)}"
            f"{'' if strangers else 'bool'}. Every pixel needs a number."
        )
    return GivenArray(array.astype(np.float64), f"{code}.astype('float64')")


def _array(item: Any) -> npt.NDArray[Any]:
    try:
        return np.asarray(item)
    except Exception as error:  # whatever a foreign type raises, and rows of several lengths
        raise DataError(
            f"{EXPECTED}; one of them is {_kind(item)} that gives no array "
            f"({_first_line(error)}). Give NumPy arrays of one shape."
        ) from error


def _stacked(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Give arrays of one shape as one."""
    shapes = Counter(array.shape for array in arrays)
    if len(shapes) == 1:
        return np.stack(arrays)
    (common, _), *others = shapes.most_common()
    problem = f"{EXPECTED}, all of one size; received images of {len(shapes)} shapes, such as "
    problem += f"{common} and {others[0][0]}."
    kinds = {array.dtype.name for array in arrays}
    is_plain = all(len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)) for shape in shapes)
    if kinds != {"uint8"} or not is_plain or 0 in np.concatenate(list(shapes)):
        raise DataError(f"{problem} Scale them to one size and number of channels.")
    height, width, *channels = common
    mode = "RGB" if channels == [3] else "L"
    raise DataError(
        f"{problem} Write: X = [PIL.Image.fromarray(image.squeeze()).convert('{mode}')"
        f".resize(({width}, {height})) for image in X]"
    )


def _check_pictures(items: Sequence[Any]) -> None:
    """Refuse Pillow images of several modes or sizes."""
    pictures = [item for item in items if _is_picture(item)]
    modes = Counter(picture.mode for picture in pictures)
    if not (len(modes) == 1 and modes.keys() <= _PICTURE_MODES | _MODES_OF_NUMBERS):
        problem = f"{EXPECTED}; received pictures of the mode {_listed(sorted(modes))}."
        if modes.keys() <= _PICTURE_MODES | _CONVERTIBLE_MODES:
            raise DataError(
                f"{problem} Write: X = [image.convert('RGB') for image in X] (transparency is "
                "dropped)"
            )
        raise DataError(f"{problem} Give all in the mode L or all in the mode RGB.")
    sizes = Counter(picture.size for picture in pictures)
    if len(sizes) > 1 and len(pictures) == len(items):
        common = sizes.most_common(1)[0][0]
        raise DataError(
            f"{EXPECTED}, all of one size; received pictures of {len(sizes)} sizes. Write: X = "
            f"[image.resize({common}) for image in X]"
        )


def _is_tensor(given: Any) -> bool:
    """Say whether it is PyTorch's, without importing PyTorch."""
    return all(hasattr(given, name) for name in ("detach", "cpu", "numpy", "is_sparse"))


def _tensor_array(tensor: Any) -> npt.NDArray[Any]:
    if str(tensor.layout) != "torch.strided" or tensor.is_quantized:
        raise DataError(
            f"{EXPECTED}; received a tensor of shape {tuple(tensor.shape)} and layout "
            f"{tensor.layout}. Give a dense tensor of uint8."
        )
    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    array: npt.NDArray[Any] = (plain.float() if _needs_float(tensor) else plain).numpy()
    return array


def _tensor_code(tensor: Any) -> str:
    return f".detach().cpu(){'.float()' if _needs_float(tensor) else ''}.numpy()"


def _needs_float(tensor: Any) -> bool:
    """Say whether NumPy lacks the type, as it does bfloat16."""
    return "bfloat" in str(tensor.dtype) or "float8" in str(tensor.dtype)


def _is_picture(given: Any) -> bool:
    """Say whether it is Pillow's, without importing Pillow."""
    return all(hasattr(given, name) for name in ("getbands", "mode", "size", "tobytes"))


def _kind(given: Any) -> str:
    return "None" if given is None else f"an object of type {type(given).__name__}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:100]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4])
