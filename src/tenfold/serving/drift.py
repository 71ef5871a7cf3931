"""Whether the answers of a model in use are spread as those on its test images were."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from tenfold.core.records.guarantees import AnswersOnTest
from tenfold.core.text import printable
from tenfold.evaluation.drift import (
    LEVEL,
    Statistic,
    confidence_counts,
    largest_distance,
    likelihood_ratio,
    permutation_p_value,
)
from tenfold.report.formats import percent

_LEAST_TEST_IMAGES = 30
_NAMED_CLASSES = 3
_TESTS = {
    "classes": "G-test",
    "confidence": "Kolmogorov-Smirnov test",
    "unlike": "test of two shares",
}


class DriftPart(BaseModel):
    """One comparison of a full window with the test images."""

    of: str = Field(description="classes, confidence or unlike.")
    test: str = Field(description="Of two samples; its p-value is by permutation.")
    p_value: float
    drifts: bool = Field(description="Whether the p-value is below this test's level.")


class ClassShare(BaseModel):
    """How often a class is the answer."""

    class_name: str = Field(alias="class")
    live: float = Field(description="In the last answers.")
    test: float = Field(description="On the test images.")


class LiveAnswer(BaseModel):
    """What a model answered lately, beside what it answered on its test images."""

    model: str
    available: bool = Field(description="Whether there is something to compare with.")
    sentence: str = Field(description="For people.")
    drifts: bool
    window_images: int = Field(description="Answers that are compared at a time.")
    live_images: int = Field(description="Of the last answers, so many are counted here.")
    compared_windows: int
    classes: list[ClassShare] = Field(description="Empty if nothing is compared.")
    confidence: float | None = Field(description="Mean of the last answers.")
    test_confidence: float | None
    unlike_share: float | None = Field(description="Of the last answers; null without a score.")
    test_unlike_share: float | None = Field(description="Of the test images.")
    tests: list[DriftPart] = Field(description="Of the last full window.")


@dataclass(frozen=True)
class _Window:
    """Answers as arrays, each of shape (N,)."""

    classes: npt.NDArray[np.int64]
    confidences: npt.NDArray[np.float32]
    is_unlike: npt.NDArray[np.bool_]


class LiveAnswers:
    """The last answers of one model; belongs to one event loop.

    Parameters
    ----------
    classes
        The class names.
    on_test
        What answers are compared with; None for a model without it.
    window_images
        Answers that are compared at a time. Windows do not overlap, so that each one's level holds.
    in_thread
        Runs a comparison, which takes some milliseconds, elsewhere.
    has_unlike
        Whether the model tells unlike images.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        on_test: AnswersOnTest | None,
        window_images: int,
        in_thread: Callable[[Callable[[], None]], object],
        *,
        has_unlike: bool = False,
    ) -> None:
        self.classes = classes
        self.on_test = on_test
        self.why_not = _why_not(on_test)
        self.has_unlike = has_unlike
        self._in_thread = in_thread
        self._places = np.zeros(window_images, np.int64)
        self._confidences = np.zeros(window_images, np.float32)
        self._is_unlike = np.zeros(window_images, np.bool_)
        self._seen = 0
        self.compared: tuple[DriftPart, ...] = ()
        self._told = ""
        self.windows = 0

    def add(self, place: int, confidence: float, is_unlike: bool | None) -> None:
        """Count one answer: the class's index, its probability."""
        at = self._seen % len(self._places)
        self._places[at] = place
        self._confidences[at] = confidence
        self._is_unlike[at] = bool(is_unlike)
        self._seen += 1
        if at + 1 == len(self._places) and self.why_not is None:
            with contextlib.suppress(RuntimeError):  # it takes nothing more
                self._in_thread(partial(self._compare, self.last()))

    def last(self) -> _Window:
        """Give the answers of the sliding window, in no order."""
        count = min(self._seen, len(self._places))
        return _Window(
            self._places[:count].copy(),
            self._confidences[:count].copy(),
            self._is_unlike[:count].copy(),
        )

    @property
    def drifts(self) -> bool:
        """Whether the last full window did."""
        return any(one.drifts for one in self.compared)

    def _compare(self, window: _Window) -> None:
        assert self.on_test is not None
        generator = np.random.default_rng([self.windows, len(self.classes)])
        pairs = dict(_pairs(self.on_test, window, len(self.classes), self.has_unlike))
        parts = []
        for of, (expected, seen, statistic) in pairs.items():
            p_value = permutation_p_value(expected, seen, statistic, generator)
            drifts = p_value < LEVEL / len(pairs)
            parts.append(DriftPart(of=of, test=_TESTS[of], p_value=p_value, drifts=drifts))
        self._told = self._sentence(window, parts)
        self.compared = tuple(parts)
        self.windows += 1

    def _sentence(self, window: _Window, parts: Iterable[DriftPart]) -> str:
        assert self.on_test is not None
        said = {
            "classes": lambda: self._most_changed(window),
            "confidence": lambda: (
                f"the mean confidence is {percent(window.confidences.mean())} instead of "
                f"{percent(self.on_test.mean_confidence)}"
            ),
            "unlike": lambda: (
                f"{percent(window.is_unlike.mean())} instead of "
                f"{percent(self.on_test.unlike_share or 0)} are unlike anything in training"
            ),
        }
        told = [
            f"{said[one.of]()} ({one.test}, p {_p(one.p_value)})" for one in parts if one.drifts
        ]
        count = len(window.classes)
        if not told:
            return f"The last {count:,} compared answers are spread as those on the test images."
        return (
            f"The last {count:,} compared answers differ from those on the test images: "
            f"{'; '.join(told)}. Look at recent images: the accuracy on the test images may not "
            "hold for them."
        )

    def _most_changed(self, window: _Window) -> str:
        live, test = self._shares(window)
        order = np.argsort(-np.abs(live - test), kind="stable")[:_NAMED_CLASSES]
        return ", ".join(
            f"{printable(self.classes[place])} is {percent(live[place])} of them instead of "
            f"{percent(test[place])}"
            for place in order
        )

    def _shares(self, window: _Window) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        assert self.on_test is not None
        live = np.bincount(window.classes, minlength=len(self.classes))
        test = np.asarray(self.on_test.class_counts)
        return live / max(1, live.sum()), test / max(1, test.sum())

    def describe(self, model: str) -> LiveAnswer:
        """Give what is known now."""
        window = self.last()
        is_there, on_test = self.why_not is None, self.on_test
        wanted = len(self._places)
        shares: list[dict[str, Any]] = []
        if is_there:
            rows = zip(self.classes, *self._shares(window), strict=True)
            shares = [{"class": name, "live": live, "test": test} for name, live, test in rows]
        waiting = (
            f"{min(self._seen, wanted):,} of {wanted:,} answers are there that are compared with "
            "those on the test images."
        )
        known = None if not is_there else on_test
        has_any = len(window.classes) > 0
        return LiveAnswer(
            model=model,
            available=is_there,
            sentence=self.why_not or self._told or waiting,
            drifts=self.drifts,
            window_images=wanted,
            live_images=len(window.classes),
            compared_windows=self.windows,
            classes=[ClassShare.model_validate(one) for one in shares],
            confidence=float(window.confidences.mean()) if has_any else None,
            test_confidence=None if known is None else known.mean_confidence,
            unlike_share=float(window.is_unlike.mean()) if has_any and self.has_unlike else None,
            test_unlike_share=None if known is None else known.unlike_share,
            tests=list(self.compared),
        )


