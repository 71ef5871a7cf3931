"""Predictions explained: as a page, and as an answer of the API.

::

    packaged = read_model_folder(path)
    classifier = classifier_of(packaged)
    explainer = Explainer.of(classifier, packaged)
    for explanation in explainer.explain(pixels, classes):
        explanation.heat            # (H, W), 0 to 1, or None: which places speak for the class
        explanation.neighbours      # the training images that the network finds most alike
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tenfold.classifier import ImageClassifier
from tenfold.core.errors import DataError
from tenfold.core.files import atomic_path, storage_errors
from tenfold.core.records.training import ModelRecord
from tenfold.core.text import readable
from tenfold.data.dataset import Images
from tenfold.evaluation.explanations import (
    NeighbourIndex,
    SpatialLayer,
    find_spatial_layer,
    heat_maps,
)
from tenfold.report.figures.heat import heat_overlay
from tenfold.report.wording import page_environment
from tenfold.training.device import Device, choose_device
from tenfold.training.inference import features_and_logits
from tenfold.training.model_folder import PackagedModel

if TYPE_CHECKING:
    from tenfold.serving.prediction import Predicted

NEIGHBOURS = 4
"""Training images shown beside an image."""
INDEX = "index.html"
_PICTURES = "explained_images"
_AT_ONCE = 64
_LEAST_SIDE_PX = 96
"""Smaller images are enlarged, so that heat maps over them are smooth."""


@dataclass(frozen=True, eq=False)
class Explainer:
    """Explains images to one model.

    Parameters
    ----------
    classifier
        The model.
    device
        Where to compute.
    layer
        Whose map is shown; None if there is none.
    index
        Training images; None if the model folder has none.
    """

    classifier: ImageClassifier
    device: Device
    layer: SpatialLayer | None
    index: NeighbourIndex | None

    @classmethod
    def of(cls, classifier: ImageClassifier, packaged: PackagedModel) -> Explainer:
        """Make an explainer of a model that was read from its folder.

        Raises
        ------
        ModelFolderError
            If the folder's training images cannot be used.
        """
        device = choose_device(classifier.device)
        network = classifier.network_.to(device.torch_device)
        content = packaged.neighbours
        return cls(
            classifier,
            device,
            find_spatial_layer(network, packaged.record.image_shape),
            None
            if content is None
            else NeighbourIndex.from_bytes(content, len(packaged.record.classes)),
        )

    def explain(self, images: Images, classes: npt.NDArray[np.int64]) -> list[Explanation]:
        """Explain images of the model's shape.

        Parameters
        ----------
        images
            uint8, shape (N, H, W, C).
        classes
            int64, shape (N,): the class that each heat map is about, commonly the predicted one.
        """
        network = self.classifier.network_.to(self.device.torch_device)
        if self.layer is None:
            heats: list[npt.NDArray[np.float32] | None] = [None] * len(images)
        else:
            heats = list(heat_maps(network, images, classes, device=self.device, layer=self.layer))
        if self.index is None:
            return [Explanation(heat, ()) for heat in heats]
        features, _ = features_and_logits(
            network,
            images,
            device=self.device,
            precision=self.device.precision(self.classifier.model_record_.precision),
        )
        index = self.index

        def neighbour(row: int, similarity: float) -> Neighbour:
            label, place = int(index.labels[row]), int(index.places[row])
            return Neighbour(label, float(similarity), place, index.thumbnails[row])

        rows, similarities = index.nearest(features, NEIGHBOURS)
        return [
            Explanation(heat, tuple(map(neighbour, near.tolist(), alike)))
            for heat, near, alike in zip(heats, rows, similarities, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Explanation:
    """What speaks for a class, and what the image resembles.

    Parameters
    ----------
    heat
        float32, shape (H, W), from 0 to 1; None if the network has no maps.
    neighbours
        The most similar first; empty if the model folder holds no training images.
    """

    heat: npt.NDArray[np.float32] | None
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A training image.

    Parameters
    ----------
    label
        Its class, an index.
    similarity
        Cosine between its features and the image's, from -1 to 1.
    place
        In the training split.
    thumbnail
        uint8, shape (h, w, C).
    """

    label: int
    similarity: float
    place: int
    thumbnail: npt.NDArray[np.uint8]


