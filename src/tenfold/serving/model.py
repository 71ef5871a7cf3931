"""The model that is served: a PyTorch or an ONNX one, with what explains it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tenfold.serving.onnx_model import OnnxModel
from tenfold.serving.predictor import Pixels
from tenfold.serving.promises import joined_notices, missing_in_file, missing_promises

if TYPE_CHECKING:  # a server of exported files needs neither, nor the torch of the second
    from tenfold.data.dataset import Images, Labels
    from tenfold.serving.explanation import Explainer

ImageExplainer = Callable[[Pixels, int], dict[str, Any]]
"""Says what speaks for a class, of pixels and the class's index; called for one image at a time."""
_CHECKED_IMAGES = 64


@dataclass(frozen=True)
class ServedModel:
    """What answers."""

    model: OnnxModel
    explainer: ImageExplainer | None
    """None where there are no explanations."""
    notice: str | None = None
    """What the user should know of the model's state."""
    known: tuple[Images, Labels] | None = None
    """Training images with their labels, as the model takes them; None where there are none."""


def prepare_model(path: Path, *, device: str = "cpu") -> ServedModel:
    """Read a model for serving.

    A model folder or run folder is exported in memory, checked against PyTorch, and has
    explanations, computed on `device`; a file that ``tenfold export`` wrote starts without torch.

    Raises
    ------
    ModelFolderError
        If there is no model.
    ExportError
        If the exported model does not give what the model gives.
    """
    if path.suffix == ".onnx":
        exported_file = OnnxModel.read(path)
        return ServedModel(exported_file, None, missing_in_file(exported_file.description))
    from tenfold.classifier import classifier_of
    from tenfold.serving.explanation import Explainer, explain_image
    from tenfold.serving.export import exported_model
    from tenfold.training.model_folder import outdated_notice, read_model_folder

    packaged = read_model_folder(path)
    explainer = Explainer.of(classifier_of(packaged, device=device), packaged)
    images = _images(explainer, packaged.record.image_shape)
    exported = exported_model(packaged, images)
    return ServedModel(
        exported.model,
        partial(explain_image, explainer, packaged.record.classes),
        joined_notices(outdated_notice(path), missing_promises(packaged.record.guarantees)),
        _known_images(explainer, packaged.record.image_shape),
    )


def _images(explainer: Explainer, image_shape: tuple[int, int, int]) -> Images:
    """Give images to check the export with: training images that the folder has, else noise."""
    from tenfold.serving.onnx_graph import spread

    known = _known_images(explainer, image_shape)
    if known is not None:
        return spread(known[0], _CHECKED_IMAGES)
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (_CHECKED_IMAGES, *image_shape), np.uint8)


def _known_images(
    explainer: Explainer, image_shape: tuple[int, int, int]
) -> tuple[Images, Labels] | None:
    """Give the training images that the folder has, where they are not reduced, with labels."""
    index = explainer.index
    if index is None or not len(index) or index.thumbnails.shape[1:] != image_shape:
        return None
    return index.thumbnails, index.labels
