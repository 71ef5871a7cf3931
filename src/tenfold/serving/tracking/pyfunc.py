"""A model folder as a function of Python for MLflow, which loads this module by its name.

::

    model = mlflow.pyfunc.load_model("models:/m-...")
    model.predict(["one.jpg", "two.png"])

It needs nothing of MLflow, and reads the folder as `tenfold predict` does.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tenfold.core.errors import DataError
from tenfold.data.array_images import as_images
from tenfold.data.images.stream import ImageFile
from tenfold.serving.prediction import (
    FoundImages,
    LoadedModel,
    Predicted,
    load_model,
    predict_files,
    predict_pixels,
)

COLUMNS = ("image", "error", "unlike", "class", "probability", "set", "probabilities")
_IMAGE_COLUMNS = ("image", "path")


def _load_pyfunc(path: str) -> TrackedModel:
    """Read a model folder; MLflow calls it with the logged one."""
    return TrackedModel(load_model(Path(path)))


class TrackedModel:
    """Predicts images as `tenfold predict` does, a row of a table for each.

    Parameters
    ----------
    loaded
        The model.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.classes = loaded.classes
        self._model = loaded.model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Predict images.

        Parameters
        ----------
        model_input
            Image files: paths, bytes, or ``data:image/png;base64,`` and so on, which JSON can
            hold. A list, or a DataFrame's column ``image`` or ``path`` or its only one. Or an
            array of shape (N, H, W, C) of the model's own size, as `ImageClassifier.predict_proba`
            takes it.
        params
            MLflow's; there are none.

        Returns
        -------
        pandas.DataFrame
            A row an image, in order: ``image`` (path, or place from 0), ``error`` (why it cannot be
            read, and all that follows is None; empty if it can), ``unlike`` (unlike anything in
            training; None where the model cannot tell), ``class``, ``probability``, ``set``
            (classes, the most probable first; None where the model has none) and ``probabilities``
            (of every class, in the order of the model's).

        Raises
        ------
        DataError
            If the input is none of these.
        """
        import pandas

        del params
        files = _files(_listed(model_input))
        if files is None:
            images = as_images(_listed(model_input), getattr(self._model, "image_shape_", None))
            results = predict_pixels(self._model, images)
        else:
            results = predict_files(self._model, FoundImages(tuple(files)))
        rows = [self._row(result) for result in results]
        # NaN for what an unreadable image does not have would be no JSON when the model is served.
        table = pandas.DataFrame(rows, columns=list(COLUMNS), dtype=object)
        return table if any(row[1] for row in rows) else table.infer_objects()

    def _row(self, result: Predicted) -> tuple[Any, ...]:
        if result.probabilities is None:
            return (result.name, result.reason, None, None, None, None, None)
        ((best, probability),) = result.top(1)
        members = result.members
        named = None if members is None else [self.classes[one] for one in members]
        shares = [float(str(one)) for one in result.probabilities]
        return (
            result.name,
            "",
            result.is_unlike,
            self.classes[best],
            probability,
            named,
            shares,
        )


def _listed(given: Any) -> Any:
    """Give a table's images as a list; all else as it is, but one file as a list of it."""
    if isinstance(given, (str, bytes, Path)):
        return [given]
    columns = getattr(given, "columns", None)
    if columns is not None:
        names = [str(one) for one in columns]
        chosen = [one for one in _IMAGE_COLUMNS if one in names] or names
        if len(chosen) != 1:
            raise DataError(
                f"The table has the columns {', '.join(names)[:200]}; which one has the images is "
                "not clear. Give one with a column named image: paths, or files' bytes."
            )
        given = given.iloc[:, names.index(chosen[0])]
    return given.tolist() if hasattr(given, "iloc") else given


def _files(given: Any) -> list[ImageFile] | None:
    """Give the files that a list means; None where it is one of pixels."""
    is_text = getattr(getattr(given, "dtype", None), "kind", "") in ("U", "S", "O")
    if not (is_text or isinstance(given, (list, tuple))):
        return None
    values: Sequence[Any] = given.ravel().tolist() if is_text else given
    is_file = [isinstance(one, (str, bytes, Path)) for one in values]
    if values and not any(is_file):
        return None
    if not all(is_file):
        place = is_file.index(False)
        raise DataError(
            f"Image {place} of {len(values)} is a {type(values[place]).__name__}, others are "
            "files. Give paths or files' bytes only, or an array of pixels only."
        )
    return list(_image_files(values))


def _image_files(values: Sequence[str | bytes | Path]) -> Iterator[ImageFile]:
    for place, value in enumerate(values):
        if isinstance(value, bytes):
            yield ImageFile(str(place), io.BytesIO(value))
        elif isinstance(value, str) and value.startswith("data:"):
            yield ImageFile(str(place), io.BytesIO(_content_of_url(value)))
        else:
            yield ImageFile(str(value), Path(value))


def _content_of_url(url: str) -> bytes:
    """Give the bytes of a data URL (RFC 2397), none where it holds none."""
    try:
        return base64.b64decode(url.partition(";base64,")[2], validate=True)
    except ValueError:  # its row will say that there is no image
        return b""
