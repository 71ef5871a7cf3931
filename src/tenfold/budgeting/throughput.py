"""How fast a network trains on this machine."""

from __future__ import annotations

from tenfold.data.dataset import ImageSplit
from tenfold.engine.device import Device
from tenfold.engine.training_settings import TrainingSettings
from tenfold.fitting import fit_network
from tenfold.models.model import NetworkPlan

PROBE_STEPS = 4
"""Steps of a probe: two to warm up (memory, kernels), two to time."""


def seconds_per_image(
    plan: NetworkPlan, train: ImageSplit, settings: TrainingSettings, *, device: Device
) -> float:
    """Train a throw-away network for a few steps and give the seconds an image takes.

    Parameters
    ----------
    plan, train, settings
        As for `fit_network`; the time budget and low resolution in them are left out.
    device
        Where to compute.
    """
    count = min(len(train), settings.batch_size * PROBE_STEPS // 2)
    few = ImageSplit(train.images[:count], train.labels[:count])
    probe = settings.model_copy(
        update={
            "epochs": 2,
            "budget_seconds": None,
            "low_resolution_share": 0.0,
            "weights": "last",
            "least_steps": 0,
            "rebalance": "none",  # the few images may lack a class
            "schedule": "constant",
            "early_stopping_patience": None,
        }
    )
    result = fit_network(plan, few, probe, seed=0, device=device).result
    return result.history[-1].seconds / count
