"""The models that a server has, by name and version; a newer version takes over in one step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tenfold.core.text import printable, readable
from tenfold.serving.guard import Refusal
from tenfold.serving.model import ServedModel
from tenfold.serving.onnx_model import OnnxModel
from tenfold.serving.predictor import Predictor

FIRST_VERSION = "1"
"""Of a model that was given without one."""
_SHOWN_NAMES, _SHOWN = 20, 60


def model_name(name: str) -> str:
    """Give what a model of a folder or file of some name is called in addresses."""
    return re.sub(r"[^\w.-]+", "-", readable(name.removesuffix(".onnx"))).strip("-.") or "model"


@dataclass(frozen=True)
class NamedModel:
    """A model, and what clients call it."""

    name: str
    version: str
    served: ServedModel


class ModelInUse:
    """One version of a model, with what computes it; ends when its last request has ended."""

    def __init__(self, named: NamedModel, predictor: Predictor) -> None:
        self.name, self.version = named.name, named.version
        self.served = named.served
        self.predictor = predictor
        self._requests = 0
        self._is_replaced = False

    @property
    def model(self) -> OnnxModel:
        """Give what computes."""
        return self.served.model

    @contextmanager
    def request(self) -> Iterator[ModelInUse]:
        """Keep the model until the request's end."""
        self._requests += 1
        try:
            yield self
        finally:
            self._requests -= 1
            self._end()

    def replace(self) -> None:
        """End as soon as no request is left."""
        self._is_replaced = True
        self._end()

    def _end(self) -> None:
        if self._is_replaced and self._requests == 0:
            self.predictor.close()


class ModelRepository:
    """One version of each model; belongs to one event loop.

    Parameters
    ----------
    make_predictor
        Gives what computes a model.
    """

    def __init__(self, make_predictor: Callable[[NamedModel], Predictor]) -> None:
        self._make_predictor = make_predictor
        self._models: dict[str, ModelInUse] = {}
        self.on_default: Callable[[ModelInUse], object] = lambda _: None
        """Told when the default model is another."""

    def put(self, named: NamedModel) -> None:
        """Let a model answer from now on, in the place of the one that has its name, if any.

        Requests that began before end with the one that they began with.
        """
        new = ModelInUse(named, self._make_predictor(named))
        old = self._models.get(named.name)
        self._models[named.name] = new
        if old is not None:
            old.replace()
        if new is next(iter(self._models.values())):
            self.on_default(new)

    def all(self) -> list[ModelInUse]:
        """Give the models, the default one first."""
        return list(self._models.values())

    def find(self, name: str | None = None, version: str | None = None) -> ModelInUse:
        """Give a model, the first one without a name; one that is not here is refused with 404."""
        found = next(iter(self._models.values())) if name is None else self._models.get(name)
        if found is None:
            known = ", ".join(map(printable, list(self._models)[:_SHOWN_NAMES]))
            raise Refusal(
                404,
                "no_model",
                f"There is no model {printable(name or '')[:_SHOWN]!r} here. Known: {known}.",
            )
        if version is not None and version != found.version:
            raise Refusal(
                404,
                "no_version",
                f"There is no version {printable(version)[:_SHOWN]!r} of {printable(found.name)} "
                f"here. Known: {printable(found.version)}.",
            )
        return found

    @property
    def running_seconds(self) -> float:
        """Give how long a network computes its present batch, the longest of all."""
        return max(one.predictor.batcher.running_seconds for one in self._models.values())

    def close(self) -> None:
        """Take no more images."""
        for one in self._models.values():
            one.predictor.close()
