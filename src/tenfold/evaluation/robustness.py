"""How accuracy holds when images are disturbed.

How many images are disturbed is in proportion to what the training cost, in counts and not by a
clock: a study that is run again, or goes on after a kill, looks at the same ones
(docs/decisions/033).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tenfold.core.progress import Task
from tenfold.core.randomness import derive_seed
from tenfold.core.records.evaluation import CorruptionScores, RobustnessRecord
from tenfold.core.records.training import TrainRecord
from tenfold.data.corruptions import CORRUPTIONS, Corruption
from tenfold.data.dataset import Images, ImageSplit, Labels
from tenfold.data.store import in_memory
from tenfold.evaluation.differences import paired_interval
from tenfold.evaluation.intervals import wilson_interval

Predict = Callable[[Images], npt.NDArray[np.int64]]
"""Takes uint8 images (N, H, W, C) and gives the predicted classes, int64, shape (N,)."""

_SHARE_OF_TRAINING = 1 / 6
"""Of the images' ways through the network that the training took; the rest of the evaluation, the
audit and the page take their parts too."""
_PASSES_OF_A_STEP = 3
"""A step goes forward and backward, which costs about twice as much."""
_ALWAYS_MULTIPLY_ADDS = 5 * 10**11
"""Some 20 seconds on two cores: 2,500 images through EfficientNet-Lite0 at 160 px."""


def training_passes(train: TrainRecord) -> int:
    """Give how many images' ways through the network the training cost, about."""
    if train.probe is None:
        features, epochs = 0, train.epochs
    else:
        features = train.train_count * (1 + train.probe.is_mirrored) + train.validation_count
        epochs = train.probe.fine_tune_epochs
    return features + epochs * (_PASSES_OF_A_STEP * train.train_count + train.validation_count)


def images_in_proportion(train: TrainRecord) -> int:
    """Give how many images may be disturbed so that it takes a part of the training's time.

    Parameters
    ----------
    train
        Of the network, whose counts of images, epochs and multiply-adds are used.
    """
    always = _ALWAYS_MULTIPLY_ADDS // max(train.multiply_adds or 1, 1)
    return max(int(_SHARE_OF_TRAINING * training_passes(train)), always) // passes()


def measure_robustness(
    predict: Predict, split: ImageSplit, *, seed: int, task: Task | None = None
) -> RobustnessRecord:
    """Predict the images under every disturbance at every strength.

    Parameters
    ----------
    predict
        The model.
    split
        Images and their true classes.
    seed
        Of what is random in a disturbance; it depends on the image's place in `split` as well.
    task
        Told after each pass over the images.
    """
    started = time.perf_counter()
    images = in_memory(split.images)
    is_right = predict(images) == split.labels
    found = tuple(
        _corruption_scores(
            corruption, predict, images, split.labels, is_right, seed=seed, task=task
        )
        for corruption in CORRUPTIONS
    )
    return RobustnessRecord(
        count=len(split),
        accuracy=float(is_right.mean()),
        interval=wilson_interval(int(is_right.sum()), len(split)),
        corruptions=found,
        seconds=time.perf_counter() - started,
    )


def passes() -> int:
    """Give how often `measure_robustness` tells its task."""
    return sum(len(corruption.strengths) for corruption in CORRUPTIONS)


def _corruption_scores(
    corruption: Corruption,
    predict: Predict,
    images: Images,
    labels: Labels,
    is_right: npt.NDArray[np.bool_],
    *,
    seed: int,
    task: Task | None,
) -> CorruptionScores:
    indices = np.arange(len(images))
    accuracies, kept = [], np.zeros(len(images))
    for strength in corruption.strengths:
        is_still_right = predict(corruption.apply(images, indices, seed, strength)) == labels
        accuracies.append(float(is_still_right.mean()))
        kept += is_still_right / len(corruption.strengths)
        if task is not None:
            task.advance(detail=corruption.name)
    # Rounded, so that equal sums of fifths are one value.
    differences = np.round(is_right - kept, 6)
    generator = np.random.default_rng(derive_seed(seed, "fall", corruption.name))
    return CorruptionScores(
        name=corruption.name,
        description=corruption.description,
        unit=corruption.unit,
        strengths=corruption.strengths,
        accuracies=tuple(accuracies),
        fall=float(differences.mean()),
        fall_interval=paired_interval(differences, generator),
    )
