"""What a model does not tell beside probabilities, said once to who uses it."""

from __future__ import annotations

from tenfold.core.records.guarantees import GuaranteesRecord
from tenfold.evaluation.conformal import least_images
from tenfold.evaluation.unlike import KEPT_SHARE
from tenfold.serving.onnx_model import OnnxDescription

_NO_SETS = "no prediction sets"
_NO_UNLIKE = "no word on images that are unlike anything in training"


def missing_promises(guarantees: GuaranteesRecord | None) -> str | None:
    """Say what a model folder's model does not tell, why, and what to do; None if it tells all."""
    if guarantees is None:
        return (
            f"This model gives {_NO_SETS} and {_NO_UNLIKE}: an earlier tenfold made it. For both, "
            "make its folder again: tenfold model --out RUN_FOLDER"
        )
    said = []
    if guarantees.sets is None:
        said.append(" ".join(guarantees.notes) or f"This model gives {_NO_SETS}.")
    if guarantees.unlike is None:
        said.append(
            f"This model gives {_NO_UNLIKE}: fewer than {least_images(KEPT_SHARE)} images were "
            "held out of its training (training.validation_fraction)."
        )
    return " ".join(said) or None


def missing_in_file(description: OnnxDescription) -> str | None:
    """Say what an exported file does not tell, and what to do; None if it tells all."""
    missing = [_NO_SETS] * (description.prediction_sets is None)
    missing += [_NO_UNLIKE] * (description.unlike_threshold is None)
    if not missing:
        return None
    return (
        f"This file gives {' and '.join(missing)}: the model folder that it was exported from had "
        "none. Use a folder of this version, and export it again."
    )


def joined_notices(*notices: str | None) -> str | None:
    """Join what is to be said; None if there is nothing."""
    return " ".join(notice for notice in notices if notice) or None
