"""Features of a frozen backbone, computed once before tasks that all read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from tenfold.core.run_folder import FEATURES
from tenfold.data.feature_rows import MOST_KEPT_BYTES
from tenfold.data.store import AnyImages
from tenfold.models.model import MODELS, NetworkPlan, as_pixels
from tenfold.study.image_tasks import NetworkWork
from tenfold.training.feature_store import feature_store
from tenfold.training.inference import frozen_features, mirrored

FEATURE_SETTINGS = frozenset(
    {"model.name", "model.backbone", "model.input_size_px", "model.pooled_maps"}
)
"""Settings that another backbone, or another of its features, comes from."""


def keep_features(
    plan: NetworkPlan,
    fitted: AnyImages,
    scored: AnyImages | None = None,
    *,
    mirror_keeps_class: bool,
    work: NetworkWork,
) -> None:
    """Compute what the folder of features lacks, if the network has a frozen backbone.

    Where others help, blocks of images are tasks; this process alone writes the folder.

    Parameters
    ----------
    plan
        Of the tasks' networks.
    fitted
        Images that tasks train on, and perhaps score by.
    scored
        Images that tasks score by alone, which are not mirrored.
    mirror_keeps_class
        As the tasks have it.
    work
        Where the images lie, and who computes.
    """
    store = feature_store()
    if not store.is_kept or not MODELS[plan.model].fits_head:
        return
    plan = plan.suited_to(mirror_keeps_class=mirror_keeps_class)
    network = plan.build_any()
    body = network.body.frozen
    if body is None or body.own_normalization is None:
        return  # what is normalised by the images of each task alone is computed there
    few = as_pixels(fitted[:1], torch.device("cpu"))
    body.prepare(lambda: network.normalized(few))
    parts = [fitted]
    if mirror_keeps_class and body.uses_mirrored:
        parts.append(mirrored(fitted))
    if scored is not None and len(scored):
        parts.append(scored)
    count = sum(map(len, parts))
    if not store.has_room_for(count, body.head.in_features):
        return  # what the folder has no room for would be computed again by the tasks
    with work.progress.task("Features", count, unit="images") as bar:
        if work.helps(count) and work.keep_features(plan, network, parts, bar):
            return
        for part in parts:
            frozen_features(
                network,
                part,
                device=work.device,
                precision=work.device.precision(work.precision),
                on_images=bar.advance,
                most_bytes=MOST_KEPT_BYTES * len(part) // count,
            )


def feature_folders() -> dict[str, Path]:
    """Give the folder that tasks read features from, by its name in a work; none without one."""
    folder = feature_store().folder
    return {FEATURES: folder} if folder is not None and folder.is_dir() else {}


@contextmanager
def known_features(folders: Mapping[str, Path]) -> Iterator[None]:
    """Read features from the folder that a work was given, if it was and is not read already."""
    folder = folders.get(FEATURES)
    if folder is None or feature_store().folder == folder:
        yield
        return
    with feature_store().kept_in(folder, is_written=False):
        yield
