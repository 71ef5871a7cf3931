"""Blocks of images through a network, as independent tasks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch

from tenfold.core.progress import Progress
from tenfold.core.progress import Task as Bar
from tenfold.data.dataset import SplitName, read_given_split
from tenfold.data.feature_rows import Features, NewFeatures
from tenfold.data.store import AnyImages, StoredImages
from tenfold.models.model import ImageNetwork, NetworkPlan
from tenfold.study.scaling.packing import Values
from tenfold.study.scaling.work import Common, Desk, DoTask, Place, Task, Work, run_tasks
from tenfold.training.device import Device
from tenfold.training.feature_store import BLOCK_IMAGES, feature_store
from tenfold.training.inference import (
    block_features,
    frozen_key,
    is_mirrored_alone,
    mirrored,
    stored_features_and_logits,
)
from tenfold.training.settings import AskedPrecision
from tenfold.training.tensors import packed_tensors, read_tensors, unpacked_tensors, write_tensors

LEAST_BLOCKS = 4
"""Fewer blocks of `BLOCK_IMAGES` are computed before processes have started."""
_NETWORK = "network"
_WEIGHTS = "weights.safetensors"
_KEY = "key"


@dataclass(frozen=True)
class RowsOfSplit:
    """Images as tasks find them: rows of a split in a folder, perhaps mirrored.

    Parameters
    ----------
    split
        Whose images they are, as the source gave it.
    rows
        int64: which, in their order.
    is_mirrored
        Whether left and right are exchanged.
    """

    split: SplitName
    rows: npt.NDArray[np.int64]
    is_mirrored: bool = False

    @classmethod
    def of(cls, images: AnyImages, folder: Path) -> RowsOfSplit | None:
        """Find images of a folder's splits; None if they are none, or changed in another way."""
        if not isinstance(images, StoredImages):
            return None
        is_mirrored = is_mirrored_alone(images)
        if images.changes and not is_mirrored:
            return None
        for split in get_args(SplitName):
            if _is_of(images, _given(folder, split)):
                rows = np.arange(images.count) if images.chosen is None else images.chosen
                return cls(split, rows, is_mirrored)
        return None

    def images(self, folder: Path) -> AnyImages:
        """Give them from a folder that holds the same splits."""
        chosen = _given(folder, self.split).rows(self.rows)
        return mirrored(chosen) if self.is_mirrored else chosen

    def taken(self, places: npt.NDArray[np.int64]) -> Values:
        """Give some of them as a task's inputs."""
        return {
            "split": self.split,
            "rows": self.rows[places],
            "is_mirrored": self.is_mirrored,
        }


def _given(folder: Path, split: SplitName) -> StoredImages:
    images = read_given_split(folder, split).images
    assert isinstance(images, StoredImages)
    return images


def _is_of(images: StoredImages, given: StoredImages) -> bool:
    """Say whether images are rows of a split, in its size."""

    def source(one: StoredImages) -> tuple[Any, ...]:
        files = None if one.pictures is None else one.pictures.files
        return one.image_shape, one.count, one.pixels, files

    return source(images) == source(given)


