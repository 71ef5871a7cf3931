"""Explanations of predicted images as a page in a folder, written while they come."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tenfold.core.errors import DataError
from tenfold.core.files import atomic_path, storage_errors
from tenfold.core.records.training import ModelRecord
from tenfold.core.text import readable
from tenfold.explanation import Explainer, Explanation
from tenfold.prediction import Predicted
from tenfold.report.figures.canvas import heat_overlay
from tenfold.report.wording import page_environment

INDEX = "index.html"
_PICTURES = "explained_images"
_AT_ONCE = 64
_LEAST_SIDE_PX = 96
"""Smaller images are enlarged, so that heat maps over them are smooth."""


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
