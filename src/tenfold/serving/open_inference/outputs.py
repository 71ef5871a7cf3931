"""What a model gives, as tensors, and how they are described."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.text import printable
from tenfold.serving.onnx_model import INPUT, OUTPUT, UNLIKENESS, OnnxModel
from tenfold.serving.open_inference.schema import InferenceRequest, ModelMetadata, TensorMetadata
from tenfold.serving.open_inference.tensors import IMAGE_FILES, PIXELS, Output, bad
from tenfold.serving.repository import ModelInUse

CLASS, UNLIKE, MEMBERS = "class", "unlike", "set"
_FLOAT, _BOOL, _TEXT = "FP32", "BOOL", "BYTES"
_SHOWN = 60
Rows = npt.NDArray[np.float32]


def described(used: ModelInUse) -> dict[str, Any]:
    """Give a model's metadata."""
    description = used.model.description
    return ModelMetadata(
        name=used.name,
        versions=[used.version],
        platform="onnxruntime_onnx",
        inputs=[TensorMetadata(name=INPUT, datatype=PIXELS, shape=[-1, *used.model.image_shape])],
        outputs=[
            TensorMetadata(name=name, datatype=kind, shape=[-1, *shape])
            for name, (kind, shape) in _outputs(used.model).items()
        ],
        parameters={
            "title": description.title,
            "classes": list(description.classes),
            "accuracy": description.accuracy,
            "set_coverage": None
            if description.prediction_sets is None
            else description.prediction_sets.wanted_coverage,
            "content": f"{INPUT} holds pixels as they are read from a file and scaled to this "
            "size, rows from the top, 0 to 255, nothing normalised. It may be of datatype "
            f"{IMAGE_FILES} and shape [-1] instead: image files, in base64 where they are in JSON.",
        },
    ).model_dump(exclude_none=True)


def wanted_outputs(asked: InferenceRequest, model: OnnxModel) -> dict[str, int]:
    """Give the outputs to compute, and of each how many classes are asked for; 0 for the tensor."""
    known = _outputs(model)
    if not asked.outputs:
        return dict.fromkeys(known, 0)
    wanted = {}
    for one in asked.outputs:
        if one.name not in known:
            bad(f"there is no output {printable(one.name)[:_SHOWN]!r}; there are {[*known]}")
        wanted[one.name] = _class_count(one.parameters)
        if wanted[one.name] and one.name != OUTPUT:
            bad(f"a classification can be asked for of {OUTPUT!r} alone")
    return wanted


def computed_outputs(rows: Rows, model: OnnxModel, wanted: Mapping[str, int]) -> list[Output]:
    """Give the outputs that are wanted of rows, shape (N, columns), see `Predictor.rows`."""
    description = model.description
    count = len(model.classes)
    probabilities, scores = rows[:, :count], rows[:, count:]
    outputs = []
    for name, top in wanted.items():
        values: Any
        kind, shape = _outputs(model)[name]
        if name == OUTPUT and top:
            kind, shape = _TEXT, (min(top, count),)
            values = _classification(probabilities, top, model.classes)
        elif name == OUTPUT:
            values = probabilities
        elif name == CLASS:
            values = [model.classes[index] for index in probabilities.argmax(axis=1).tolist()]
        elif name == UNLIKENESS:
            values = scores[:, 0]
        elif name == UNLIKE:
            assert description.unlike_threshold is not None
            values = scores[:, 0] > np.float32(description.unlike_threshold)
        else:
            assert description.prediction_sets is not None
            values = description.prediction_sets.members(probabilities)
        outputs.append(Output(name, kind, values, (len(rows), *shape)))
    return outputs


def _outputs(model: OnnxModel) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Give datatype and shape, without the images' number, of the outputs by name."""
    count = len(model.classes)
    outputs: dict[str, tuple[str, tuple[int, ...]]] = {
        OUTPUT: (_FLOAT, (count,)),
        CLASS: (_TEXT, ()),
    }
    if model.description.unlike_threshold is not None:
        outputs |= {UNLIKENESS: (_FLOAT, ()), UNLIKE: (_BOOL, ())}
    if model.description.prediction_sets is not None:
        outputs[MEMBERS] = (_BOOL, (count,))
    return outputs


def _class_count(parameters: Mapping[str, Any]) -> int:
    count = parameters.get("classification", 0)
    if type(count) is not int or count < 0:
        bad("the parameter classification is no number of classes")
    return count


def _classification(rows: Rows, top: int, classes: tuple[str, ...]) -> list[str]:
    """Give the most probable classes as Triton writes them: PROBABILITY:INDEX:NAME."""
    return [
        f"{row[index]:f}:{index}:{classes[index]}"
        for row in rows
        for index in np.argsort(-row, kind="stable")[:top].tolist()
    ]
