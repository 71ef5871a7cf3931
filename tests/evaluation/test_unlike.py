"""How unlike the training images an image is."""

from __future__ import annotations

import numpy as np
import pytest

from tenfold.core.errors import ModelFolderError
from tenfold.evaluation.unlike import UnlikeScore, unlike_record


def draw(count: int, seed: int, shift: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    features = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    features[:, 0] += shift
    return features, features[:, :3] * 2


def test_held_out_images_are_kept_and_others_are_flagged() -> None:
    score = UnlikeScore.fit(draw(300, 0)[0], *draw(400, 1))
    again = UnlikeScore.from_bytes(score.to_bytes())
    known, other = again.score(*draw(400, 2)), again.score(*draw(400, 3, shift=-6.0))
    record = unlike_record(again.score(*draw(400, 1)), known)
    assert record is not None
    assert record.test is not None
    assert record.test.share == (known > record.threshold).mean()
    assert record.test.interval.low < record.test.share < record.test.interval.high
    assert (known > record.threshold).mean() < 0.12
    assert (other > record.threshold).mean() > 0.95
    assert len(record.held_out_quantiles) == 101


def test_a_share_is_judged_by_the_errors_of_both_samples() -> None:
    values = np.arange(100, dtype=np.float32)
    few = unlike_record(values, np.append(np.zeros(88, np.float32), np.full(12, 200, np.float32)))
    many = unlike_record(
        np.arange(10_000, dtype=np.float32),
        np.append(np.zeros(8800, np.float32), np.full(1200, 1e6, np.float32)),
    )
    none = unlike_record(np.arange(10_000, dtype=np.float32), np.zeros(10_000, np.float32))
    assert few is not None
    assert many is not None
    assert none is not None
    assert few.test is not None
    assert few.test.flagged == 12
    assert (few.test_is, many.test_is, none.test_is) == ("more", "more", "fewer")
    fewer = unlike_record(values, np.append(np.zeros(90, np.float32), np.full(10, 200, np.float32)))
    assert fewer is not None
    assert fewer.test_is == "as expected"


def test_of_few_images_there_is_no_threshold_and_damage_is_said() -> None:
    assert unlike_record(np.zeros(18, np.float32)) is None
    with pytest.raises(ModelFolderError, match="unlike images cannot be used"):
        UnlikeScore.from_bytes(b"damaged")


def test_an_exported_graph_gives_the_same_score() -> None:
    import torch

    from tenfold.models.model import NetworkPlan
    from tenfold.serving.onnx_graph import CalibratedNetwork
    from tenfold.training.device import Device
    from tenfold.training.inference import features_and_logits

    plan = NetworkPlan.parse(
        "cnn", {"conv_layers": 1, "filters": [4]}, image_shape=(8, 8, 3), class_count=3
    )
    network = plan.build(seed=1, mean=torch.zeros(3), standard_deviation=torch.full((3,), 50.0))
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    features, logits = features_and_logits(network.eval(), images, device=Device("cpu", "", 1))
    score = UnlikeScore.fit(features[:20], features[20:], logits[20:])
    with torch.no_grad():
        *_, found = CalibratedNetwork(network, None, score).eval()(torch.from_numpy(images[20:]))
    assert np.abs(found.numpy() - score.score(features[20:], logits[20:])).max() < 2e-2
