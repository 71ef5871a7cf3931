"""Predictions of many files in several processes, or on the nodes of a cluster.

Blocks of files are tasks; what predicts one is `tenfold.serving.prediction.predict_files`, so that
the answers are those of one process, to the last digit where the processor is of the same type and
a task has as many threads.
Files are read by the driver and sent as they are, a few at a time as their worker asks for them: no
disk is shared, and neither end holds more of a block than that.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tenfold.core.errors import TrainingError
from tenfold.core.progress import Progress
from tenfold.data.images.formats import DecodingLimits
from tenfold.data.images.stream import ImageFile, why_not_opened
from tenfold.serving.prediction import (
    MOST_SENT_BYTES,
    FoundImages,
    LoadedModel,
    Predicted,
    images_of_a_block,
    load_model,
    predict_batches,
)
from tenfold.study.scaling.packing import Values, pack, unpack
from tenfold.study.scaling.work import Common, Desk, DoTask, Driver, Place, Task, Work
from tenfold.training.device import Device, choose_device
from tenfold.training.model_folder import model_folder_in

_MOST_FILES_AT_A_TIME = 64
_MOST_BYTES_AT_A_TIME = 2**23
"""Of files in one answer, unless one is larger."""


def predict_by(  # noqa: PLR0917 -- as `predict_files`, and where
    place: Place,
    path: Path,
    loaded: LoadedModel,
    found: FoundImages,
    take: Callable[[Predicted], object],
    progress: Progress,
    device: str,
    limits: DecodingLimits,
) -> None:
    """Predict files wherever a place has them done.

    Parameters
    ----------
    place
        Where to.
    path
        Of the model: a folder, a run folder, or an exported file.
    loaded
        The same, as `load_model` gave it.
    found
        What to predict.
    take
        Given the results, without pixels, in the order of the files and as soon as they are there.
    progress
        Who is told.
    device
        Name of the device that was asked for.
    limits
        What decoding one image may cost.

    Raises
    ------
    TrainingError
        If a block was given up.
    TenfoldError
        What a worker raised.
    """
    for left in found.left_out:
        take(Predicted(left.path, None, left.reason))
    blocks = _Blocks(found.files, images_of_a_block(loaded.model), take)
    with (
        tempfile.TemporaryDirectory(prefix="tenfold-predict-") as scratch,
        progress.task("Predicting", len(found.files), unit="images") as bar,
    ):
        driver = Driver(
            next_task=blocks.next_task,
            left=lambda: blocks.left,
            on_done=lambda task, result: bar.advance(blocks.add(task, result)),
            on_lost=_give_up,
            on_ask=lambda _task, question: blocks.files_from(question["first"], question["end"]),
            on_look=lambda state: bar.advance(0, detail=state),
            progress=progress,
        )
        place.run(_work(path, Path(scratch), choose_device(device), limits), driver)


def _work(path: Path, scratch: Path, device: Device, limits: DecodingLimits) -> Work:
    """Describe the work; what a worker needs of the model lies in a folder of its own."""
    if path.suffix == ".onnx" and not path.is_dir():
        model = scratch / "model"
        model.mkdir()
        shutil.copyfile(path, model / "model.onnx")
        file = "model.onnx"
    else:
        model, file = model_folder_in(path), ""
    values = {"file": file, "most_pixels": limits.pixels}
    return Work(prediction_worker, scratch / "work", values, {"model": model}, device)


def _give_up(task: Task, reason: str) -> None:
    raise TrainingError(f"{task.name} could not be predicted: {reason}")


@dataclass
class _Blocks:
    """Hands out blocks of files, and gives their results in order."""

    files: Sequence[ImageFile]
    size: int
    take: Callable[[Predicted], object]
    _given: int = 0
    _taken: int = 0
    _early: dict[int, list[Predicted]] = field(default_factory=dict)
    """Results of blocks whose turn has not come."""

    @property
    def left(self) -> int:
        return -(-len(self.files) // self.size) - self._given

    def next_task(self) -> Task | None:
        """Give the next block: which files it has."""
        if not self.left:
            return None
        first = self._given * self.size
        end = min(first + self.size, len(self.files))
        self._given += 1
        name = f"Images {first + 1:,} to {end:,}"
        return Task(name, {"number": self._given - 1, "first": first, "end": end})

    def files_from(self, first: int, end: int) -> Values:
        """Read some files from one on: no more than may be held at a time, but one at least."""
        files: list[ImageFile] = []
        contents: list[bytes] = []
        reasons: list[str] = []
        for file in self.files[first : min(end, first + _MOST_FILES_AT_A_TIME)]:
            content, reason = _read(file)
            files.append(file)
            contents.append(content)
            reasons.append(reason)
            if sum(map(len, contents)) >= _MOST_BYTES_AT_A_TIME:
                break
        return {
            "names": [file.name for file in files],
            "reasons": reasons,
            "lengths": [len(content) for content in contents],
            "contents": b"".join(contents),
        }

    def add(self, task: Task, result: bytes) -> int:
        """Take a block's results; give how many there are."""
        results = _unpacked_results(result)
        self._early[task.inputs["number"]] = results
        while (ready := self._early.pop(self._taken, None)) is not None:
            self._taken += 1
            for one in ready:
                self.take(one)
        return len(results)


