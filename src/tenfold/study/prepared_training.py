"""A study's training, made ready the same way wherever it is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenfold.core.records.data import AcquireRecord
from tenfold.data.dataset import ImageSplit, Indices, read_split
from tenfold.models.model import NetworkPlan
from tenfold.study.recipe import StudySettings
from tenfold.training.device import Device
from tenfold.training.loop import Trainer


@dataclass(frozen=True)
class PreparedTraining:
    """What is trained, how, and with which images.

    Parameters
    ----------
    acquired
        What the acquire stage found.
    trainer, plan
        How to train, and what to build.
    train, validation
        The images; None where none are held out.
    train_indices, validation_indices
        Their places in the training split.
    note
        What there is to say of how they were held out, if there is.
    """

    acquired: AcquireRecord
    trainer: Trainer
    plan: NetworkPlan
    train: ImageSplit
    validation: ImageSplit | None
    train_indices: Indices
    validation_indices: Indices
    note: str | None

    @classmethod
    def read(cls, settings: StudySettings, acquire: Path, device: Device) -> PreparedTraining:
        """Make ready what a study with these (tuned) settings trains on acquired images."""
        acquired = AcquireRecord.read(acquire / "record.json")
        split = read_split(acquire, "train")
        train_indices, validation_indices, note = settings.hold_out(
            acquire, split.labels, acquired.classes
        )
        validation = split.take(validation_indices) if len(validation_indices) else None
        training = settings.training
        if note is not None and validation is None:
            training = training.without_validation()
        return cls(
            acquired,
            Trainer(
                training,
                settings.seed,
                device,
                mirror_keeps_class=acquired.mirror_keeps_class,
                classes=acquired.classes,
            ),
            settings.network_plan(acquired.image_shape, len(acquired.classes)),
            split.take(train_indices),
            validation,
            train_indices,
            validation_indices,
            note,
        )
