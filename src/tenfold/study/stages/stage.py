"""What a stage is, what it works with, and the models that stages hand to each other."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tenfold.core.errors import RunFolderError
from tenfold.core.progress import Progress
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.records.tuning import TuneRecord
from tenfold.core.registry import Registry
from tenfold.core.run_folder import WORK
from tenfold.core.stages import STAGE_FILES
from tenfold.models.model import ImageNetwork, NetworkPlan
from tenfold.study.image_tasks import NetworkWork
from tenfold.study.recipe import StudySettings
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.work import Place
from tenfold.training.device import Device
from tenfold.training.fit import FittedNetwork
from tenfold.training.settings import AskedPrecision
from tenfold.training.tensors import read_tensors, write_tensors

RECORD = "record.json"
TEST_FEATURES = "features.npz"
"""Features and logits of a stratified sample of the test images, by the evaluate stage."""


class Stage(ABC):
    """One stage of a study.

    `position` and `summary` are written as plain values in one line, and so is `is_training`: they
    are read from the file's text (see `tenfold.core.stages`).
    """

    name: str
    position: int
    """Place in the order of a whole study."""
    version: int
    """Raised when the same settings and inputs give another result than before."""
    summary: str
    """What its command does, for the command line's help."""
    is_training = False
    """Whether it trains networks: then the data are looked at before hours are spent."""
    is_dispensable = False
    """Whether a whole study still has a model and a report without it."""
    needed: tuple[str, ...] = ("acquire",)
    """Stages that have to be complete first, where the study has them."""

    @property
    def reads_if_complete(self) -> tuple[str, ...]:
        """Give the stages that it does not need, but whose results it uses if they are there."""
        return ()

    def is_enabled(self, settings: StudySettings) -> bool:
        """Say whether a study with these settings has it, even if nobody asks for it by name."""
        del settings
        return True

    def needs(self, settings: StudySettings) -> tuple[str, ...]:
        """Give the stages that have to be complete first."""
        return tuple(name for name in self.needed if STAGES[name].is_enabled(settings))

    @abstractmethod
    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the settings that the result depends on: others may change without a new run."""

    @abstractmethod
    def run(self, context: StageContext) -> None:
        """Do the work and write the record and files into the context's folder.

        The call may come again after the process was killed at any moment: what is already in the
        folder was made with the same settings and inputs.
        """


STAGES: Registry[Stage] = STAGE_FILES
"""All stages by name."""


@dataclass(frozen=True)
class StageContext:
    """What a stage works with.

    Parameters
    ----------
    settings
        The study's.
    run_folder
        The study's folder; only the report stage looks around in it, and acquire reads its
        corrections.
    folder
        Where the stage writes; what an attempt that was cut off left is still there.
    inputs
        The folders of the complete stages it needs, and of those complete ones it reads if they
        are there, by stage name.
    device
        Where to compute.
    progress
        Who is told.
    is_offline
        Whether downloads are forbidden.
    place
        Where independent work runs.
    notices
        What the report is to say of the study's state.
    started_at
        When a time budget began to run, on `time.monotonic`'s clock; None for when the training
        begins.
    """

    settings: StudySettings
    run_folder: Path
    folder: Path
    inputs: Mapping[str, Path]
    device: Device
    progress: Progress
    is_offline: bool = False
    place: Place = field(default_factory=Here)
    notices: tuple[str, ...] = ()
    started_at: float | None = None

    @property
    def work(self) -> Path:
        """Give the folder for what only serves to go on after a kill."""
        return self.folder / WORK

    @property
    def precision(self) -> torch.dtype:
        """Give the number format that the device computes predictions in."""
        return self.device.precision(self.settings.training.precision)

    def network_work(self, precision: AskedPrecision) -> NetworkWork:
        """Give who takes the study's images through networks."""
        return NetworkWork(
            self.place, self.inputs["acquire"], "acquire", self.device, precision, self.progress
        )

    def acquired(self) -> AcquireRecord:
        """Read what the acquire stage found."""
        return AcquireRecord.read(self.inputs["acquire"] / RECORD)

    def tuned_settings(self) -> StudySettings:
        """Give the study's settings with the search's best values in, if there was a search."""
        if "tune" not in self.inputs:
            return self.settings
        best = TuneRecord.read(self.inputs["tune"] / RECORD).best_parameters
        return self.settings.with_changes(best)


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
        record = TrainRecord.read(train_folder / RECORD)
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


def write_fold_model(folder: Path, fold: int, fitted: FittedNetwork) -> None:
    """Write the model of one fresh fold, counted from 1, and how it is built.

    It knows neither the test split nor its fold.
    """
    plan = {"model": fitted.plan.model, "settings": fitted.plan.settings.plain()}
    write_tensors(
        _fold_weights(folder, fold), fitted.network.state_dict(), {"plan": json.dumps(plan)}
    )


def move_fold_model(source: Path, target: Path, fold: int) -> None:
    """Put the model of a fold from where it was trained to its place, unless it is there."""
    if (path := _fold_weights(source, fold)).is_file():
        path.replace(_fold_weights(target, fold))


def read_fold_models(folder: Path, folds: int, acquired: AcquireRecord) -> Iterator[ImageNetwork]:
    """Give the network of each fold, one after the other, in evaluation mode.

    Together they are better judges of a label than any one of them, whose own confident mistakes
    the others do not share (Lakshminarayanan et al., "Simple and scalable predictive uncertainty
    estimation using deep ensembles", NeurIPS 2017, arXiv 1612.01474).

    Raises
    ------
    RunFolderError
        If a file is missing or damaged.
    """
    for fold in range(1, folds + 1):
        path = _fold_weights(folder, fold)
        weights, metadata = read_tensors(path, torch.device("cpu"))
        try:
            stored = json.loads(metadata["plan"])
            plan = NetworkPlan.parse(
                stored["model"],
                stored["settings"],
                image_shape=acquired.image_shape,
                class_count=len(acquired.classes),
            )
            network = plan.restore(weights)
        except (KeyError, ValueError, RuntimeError) as error:
            raise RunFolderError(
                f"{path} does not hold the network of a fold ({error}). It was changed by hand or "
                "written by another version; use another --out."
            ) from error
        yield network.eval()


def _fold_weights(folder: Path, fold: int) -> Path:
    return folder / f"weights_fold_{fold}.safetensors"
