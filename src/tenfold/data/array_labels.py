"""What people hand over as labels, as indices into sorted classes; or what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import DataError
from tenfold.core.text import readable
from tenfold.data.dataset import Labels

_KINDS = "biufU"
"""NumPy's kinds of types that labels may be of; and objects that are all text."""


def encode_labels(given: Any, count: int) -> tuple[Labels, npt.NDArray[Any]]:
    """Give labels as indices into the sorted classes, and the classes.

    Parameters
    ----------
    given
        One label an image: text, whole numbers, or truth values; an array, a list, a tensor or a
        pandas column.
    count
        Images.

    Returns
    -------
    labels
        int64, shape (count,).
    classes
        Shape (n_classes,), sorted, of the labels' type.

    Raises
    ------
    DataError
        If they are no such labels, or show one class only.
    """
    column = label_column(given, count)
    classes, labels = np.unique(column, return_inverse=True)
    if len(classes) < 2:
        raise DataError(
            f"The labels show one class only ({classes.tolist()[0]!r}). A classifier needs two."
        )
    return labels.astype(np.int64), classes


def label_column(given: Any, count: int) -> npt.NDArray[Any]:
    """Give labels as one array of a type that can be sorted, shape (count,).

    Raises
    ------
    DataError
        If they are no labels.
    """
    if given is None:
        raise DataError("ImageClassifier requires y to be passed, but the target y is None.")
    column = _one_dimensional(_as_array(given))
    column = _without_objects(column) if column.dtype == object else column
    _check_values(column)
    if len(column) != count:
        raise DataError(f"Expected one label an image: {count} images, {len(column)} labels.")
    return column


def labels_like(classes: npt.NDArray[Any], given: Any, count: int) -> npt.NDArray[Any]:
    """Give labels as `label_column` does, which must be of the type of the classes.

    Raises
    ------
    DataError
        If they are not, or are no labels.
    """
    column = label_column(given, count)
    if (column.dtype.kind in "OU") != (classes.dtype.kind in "OU"):
        raise DataError(
            f"y has labels such as {column.tolist()[0]!r}, but ImageClassifier was fitted to "
            f"labels such as {classes.tolist()[0]!r}."
        )
    return column


def named_classes(
    classes: npt.NDArray[Any],
) -> tuple[tuple[str, ...], tuple[bool | int | float | str, ...] | None]:
    """Give the classes' names, and their values where these are numbers; JSON knows no others."""
    values = [getattr(value, "item", lambda value=value: value)() for value in classes.tolist()]
    names = tuple(readable(str(value)) for value in values)
    is_text = any(not isinstance(value, int | float) for value in values)  # a bool is an int
    return names, None if is_text else tuple(values)


def _as_array(given: Any) -> npt.NDArray[Any]:
    if isinstance(given, str | bytes | Mapping | Set | Iterator):
        advice = " Write: y = list(y)" if isinstance(given, Iterator) else ""
        raise DataError(f"Expected one label an image, received a {type(given).__name__}.{advice}")
    if hasattr(given, "toarray") and hasattr(given, "nnz"):
        raise DataError(
            f"Expected one label an image, y has the shape {given.shape} in sparse form. "
            "Write: y = y.toarray().argmax(axis=1)"
        )
    try:
        if all(hasattr(given, name) for name in ("detach", "cpu", "numpy")):  # PyTorch's
            given = given.detach().cpu().numpy()
        items = list(given) if isinstance(given, list | tuple) else None
        if items is not None and len({type(item) for item in items}) > 1:
            # NumPy would write all as text: None as "None", 1 as "1".
            array = np.empty(len(items), object)
            array[:] = items
            return array
        array = np.asarray(given)
        return array.astype(object) if array.dtype.kind == "T" else array
    except Exception as error:  # whatever a foreign type raises, and rows of several lengths
        raise DataError(
            "Expected one label an image: y cannot be read as an array "
            f"({str(error).splitlines()[0][:100]}). Give a list of names or whole numbers."
        ) from error


def _one_dimensional(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.ndim == 1:
        return array
    shape = array.shape
    if array.ndim == 2 and shape[1] == 1:
        # sklearn is slow to import.
        from sklearn.utils.validation import column_or_1d

        column: npt.NDArray[Any] = column_or_1d(array, warn=True)
        return column
    text = f"y should be a 1d array, got an array of shape {shape} instead."
    if array.ndim == 2 and array.dtype.kind in "biuf" and 0 not in shape:
        values = set(np.unique(array).tolist())
        if values <= {0, 1} and (array.sum(axis=1) == 1).all():
            raise DataError(f"{text} It is one-hot. Write: y = np.asarray(y).argmax(axis=1)")
        raise DataError(
            f"{text} An image has one label here; if the columns are scores of the classes: "
            "Write: y = np.asarray(y).argmax(axis=1)"
        )
    raise DataError(f"{text} An image has one label here.")


def _without_objects(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give an array of Python objects as one of numbers; text stays as it is."""
    items = column.tolist()
    if missing := [place for place, item in enumerate(items) if _is_missing(item)]:
        raise DataError(_missing_text(len(missing), missing[0]))
    kinds = {type(item) for item in items}
    if all(issubclass(kind, str) for kind in kinds):
        return column
    if all(issubclass(kind, int | float | np.number | np.bool_) for kind in kinds):
        return np.array(items)
    names = ", ".join(sorted(kind.__name__ for kind in kinds)[:4])
    if any(issubclass(kind, bytes) for kind in kinds):
        raise DataError(_unknown_type(names, "y = [str(label, 'utf-8') for label in y]"))
    raise DataError(_unknown_type(names, "y = [str(label) for label in y]"))


def _check_values(column: npt.NDArray[Any]) -> None:
    kind = column.dtype.kind
    if kind == "f":
        is_bad = ~np.isfinite(column)
        if is_bad.any():
            raise DataError(_missing_text(int(is_bad.sum()), int(is_bad.argmax())))
        if (column != np.round(column)).any():
            raise DataError(
                "Unknown label type: continuous. Labels are names or whole numbers, but y has "
                f"values such as {column[column != np.round(column)][0]:g}: numbers to be "
                "predicted as such are no classes."
            )
    elif kind == "S":
        raise DataError(_unknown_type("bytes", "y = np.char.decode(y, 'utf-8')"))
    elif column.dtype != object and kind not in _KINDS:
        raise DataError(_unknown_type(column.dtype.name, "y = np.asarray(y).astype(str)"))


def _is_missing(item: Any) -> bool:
    """Say whether it is None, NaN, or pandas' NA or NaT."""
    if item is None or type(item).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(item, float | np.floating) and not np.isfinite(item)


def _missing_text(count: int, first: int) -> str:
    verb = "label is" if count == 1 else "labels are"
    return (
        f"Input y contains NaN or infinity, or None: {count} {verb} missing, the first that of "
        f"image {first}. Every image needs a label. Leave such images out, for example with "
        "keep = [label is not None and str(label) not in ('nan', '<NA>', 'NaT', 'inf', '-inf') "
        "for label in np.asarray(y, object)]; X, y = np.asarray(X)[keep], np.asarray(y)[keep]"
    )


def _unknown_type(name: str, code: str) -> str:
    return (
        f"Unknown label type: {name}. Labels are names or whole numbers, all of one type. "
        f"Write: {code}"
    )