def _why_not(on_test: AnswersOnTest | None) -> str | None:
    if on_test is None:
        return (
            "Whether answers drift cannot be told: the model does not say what it answered on its "
            "test images. Make it again with this tenfold, with test images: tenfold run, then "
            "tenfold export."
        )
    count = sum(on_test.class_counts)
    if count < _LEAST_TEST_IMAGES:
        return (
            f"Whether answers drift cannot be told: the model has {count:,} test images, and "
            f"{_LEAST_TEST_IMAGES} are the least to compare with."
        )
    return None


def _pairs(
    on_test: AnswersOnTest, window: _Window, class_count: int, has_unlike: bool
) -> Iterable[tuple[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Statistic]]]:
    """Give what is compared: counts on the test images, counts of a window, how."""
    classes = np.bincount(window.classes, minlength=class_count)
    yield "classes", (np.asarray(on_test.class_counts), classes, likelihood_ratio)
    confidences = confidence_counts(window.confidences)
    yield "confidence", (np.asarray(on_test.confidence_counts), confidences, largest_distance)
    if has_unlike and on_test.unlike_count is not None and on_test.scored_count is not None:
        expected = np.array([on_test.unlike_count, on_test.scored_count - on_test.unlike_count])
        count = int(window.is_unlike.sum())
        seen = np.array([count, len(window.is_unlike) - count])
        yield "unlike", (expected, seen, likelihood_ratio)


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.4f}"
