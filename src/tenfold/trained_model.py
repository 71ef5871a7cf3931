"""The trained model as it lies in the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tenfold.core.errors import RunFolderError
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.training import TrainRecord
from tenfold.models.model import ImageNetwork, NetworkPlan
from tenfold.training.checkpoint import read_tensors

LAST_WEIGHTS = "weights_last.safetensors"
BEST_WEIGHTS = "weights_best.safetensors"
TEMPERATURE = "temperature"
"""Key in the metadata of the chosen weights' file, so that the file alone gives calibrated
probabilities."""


@dataclass(frozen=True)
class TrainedModel:
    """A network as the train stage left it.

    Parameters
    ----------
    plan
        How it is built.
    weights
        The chosen weights, normalisation included.
    weights_name
        ``last`` or ``best``.
    temperature
        To divide logits by before the softmax; None if none was fitted.
    """

    plan: NetworkPlan
    weights: dict[str, Tensor]
    weights_name: str
    temperature: float | None = None

    @classmethod
    def read(cls, train_folder: Path, acquired: AcquireRecord) -> TrainedModel:
        """Read the weights that the training chose.

        Raises
        ------
        RunFolderError
            If a file is missing or damaged, or the weights are not those of the recorded network.
        """
        record = TrainRecord.read(train_folder / "record.json")
        plan = NetworkPlan.parse(
            record.model,
            record.model_settings,
            image_shape=acquired.image_shape,
            class_count=len(acquired.classes),
        )
        file = BEST_WEIGHTS if record.chosen_weights == "best" else LAST_WEIGHTS
        weights, _ = read_tensors(train_folder / file, torch.device("cpu"))
        try:
            plan.restore(weights)
        except RuntimeError as error:
            raise RunFolderError(
                f"{train_folder / file} does not hold the weights of the network in record.json "
                f"({error}). One of them was changed by hand; use another --out."
            ) from error
        return cls(plan, weights, record.chosen_weights, record.temperature)

    def network(self) -> ImageNetwork:
        """Build the network with its weights in, in evaluation mode."""
        return self.plan.restore(self.weights).eval()
