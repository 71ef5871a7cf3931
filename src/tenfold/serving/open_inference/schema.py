"""What the protocol's messages hold.

As https://github.com/kserve/open-inference-protocol publishes it; a test compares the names.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Parameters = dict[str, Any]
_MOST_TENSORS = 16
Sizes = Annotated[list[int], Field(max_length=8)]


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, protected_namespaces=())


class RequestTensor(_Message):
    """An input, with its data in place or behind the JSON text."""

    name: str
    shape: Sizes
    datatype: str
    parameters: Parameters = {}
    data: Any = None


class RequestedOutput(_Message):
    """An output that is wanted."""

    name: str
    parameters: Parameters = {}


class InferenceRequest(_Message):
    """What is to be computed."""

    id: str | None = None
    parameters: Parameters = {}
    inputs: Annotated[list[RequestTensor], Field(max_length=_MOST_TENSORS)]
    outputs: Annotated[list[RequestedOutput], Field(max_length=_MOST_TENSORS)] | None = None


class ResponseTensor(BaseModel):
    """An output, with its data in place or behind the JSON text."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: list[Any] | None = None


class InferenceResponse(_Message):
    """What was computed."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[ResponseTensor]


class TensorMetadata(BaseModel):
    """What a tensor is; -1 stands for any length."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: Parameters = Field(
        description="Class names by index, title, test accuracy, and what else the input may be."
    )


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class ModelNames(BaseModel):
    """The models that are served."""

    models: list[str]


class Live(BaseModel):
    """The server need not be started again."""

    live: bool


class Ready(BaseModel):
    """Requests are answered; of one model, its name."""

    name: str | None = None
    ready: bool


class ErrorAnswer(BaseModel):
    """The body of every answer that says no."""

    error: str
