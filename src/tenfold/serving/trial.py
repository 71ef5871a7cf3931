"""A model tried on images whose class is known, before it takes over from another."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenfold.core.errors import ModelFolderError
from tenfold.core.text import printable, readable
from tenfold.serving.decoding import UploadDecoder
from tenfold.serving.guard import Refusal
from tenfold.serving.model import ServedModel

if TYPE_CHECKING:
    from tenfold.data.dataset import Images

CHECK_FOLDER = "check"
_MOST_CHECKED = 1000
_MOST_FILE_BYTES = 64 * 2**20
_CHANCE = 1e-6
"""Of refusing a model that is as accurate as its record says."""


def check_known_images(served: ServedModel, path: Path) -> None:
    """Compare what a model says of known images with what they show.

    Those of a folder ``check/CLASS`` in the version's folder must all come out as their class. Of
    the training images that a model folder carries, no fewer may than its accuracy on the test
    split allows, but for a chance of one in a million (Hoeffding, "Probability Inequalities for
    Sums of Bounded Random Variables", 1963).

    Raises
    ------
    ModelFolderError
        If the model does not pass.
    """
    if (folder := path / CHECK_FOLDER).is_dir():
        _check_files(served, folder)
    accuracy = served.model.description.accuracy
    if served.known is not None and accuracy is not None:
        _check_training_images(served, *served.known, accuracy)


def _check_training_images(
    served: ServedModel, images: Images, labels: npt.NDArray[np.int64], accuracy: float
) -> None:
    rows = served.model.predict_many(images)
    right = int((rows.argmax(axis=1) == labels).sum())
    least = accuracy - math.sqrt(math.log(1 / _CHANCE) / (2 * len(labels)))
    if right < least * len(labels):
        raise ModelFolderError(
            f"it recognises {right:,} of the {len(labels):,} training images that it carries; with "
            f"its accuracy of {accuracy:.1%} on the test split at least "
            f"{math.ceil(least * len(labels)):,} are expected: it is damaged, or its classes are "
            "in another order"
        )


def _check_files(served: ServedModel, folder: Path) -> None:
    model = served.model
    decoder = UploadDecoder(model.image_shape, model.description.value_ranges)
    files = sorted(path for path in folder.glob("*/*") if not path.name.startswith("."))
    if not files or len(files) > _MOST_CHECKED:
        raise ModelFolderError(
            f"its folder {CHECK_FOLDER} holds {len(files):,} images; 1 to {_MOST_CHECKED:,} are "
            f"expected, as {CHECK_FOLDER}/CLASS/IMAGE"
        )
    for file in files:
        name, wanted = printable(readable(file.name)), readable(file.parent.name)
        if wanted not in model.classes:
            raise ModelFolderError(
                f"{CHECK_FOLDER}/{printable(wanted)} is none of its classes: "
                f"{', '.join(map(printable, model.classes[:20]))}"
            )
        if file.stat().st_size > _MOST_FILE_BYTES:
            raise ModelFolderError(f"the check image {name} is too large")
        try:
            pixels = decoder.decode(file.read_bytes())
        except Refusal as refusal:
            raise ModelFolderError(f"the check image {name}: {refusal.message}") from None
        given = model.classes[int(model.predict(pixels[None])[0].argmax())]
        if given != wanted:
            raise ModelFolderError(
                f"the check image {name} of class {printable(wanted)} comes out as "
                f"{printable(given)}"
            )
