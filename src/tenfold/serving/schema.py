"""The API as OpenAPI describes it: what a body may be, and what answers hold."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

_BINARY = {"schema": {"type": "string", "format": "binary"}}
IMAGE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": _BINARY,
            "image/*": _BINARY,
            "application/zip": _BINARY,
            "application/x-npy": _BINARY,
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {"type": "array", "items": {"type": "string", "format": "byte"}}
                    },
                }
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            },
        },
    }
}


class Problem(BaseModel):
    """Why something was not done."""

    code: str = Field(description="One word, for programs.")
    message: str = Field(description="For people.")


class ProblemAnswer(BaseModel):
    """The body of every answer that says no."""

    error: Problem


class ClassProbability(BaseModel):
    """One class and how probable it is."""

    class_name: str = Field(alias="class")
    probability: float = Field(ge=0, le=1)


class ImageResult(BaseModel):
    """One image: its classes, or why it could not be read."""

    image: str = Field(description="Its name as it was sent; empty for a body that is an image.")
    unlike: bool | None = Field(
        None,
        description="Whether the image is unlike anything in training, so that no class may fit; "
        "not there if the model cannot tell.",
    )
    class_name: str | None = Field(None, alias="class", description="The most probable class.")
    probability: float | None = Field(None, description="Of that class; calibrated.")
    set: list[str] | None = Field(
        None,
        description="Classes among which the true one is as often as the model's set_coverage "
        "says; not there if it has no prediction sets.",
    )
    top: list[ClassProbability] | None = Field(
        None, description="The most probable classes, the first first."
    )
    error: Problem | None = None


class PredictAnswer(BaseModel):
    """One result an image, in the order sent."""

    results: list[ImageResult]


class SimilarImage(BaseModel):
    """A training image that the network finds alike."""

    class_name: str = Field(alias="class")
    similarity: float = Field(description="Cosine of the features, -1 to 1.")
    picture: str = Field(description="A data: URI of a PNG.")


class ExplainAnswer(BaseModel):
    """What speaks for the most probable class."""

    class_name: str = Field(alias="class")
    probability: float
    seen: str = Field(description="What the network saw, a data: URI of a PNG.")
    heat: str | None = Field(description="The heat map over it; null if there is none.")
    neighbours: list[SimilarImage]


class ModelAnswer(BaseModel):
    """The model that is served."""

    title: str
    model: str = Field(description="The architecture's name.")
    classes: list[str]
    image_shape: list[int] = Field(description="Height, width, channels; others are scaled.")
    accuracy: float | None = Field(description="On the test split; null if it was not tested.")
    test_count: int | None
    quantization: str | None
    set_coverage: float | None = Field(
        description="How often an image's set is to hold the true class; null without sets."
    )
    explains: bool = Field(description="Whether /api/explain answers.")
    versions: dict[str, str]


class NamedModelAnswer(ModelAnswer):
    """One of the models that are served."""

    name: str = Field(description="In addresses.")
    version: str


class ModelsAnswer(BaseModel):
    """The models that are served, the default one first."""

    models: list[NamedModelAnswer]


class HealthAnswer(BaseModel):
    """The server is well; otherwise it answers 503 with a `ProblemAnswer`."""

    status: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemAnswer, "description": text}
    for status, text in {
        400: "The body is damaged.",
        401: "The token is missing or wrong.",
        403: "A page of another site asks.",
        404: "There is no such model.",
        408: "The body came too slowly.",
        413: "The body or an image is too large.",
        421: "The server does not answer by this name.",
        415: "The body is of a kind that holds no image.",
        422: "An image or a parameter cannot be read.",
        429: "The token was used too often.",
        501: "The server cannot do this with its model.",
        503: "The server is busy.",
    }.items()
}
NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": ProblemAnswer, "description": "The network does not answer."}
}
