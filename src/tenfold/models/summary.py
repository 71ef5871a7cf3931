"""A network's layers as a table: kind, output shape, parameters, multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from tenfold.core.record import Record
from tenfold.core.records.training import LayerRecord
from tenfold.core.records.tuning import SearchDimension
from tenfold.models.model import MODELS


class ModelSummary(Record):
    """A model built for images of one shape: its settings, its layers and what they cost."""

    model: str
    summary: str
    """One line for people."""
    settings: dict[str, object]
    search_space: tuple[SearchDimension, ...]
    """The settings' ranges that are worth searching."""
    image_shape: tuple[int, int, int]
    """Height, width and channels."""
    class_count: int
    layers: tuple[LayerRecord, ...]
    parameter_count: int
    multiply_adds: int
    """Of one image's way through the network."""


def summarize_model(
    name: str,
    settings: Mapping[str, Any],
    *,
    image_shape: tuple[int, int, int],
    class_count: int,
) -> ModelSummary:
    """Build a registered model and describe it.

    Parameters
    ----------
    name
        Registered name.
    settings
        Plain settings of the model, as recipes write them; what is left out takes its default.
    image_shape
        Height, width and channels.
    class_count
        Number of outputs.

    Raises
    ------
    UnknownNameError
        If there is no such model.
    SettingsError
        If a setting is unknown or not valid.
    ImageShapeError
        If the images are too small for the network.
    """
    model = MODELS[name]
    parsed = model.settings_type.parse(settings, where="model")
    network = model.build(
        parsed,
        image_shape=image_shape,
        class_count=class_count,
        generator=torch.Generator().manual_seed(0),
    )
    table = summarize_layers(network, image_shape)
    return ModelSummary(
        model=name,
        summary=model.summary,
        settings=parsed.plain(),
        search_space=model.search_space,
        image_shape=image_shape,
        class_count=class_count,
        layers=table.layers,
        parameter_count=sum(parameter.numel() for parameter in network.parameters()),
        multiply_adds=table.multiply_adds,
    )


@dataclass(frozen=True)
class LayerTable:
    """The layers in the order in which they compute, and what one image costs in all.

    Parameters
    ----------
    layers
        One record a leaf layer.
    multiply_adds
        Of the whole network: of the layers, and of what it computes between them.
    """

    layers: tuple[LayerRecord, ...]
    multiply_adds: int


@torch.no_grad()
def summarize_layers(network: nn.Module, image_shape: tuple[int, int, int]) -> LayerTable:
    """Watch one image go through the network.

    Multiply-adds are those of convolutions and matrix products, as is the custom; normalisation,
    activation and pooling are left out. They are counted where torch computes them, so a layer of
    any kind is counted rightly.

    Parameters
    ----------
    network
        Takes images (B, C, H, W); left as it was.
    image_shape
        Height, width and channels of an image.
    """
    records: list[LayerRecord] = []
    counter = _MultiplyAdds()
    before: list[int] = []

    def enter(_layer: nn.Module, _inputs: Any) -> None:
        before.append(counter.total)

    def leave(name: str, layer: nn.Module, output: Any) -> None:
        spent = counter.total - before.pop()
        if isinstance(output, Tensor) and not isinstance(layer, nn.Identity):
            records.append(
                LayerRecord(
                    name=name,
                    kind=type(layer).__name__,
                    output_shape=tuple(output.shape[1:]),
                    parameters=sum(parameter.numel() for parameter in layer.parameters()),
                    multiply_adds=spent,
                )
            )

    hooks = []
    for name, layer in network.named_modules():
        if not list(layer.children()):
            hooks.append(layer.register_forward_pre_hook(enter))
            hooks.append(
                layer.register_forward_hook(
                    lambda layer, _inputs, output, name=name: leave(name, layer, output)
                )
            )
    was_training = network.training
    height, width, channels = image_shape
    try:
        device = next(network.parameters()).device
        with counter:
            network.eval()(torch.zeros(1, channels, height, width, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return LayerTable(tuple(records), counter.total)


class _MultiplyAdds(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the multiply-adds of what is computed while it is entered.

    As `torch.utils.flop_counter.FlopCounterMode` does, which however imports torch's compiler: that
    takes seconds, after a training whose time budget is up.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        count = flop_registry.get(func.overloadpacket)
        if count is None:
            with self:  # what it is made of may count
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        output = func(*args, **kwargs)
        if count is not None:  # torch counts a multiplication and an addition as two
            self.total += count(*args, **kwargs, out_val=output) // 2
        return output
