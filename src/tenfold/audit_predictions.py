"""What the models of a study make of all its images: the ground that the audit judges on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tenfold.core.progress import Progress, Task
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import CrossValidateRecord
from tenfold.data.dataset import Images, SplitName, read_arrays
from tenfold.data.near_duplicates import NetworkFeatures
from tenfold.evaluation.audit import AuditedImages, Probabilities
from tenfold.fold_models import read_fold_models
from tenfold.models.model import ImageNetwork
from tenfold.trained_model import TrainedModel
from tenfold.training.device import Device
from tenfold.training.inference import features_and_logits, probabilities_from_logits
from tenfold.training.temperature import calibrated_probabilities

_OUT_OF_FOLD = "out_of_fold_fresh.npz"


@dataclass(frozen=True)
class AuditPredictions:
    """What the trained network, and the folds' if there are any, make of the images.

    Parameters
    ----------
    features
        Of all images, by the trained network.
    probabilities
        Of the test images, shape (M, classes), as the evaluate stage has them.
    judged
        By split: probabilities to judge its labels by, and where they came from. Training images
        only if there are models that did not see them.
    """

    features: NetworkFeatures
    probabilities: Probabilities
    judged: dict[SplitName, tuple[Probabilities, str]]


@dataclass(frozen=True)
class FoldPredictions:
    """The cross-validation whose models did not see the images that they judge.

    Parameters
    ----------
    folder
        Of the cross-validate stage.
    count
        Number of folds.
    probabilities
        Shape (N, classes): of each training image by the model of its fold.
    fold_of
        int64, shape (N,): the fold of each training image, counted from 1.
    """

    folder: Path
    count: int
    probabilities: Probabilities
    fold_of: npt.NDArray[np.int64]

    @classmethod
    def read(cls, folder: Path) -> FoldPredictions | None:
        """Read them; None if the folds' models leak."""
        if not (folder / _OUT_OF_FOLD).is_file():
            return None
        stored = read_arrays(folder / _OUT_OF_FOLD)
        record = CrossValidateRecord.read(folder / "record.json")
        return cls(folder, record.folds, stored["probabilities"], stored["fold"])


def look_at_all(
    images: AuditedImages,
    acquired: AcquireRecord,
    model: TrainedModel,
    folds: FoldPredictions | None,
    *,
    device: Device,
    precision: torch.dtype,
    progress: Progress,
) -> AuditPredictions:
    """Predict all images.

    Where a mirror image keeps its class, probabilities are averaged over an image and its mirror
    image. Labels of the test split are judged by the mean over the trained model and the folds'.

    Parameters
    ----------
    images
        Of both splits.
    acquired
        What they are.
    model
        The trained model.
    folds
        None if there are none.
    device, precision
        See `tenfold.training.inference.predict_logits`.
    progress
        Who is told.
    """
    has_mirror = acquired.mirror_keeps_class
    parts = [images.train.images, *_views(images.test.images, has_mirror=has_mirror)]
    total = sum(map(len, parts))
    if folds is not None:
        total += folds.count * sum(map(len, parts[1:])) + len(parts[0]) * has_mirror
    views = ", averaged over each image and its mirror image" if has_mirror else ""
    judged: dict[SplitName, tuple[Probabilities, str]] = {}
    with progress.task("Predictions of all images", total, unit="images") as task:
        predict = _Predictor(device, precision, task)
        seen = [predict(model.network(), part) for part in parts]
        of_test = [calibrated_probabilities(logits, model.temperature) for _, logits in seen[1:]]
        judge, source = _mean(of_test), f"the trained model{views}"
        if folds is not None:
            networks = read_fold_models(folds.folder, folds.count, acquired)
            of_train, by_folds = _judge_by_folds(predict, networks, images, folds, has_mirror)
            judge = _mean([judge, *by_folds])
            source = f"the trained model and those of the {folds.count} folds{views}"
            judged["train"] = (
                of_train,
                f"the one of {folds.count} models that was not trained on the image{views}",
            )
    judged["test"] = (judge, source)
    features = NetworkFeatures(
        np.concatenate([part for part, _ in seen[:2]]), seen[2][0] if has_mirror else None
    )
    return AuditPredictions(features, of_test[0], judged)


@dataclass(frozen=True)
class _Predictor:
    device: Device
    precision: torch.dtype
    task: Task

    def __call__(
        self, network: ImageNetwork, images: Images
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Give features and logits."""
        return features_and_logits(
            network.to(self.device.torch_device),
            images,
            device=self.device,
            precision=self.precision,
            on_block=self.task.advance,
        )


def _judge_by_folds(
    predict: _Predictor,
    networks: Iterable[ImageNetwork],
    images: AuditedImages,
    folds: FoldPredictions,
    has_mirror: bool,
) -> tuple[Probabilities, list[Probabilities]]:
    """Give out-of-fold probabilities of training images, and each model's of test images."""
    of_train, of_test = folds.probabilities.copy(), []
    for fold, network in enumerate(networks, start=1):
        views = _views(images.test.images, has_mirror=has_mirror)
        of_test.append(
            _mean([probabilities_from_logits(predict(network, view)[1]) for view in views])
        )
        if has_mirror:
            own = np.flatnonzero(folds.fold_of == fold)
            _, logits = predict(network, images.train.images[own][:, :, ::-1])
            of_train[own] = _mean([of_train[own], probabilities_from_logits(logits)])
    return of_train, of_test


def _views(images: Images, *, has_mirror: bool) -> list[Images]:
    return [images, images[:, :, ::-1]] if has_mirror else [images]


def _mean(parts: list[Probabilities]) -> Probabilities:
    mean: npt.NDArray[np.float64] = np.stack(parts).astype(np.float64).mean(axis=0)
    return mean.astype(np.float32)