class ExplanationPage:
    """``index.html`` and ``explained_images/``: each image, its heat map, and what it resembles.

    Memory does not grow with the number of images.
    """

    def __init__(self, folder: Path, record: ModelRecord, top: int, file: IO[str]) -> None:
        self._folder = folder
        self._record = record
        self._top = min(top, len(record.classes))
        self._file = file
        self._template = page_environment().get_template("explanations.html.j2").module
        self._waiting: list[Predicted] = []
        self._explainer: Explainer | None = None
        self._count = 0

    @classmethod
    @contextmanager
    def in_folder(cls, folder: Path, record: ModelRecord, top: int) -> Iterator[ExplanationPage]:
        """Write the page into a new or empty folder, or over an earlier one of its kind.

        Raises
        ------
        DataError
            If something else is there.
        """
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder} is a file. Explanations are a folder; give another.")
        own = {INDEX, f".{INDEX}.part", _PICTURES}  # also of a page that was cut off
        if folder.is_dir() and not {path.name for path in folder.iterdir()} <= own:
            raise DataError(f"{folder} is not empty. Give a new folder for the explanations.")
        with storage_errors(folder, only_known=True):
            (folder / _PICTURES).mkdir(parents=True, exist_ok=True)
            with (
                atomic_path(folder / INDEX, only_known=True) as part,
                part.open("w", encoding="utf-8", newline="\n") as file,
            ):
                page = cls(folder, record, top, file)
                page._begin()
                yield page
                page._end()
                file.flush()

    def add(self, result: Predicted, explainer: Explainer) -> None:
        """Add an image that was predicted."""
        self._explainer = explainer
        self._waiting.append(result)
        if len(self._waiting) == _AT_ONCE:
            self._write_waiting()

    def _begin(self) -> None:
        self._file.write(str(self._template.begin(self._record.title)))  # type: ignore[attr-defined]

    def _end(self) -> None:
        self._write_waiting()
        self._file.write(str(self._template.end(self._count)))  # type: ignore[attr-defined]

    def _write_waiting(self) -> None:
        results, self._waiting = self._waiting, []
        if not results:
            return
        assert self._explainer is not None
        images = np.stack([one.pixels for one in results if one.pixels is not None])
        classes = np.array([one.top(1)[0][0] for one in results], np.int64)
        for result, explanation in zip(
            results, self._explainer.explain(images, classes), strict=True
        ):
            self._count += 1
            self._file.write(str(self._entry(result, explanation)))

    def _entry(self, result: Predicted, explanation: Explanation) -> str:
        assert result.pixels is not None
        number = f"{self._count:06}"
        heat = None
        if explanation.heat is not None:
            large = enlarged(result.pixels)
            smooth = Image.fromarray(explanation.heat).resize(
                (large.shape[1], large.shape[0]), Image.Resampling.BILINEAR
            )
            overlay = heat_overlay(large, np.asarray(smooth))
            heat = self._picture(f"{number}_heat.png", overlay)
        entry: dict[str, Any] = {
            "name": readable(result.name),
            "image": self._picture(f"{number}.png", result.pixels),
            "heat": heat,
            "has_heat": explanation.heat is not None and bool(explanation.heat.any()),
            "top": [
                (self._record.classes[index], probability)
                for index, probability in result.top(self._top)
            ],
            "neighbours": [
                (
                    self._record.classes[one.label],
                    one.similarity,
                    self._picture(f"train_{one.place:06}.png", one.thumbnail),
                )
                for one in explanation.neighbours
            ],
        }
        return str(self._template.entry(entry))  # type: ignore[attr-defined]

    def _picture(self, name: str, pixels: npt.NDArray[np.uint8]) -> str:
        path = self._folder / _PICTURES / name
        if not (name.startswith("train_") and path.is_file()):
            path.write_bytes(png(pixels))
        return f"{_PICTURES}/{name}"


def explain_image(
    explainer: Explainer, classes: tuple[str, ...], pixels: npt.NDArray[np.uint8], predicted: int
) -> dict[str, Any]:
    """Give ``seen``, ``heat`` and ``neighbours`` of `tenfold.serving.schema.ExplainAnswer`.

    One image at a time, for it hooks into the network's layers.
    """
    (explanation,) = explainer.explain(pixels[None], np.array([predicted]))
    heat = explanation.heat
    return {
        "seen": _data_uri(pixels),
        "heat": None if heat is None else _data_uri(heat_overlay(pixels, heat)),
        "neighbours": [
            {
                "class": classes[one.label],
                "similarity": round(one.similarity, 4),
                "picture": _data_uri(one.thumbnail),
            }
            for one in explanation.neighbours
        ],
    }


def _data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def enlarged(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Give a small image enlarged by a whole factor, so that no viewer blurs it."""
    factor = max(1, -(-_LEAST_SIDE_PX // min(pixels.shape[:2])))
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Give an image (H, W, C) as PNG, small ones enlarged."""
    content = io.BytesIO()
    large = enlarged(pixels)
    Image.fromarray(large[..., 0] if large.shape[2] == 1 else large).save(content, "PNG")
    return content.getvalue()
