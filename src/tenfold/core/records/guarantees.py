"""What a model promises beside its probabilities: prediction sets, and a sense for the unknown."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tenfold.core.record import Interval, Record

Share = Annotated[float, Field(ge=0, le=1)]
Probabilities = npt.NDArray[np.float32]

CalibratedOn = Literal["out-of-fold", "validation"]
"""Whose images a promise rests on: those that each fold held out, or the training's validation."""


AlsoChose = Literal["temperature", "epoch", "penalty", "settings"]


class ClassCoverage(Record):
    """How often the sets of one class's images hold it."""

    count: int = Field(ge=0)
    """Images of the class."""
    coverage: Share | None
    """Share of them whose set holds the class; None without any."""
    interval: Interval | None
    """Of the coverage: 95%, Wilson."""
    mean_size: float | None
    """Classes in a set, over the class's images."""


class SetsOnTest(Record):
    """Prediction sets as they came out on the test split."""

    count: int = Field(ge=1)
    coverage: Share
    """Share of the test images whose set holds the true class."""
    interval: Interval
    """Of the coverage: 95%, Wilson."""
    mean_size: float
    sizes: tuple[int, ...]
    """Images whose set has 1, 2, ... classes."""
    classes: tuple[ClassCoverage, ...]
    """By true class, in the model's order."""


class PredictionSets(Record):
    """Which classes an image may show so that the true one is among them with a chosen probability.

    A class is in an image's set if its calibrated probability is at least `least_probabilities` of
    that class; the most probable class always is. See `tenfold.evaluation.conformal`.
    """

    wanted_coverage: float = Field(gt=0, lt=1)
    """How often the set is to hold the true class."""
    least_probabilities: tuple[Share, ...] = Field(min_length=2)
    calibration_counts: tuple[Annotated[int, Field(ge=0)], ...]
    """Images of each class that the thresholds were found on."""
    has_own_threshold: tuple[bool, ...]
    """Whether a class has enough of them for the promise to hold for it alone; the others share one
    threshold, and it holds for their images taken together."""
    calibrated_on: CalibratedOn
    also_chose: tuple[AlsoChose, ...] = ()
    """What of the model the same images chose, which makes them a little easier than new ones."""
    test: SetsOnTest | None = None
    """None where the model was not tested."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        lengths = {
            len(self.least_probabilities),
            len(self.calibration_counts),
            len(self.has_own_threshold),
        }
        if len(lengths) > 1:
            raise ValueError("the parts of the prediction sets are of different numbers of classes")
        return self

    def members(self, probabilities: Probabilities) -> npt.NDArray[np.bool_]:
        """Say which classes are in each image's set.

        Parameters
        ----------
        probabilities
            Calibrated, float32, shape (N, classes).

        Returns
        -------
        bool, shape (N, classes); at least one class of each image.
        """
        least = np.asarray(self.least_probabilities, np.float32)
        is_member: npt.NDArray[np.bool_] = probabilities >= least
        is_member[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
        return is_member

    def of_one(self, probabilities: Probabilities) -> list[int]:
        """Give the classes in the set of one image, shape (classes,), the most probable first."""
        members = np.flatnonzero(self.members(probabilities[None])[0])
        order = np.argsort(-probabilities[members], kind="stable")
        ordered: list[int] = members[order].tolist()
        return ordered


class UnlikeOnTest(Record):
    """How many test images came out as unlike anything in training."""

    count: int = Field(ge=1)
    """Test images that were looked at."""
    flagged: int = Field(ge=0)
    interval: Interval
    """Of the share flagged: 95%, Wilson."""

    @property
    def share(self) -> float:
        """Give the share that was flagged."""
        return self.flagged / self.count


class UnlikeRecord(Record):
    """From which score on an image is called unlike anything in training.

    The score itself lies in ``unlike.safetensors``; see `tenfold.evaluation.unlike`.
    """

    kept_share: float = Field(gt=0, lt=1)
    """Of images of the data set that training did not see: so many lie below the threshold."""
    threshold: float
    held_out_count: int = Field(ge=1)
    """Images that the threshold was found on."""
    held_out_quantiles: tuple[float, ...]
    """Of their score at 0, 0.01, ..., 1: what images in use are compared with."""
    test: UnlikeOnTest | None = None
    """None where it was not measured."""

    @property
    def test_is(self) -> Literal["more", "fewer", "as expected"]:
        """Say how the share of test images compares with the one that the threshold lets through.

        By two standard errors of both: the threshold rests on a sample, too.
        """
        if self.test is None:
            return "as expected"
        expected = 1 - self.kept_share
        error = expected * self.kept_share * (1 / self.test.count + 1 / self.held_out_count)
        away = self.test.share - expected
        if away**2 <= 4 * error:
            return "as expected"
        return "more" if away > 0 else "fewer"


class AnswersOnTest(Record):
    """What a model answered on its test images; answers in use are compared with it."""

    class_counts: tuple[Annotated[int, Field(ge=0)], ...]
    """Images by the class that it answered."""
    confidence_counts: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=50, max_length=50)
    """Images by the most probable class's probability, in bins of equal width from 0 to 1."""
    mean_confidence: Share
    unlike_count: int | None = Field(None, ge=0)
    """Of `scored_count` images, so many were called unlike anything in training; None where the
    model has no such score."""
    scored_count: int | None = Field(None, ge=1)
    """Test images, or validation images where the score was not measured on test images."""

    @property
    def unlike_share(self) -> float | None:
        """Give the share of images not trained on that were called unlike."""
        if self.unlike_count is None or self.scored_count is None:
            return None
        return self.unlike_count / self.scored_count


class GuaranteesRecord(Record):
    """What a finished model promises, and why it does not promise the rest."""

    sets: PredictionSets | None = None
    unlike: UnlikeRecord | None = None
    """None where too few images were held out of the training."""
    on_test: AnswersOnTest | None = None
    """None where the model was not tested, and in folders that were made before there was one."""
    notes: tuple[str, ...] = ()
    """Why there is no `sets`, or what is otherwise than asked; sentences for people."""
