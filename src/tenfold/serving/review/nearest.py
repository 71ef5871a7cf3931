"""The training images that the study's network finds most like an image."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tenfold.core.errors import TenfoldError
from tenfold.data.corrections import image_id
from tenfold.data.dataset import kept_places
from tenfold.serving.review.study import ReviewedStudy

if TYPE_CHECKING:
    from tenfold.serving.explanation import Explainer

SHOWN = 6
_REMEMBERED = 4096


@dataclass(frozen=True)
class Near:
    """A training image: cosine of its features with those of the image that was asked about."""

    id: str
    similarity: float


class NearestImages:
    """Looks images up in the index of the study's model folder.

    PyTorch takes seconds to load, so that happens in a thread of its own, which then computes one
    image after the other.
    """

    def __init__(self, study: ReviewedStudy) -> None:
        self._study = study
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="nearest")
        self.problem = ""
        """Why there are none, for people; known when the first were asked for."""
        self._explainer: Future[Explainer | None] = self._pool.submit(self._load)
        self._looked_up = lru_cache(_REMEMBERED)(self._look_up)

    def __call__(self, name: str) -> tuple[Near, ...] | None:
        """Give the nearest training images, never the image itself; None if there is no index."""
        if self._explainer.result() is None:
            return None
        return self._pool.submit(self._looked_up, name).result()

    def close(self) -> None:
        """Compute no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _load(self) -> Explainer | None:
        path = self._study.path
        try:
            from tenfold.classifier import classifier_of
            from tenfold.serving.explanation import Explainer
            from tenfold.training.model_folder import outdated_notice, read_model_folder

            if outdated_notice(path / "model") is not None:
                self.problem = f"The model is of earlier data: tenfold model --out {path}"
                return None
            packaged = read_model_folder(path)
            explainer = Explainer.of(classifier_of(packaged, device="cpu"), packaged)
        except TenfoldError as error:
            self.problem = str(error)
            return None
        if explainer.index is None or not len(explainer.index):
            self.problem = (
                "The model folder holds no training images: explain.neighbour_images is 0."
            )
            return None
        return explainer

    def _look_up(self, name: str) -> tuple[Near, ...]:
        from tenfold.training.inference import features_and_logits

        explainer = self._explainer.result()
        assert explainer is not None
        assert explainer.index is not None
        split, index = self._study.place(name)
        images = self._study.splits[split].given.images
        features, _ = features_and_logits(
            explainer.classifier.network_.to(explainer.device.torch_device),
            images[[index]],
            device=explainer.device,
            precision=explainer.device.precision(explainer.classifier.model_record_.precision),
        )
        rows, similarities = explainer.index.nearest(features, SHOWN + 1)
        kept = kept_places(self._study.path / "acquire", "train")
        found = []
        for row, similarity in zip(rows[0].tolist(), similarities[0].tolist(), strict=True):
            place = int(explainer.index.places[row])
            other = image_id("train", place if kept is None else int(kept[place]))
            if other != name:
                found.append(Near(other, round(float(np.clip(similarity, -1, 1)), 3)))
        return tuple(found[:SHOWN])
