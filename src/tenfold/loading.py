"""Load a finished model: `tenfold.load`.

::

    classifier = tenfold.load("runs/fast-digits")        # a run folder, or a model folder
    classifier.predict_proba(images)                     # calibrated; columns as its classes_
    classifier.model_record_                             # everything else that is known about it
"""

from __future__ import annotations

import inspect
from os import PathLike
from pathlib import Path

from tenfold.classifier import ImageClassifier
from tenfold.training.model_folder import PackagedModel, read_model_folder


def load(path: str | PathLike[str], *, device: str = "auto") -> ImageClassifier:
    """Give a fitted classifier from a model folder, or from the run folder of a study.

    It computes with the precision that the model was tested with and divides logits by the model's
    temperature, so its probabilities are those that the scores were measured on.

    Parameters
    ----------
    path
        A folder that a study or `ImageClassifier.save` made.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    ModelFolderError
        If there is no model, a file is missing or was changed, or a newer tenfold wrote it.
    """
    return classifier_of(read_model_folder(Path(path)), device=device)


def classifier_of(model: PackagedModel, *, device: str = "auto") -> ImageClassifier:
    """Give a fitted classifier of a packaged model; see `load`."""
    record = model.record
    known = set(inspect.signature(ImageClassifier).parameters)
    training = {name: value for name, value in record.training.items() if name in known}
    parameters = training | {
        "model": record.model,
        "model_settings": dict(record.model_settings),
        "precision": record.precision,
        "mirror_keeps_class": record.mirror_keeps_class,
        "device": device,
    }
    classifier = ImageClassifier(**parameters)  # type: ignore[arg-type]
    classifier.adopt(model)
    return classifier