def prediction_worker(common: Common) -> DoTask:
    """Read the model, and give what predicts a block of files."""
    path = common.folders["model"] / common.values["file"]
    loaded = load_model(path, device=common.device)
    limits = DecodingLimits(pixels=common.values["most_pixels"])

    def predict(inputs: Values, desk: Desk) -> bytes:
        reasons: list[str] = []
        files = _asked_for(desk, inputs["first"], inputs["end"], reasons)
        batches = predict_batches(loaded.model, files, limits=limits, ahead=_MOST_FILES_AT_A_TIME)
        results = [replace(one, pixels=None) for batch in batches for one in batch]
        return _packed_results(
            [
                Predicted(one.name, None, reason) if reason else one
                for one, reason in zip(results, reasons, strict=True)
            ]
        )

    return predict


def _asked_for(desk: Desk, first: int, end: int, reasons: list[str]) -> Iterator[ImageFile]:
    """Give files as the driver sends them, and note why it could not read some."""
    while first < end:
        found = desk.ask({"first": first, "end": end})
        first += len(found["names"])
        reasons += found["reasons"]
        contents = memoryview(found["contents"])
        start = 0
        for name, length in zip(found["names"], found["lengths"], strict=True):
            yield ImageFile(name, io.BytesIO(contents[start : start + length]))
            start += length


def _read(file: ImageFile) -> tuple[bytes, str]:
    """Give a file's bytes, or why there are none."""
    if not isinstance(file.place, Path):
        file.place.seek(0)  # it may be asked for again, by another worker
        return file.place.read(), ""
    if (reason := why_not_opened(file.place)) is not None:
        return b"", reason
    try:
        with file.place.open("rb") as opened:
            # A file that is cut off there cannot be decoded whole, and its reason says so.
            return opened.read(MOST_SENT_BYTES), ""
    except OSError as error:
        return b"", error.strerror or str(error)


def _packed_results(results: Sequence[Predicted]) -> bytes:
    rows = [one.probabilities for one in results if one.probabilities is not None]
    return pack(
        {
            "names": [one.name for one in results],
            "reasons": [one.reason for one in results],
            "is_read": [one.probabilities is not None for one in results],
            "members": [one.members for one in results],
            "is_unlike": [one.is_unlike for one in results],
            "rows": np.stack(rows) if rows else np.empty((0, 0), np.float32),
        }
    )


def _unpacked_results(content: bytes) -> list[Predicted]:
    values = unpack(content)
    rows = iter(values["rows"])
    return [
        Predicted(
            name,
            next(rows) if is_read else None,
            reason,
            members=None if members is None else tuple(members),
            is_unlike=is_unlike,
        )
        for name, is_read, reason, members, is_unlike in zip(
            values["names"],
            values["is_read"],
            values["reasons"],
            values["members"],
            values["is_unlike"],
            strict=True,
        )
    ]