@dataclass(frozen=True)
class NetworkWork:
    """Images of one folder through networks, block by block, wherever a place is.

    Parameters
    ----------
    place
        Where blocks are computed.
    folder
        With the splits that images are rows of.
    name
        Of the folder; the same as in other work that reads it, so that it is sent once.
    device
        Where to compute.
    precision
        As it was asked for.
    progress
        Who is told of what is lost.
    """

    place: Place
    folder: Path
    name: str
    device: Device
    precision: AskedPrecision
    progress: Progress

    def helps(self, images: int) -> bool:
        """Say whether tasks are worth it: who computes does not depend on what is left to do."""
        return self.place.jobs > 1 and images > (LEAST_BLOCKS - 1) * BLOCK_IMAGES

    def keep_features(
        self, plan: NetworkPlan, network: ImageNetwork, parts: Iterable[AnyImages], bar: Bar
    ) -> bool:
        """Have a frozen backbone's features computed that the folder of features lacks.

        A block is what one process computes at a time, so that the bits are the same.

        Returns
        -------
        bool
            Whether all images were found by tasks; if not, the others are left out.
        """
        store, precision = feature_store(), self.device.precision(self.precision)
        assert store.folder is not None
        key = frozen_key(network, self.device, precision)
        tasks: list[Task] = []
        digests: dict[str, list[bytes]] = {}
        given: set[bytes] = set()
        for part in parts:
            rows = RowsOfSplit.of(part, self.folder)
            if rows is None:
                return False
            missing = {d: p for d, p in store.missing(key, part).items() if d not in given}
            given |= missing.keys()
            bar.advance(len(part) - len(missing))
            left = list(missing)
            for start in range(0, len(left), BLOCK_IMAGES):
                block = left[start : start + BLOCK_IMAGES]
                task = _task(len(tasks), rows, np.array([missing[digest] for digest in block]))
                tasks.append(task)
                digests[task.name] = block

        def keep(task: Task, content: bytes) -> None:
            tensors, metadata = unpacked_tensors(content, torch.device("cpu"))
            # Where a node has another device, its features are known by that.
            store.keep(metadata[_KEY], digests[task.name], tensors["features"])
            bar.advance(len(digests[task.name]))

        self._run(plan, network, tasks, keep, bar=bar, folder=store.folder)
        return True

    def features_and_logits(
        self, plan: NetworkPlan, network: ImageNetwork, images: AnyImages, bar: Bar, most_bytes: int
    ) -> tuple[Features, npt.NDArray[np.float32]] | None:
        """Have what `stored_features_and_logits` gives computed by tasks; None if not by them.

        What a backbone that stays as it is gives is kept instead, for whoever asks then.
        """
        if not self.helps(len(images)):
            return None
        if network.body.frozen is not None:
            if feature_store().has_room_for(len(images), network.body.frozen.head.in_features):
                with self.progress.task("Features", len(images), unit="images") as own:
                    self.keep_features(plan, network, [images], own)
            return None
        rows = RowsOfSplit.of(images, self.folder)
        if rows is None:
            return None
        starts = range(0, len(images), BLOCK_IMAGES)
        places = [np.arange(n, min(n + BLOCK_IMAGES, len(images))) for n in starts]
        tasks = [_task(number, rows, block) for number, block in enumerate(places)]
        place_of = {task.name: block for task, block in zip(tasks, places, strict=True)}
        features = NewFeatures(len(images), most_bytes, feature_store().folder)
        logits = np.empty((len(images), plan.class_count), np.float32)

        def take(task: Task, content: bytes) -> None:
            tensors, _ = unpacked_tensors(content, torch.device("cpu"))
            block = place_of[task.name]
            features.put(block, tensors["features"])
            logits[block] = tensors["logits"].numpy()
            bar.advance(len(block))

        with tempfile.TemporaryDirectory(prefix="tenfold-blocks-") as name:
            self._run(plan, network, tasks, take, bar=bar, folder=Path(name))
        return features.finished(), logits

    def _run(
        self,
        plan: NetworkPlan,
        network: ImageNetwork,
        tasks: list[Task],
        on_done: Callable[[Task, bytes], object],
        *,
        bar: Bar,
        folder: Path,
    ) -> None:
        if not tasks:
            return
        with _written(network) as weights:
            work = Work(
                network_worker,
                folder,
                values={
                    "model": plan.model,
                    "settings": plan.settings.plain(),
                    "image_shape": list(plan.image_shape),
                    "class_count": plan.class_count,
                    "precision": self.precision,
                    "name": self.name,
                },
                folders={self.name: self.folder, _NETWORK: weights},
                device=self.device,
            )
            run_tasks(
                self.place,
                work,
                tasks,
                on_done,
                on_look=lambda state: bar.advance(0, detail=state),
                progress=self.progress,
            )


def _task(number: int, rows: RowsOfSplit, places: npt.NDArray[np.int64]) -> Task:
    return Task(f"Images, block {number + 1}", rows.taken(places))


@contextmanager
def _written(network: ImageNetwork) -> Iterator[Path]:
    """Give a folder with the weights: nodes need no way to where they were published."""
    with tempfile.TemporaryDirectory(prefix="tenfold-network-") as name:
        write_tensors(Path(name) / _WEIGHTS, network.state_dict(), {})
        yield Path(name)


def network_worker(common: Common) -> DoTask:
    """Build the network, and give what computes a block of images; a `WorkerFunction`."""
    values = common.values
    plan = NetworkPlan.parse(
        values["model"],
        values["settings"],
        image_shape=tuple(values["image_shape"]),
        class_count=values["class_count"],
    )
    weights, _ = read_tensors(common.folders[_NETWORK] / _WEIGHTS, torch.device("cpu"))
    network = plan.restore(weights).eval().to(common.device.torch_device)
    precision = common.device.precision(values["precision"])
    folder = common.folders[values["name"]]

    def compute(inputs: Values, desk: Desk) -> bytes:
        del desk
        chosen = RowsOfSplit(inputs["split"], inputs["rows"], inputs["is_mirrored"])
        images = chosen.images(folder)
        if network.body.frozen is None:
            found, logits = stored_features_and_logits(
                network, images, device=common.device, precision=precision
            )
            of_both = {"features": found[:], "logits": torch.from_numpy(logits)}
            return packed_tensors(of_both, {})
        features = block_features(network, images[:], common.device, precision)
        key = frozen_key(network, common.device, precision)
        return packed_tensors({"features": features}, {_KEY: key})

    return compute
