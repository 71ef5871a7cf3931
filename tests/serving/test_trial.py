"""Training images that a model folder carries, as a trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.errors import ModelFolderError
from tenfold.serving.model import ServedModel, prepare_model
from tenfold.serving.onnx_model import OnnxModel
from tenfold.serving.trial import check_known_images


@pytest.mark.parametrize(("right", "is_taken"), [(200, True), (170, True), (100, False)])
def test_as_accurate_as_the_record_says(
    right: int, is_taken: bool, onnx_content: bytes, images: Any, tmp_path: Path
) -> None:
    model = OnnxModel(onnx_content, threads=1)
    shown = images(200, (16, 16, 3))
    labels = model.predict(shown).argmax(1).astype(np.int64)
    labels[right:] = (labels[right:] + 1) % 3
    served = ServedModel(model, None, known=(shown, labels))  # its accuracy is 75%
    if is_taken:
        check_known_images(served, tmp_path)
    else:
        with pytest.raises(ModelFolderError, match="it recognises 100 of the 200"):
            check_known_images(served, tmp_path)


@pytest.mark.slow
def test_a_model_folder_carries_them(run_folder: Path, one_core: None) -> None:
    served = prepare_model(run_folder)
    assert served.known is not None
    shown, labels = served.known
    assert shown.shape[1:] == served.model.image_shape
    assert len(shown) == len(labels)
    check_known_images(served, run_folder)
