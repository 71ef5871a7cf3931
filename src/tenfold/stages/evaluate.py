"""Evaluate: score the trained model on the test split, which this stage alone opens."""

from __future__ import annotations

import time
from typing import Any

from tenfold.core.records.evaluate import EvaluateRecord
from tenfold.data.split_files import read_split, write_arrays
from tenfold.engine.inference import predict_logits, probabilities_from_logits
from tenfold.metrics.classification import classification_scores
from tenfold.recipe import StudySettings
from tenfold.stages.stage import RECORD, StageContext
from tenfold.trained_model import TrainedModel


class EvaluateStage:
    """Opens the test split once, at the end."""

    name = "evaluate"
    position = 5
    version = 1
    summary = "score the model on the test split"
    reads_if_complete = ()

    def needs(self, settings: StudySettings) -> tuple[str, ...]:
        """Give the stages that have to be complete first."""
        del settings
        return ("acquire", "train")

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give the precision: all else is in the trained model."""
        return {"precision": settings.training.precision}

    def run(self, context: StageContext) -> None:
        """Predict every test image and score the predictions."""
        acquired = context.acquired()
        model = TrainedModel.read(context.inputs["train"], acquired)
        test = read_split(context.inputs["acquire"], "test")
        network = model.network().to(context.device.torch_device)
        started = time.perf_counter()
        logits = predict_logits(
            network,
            test.images,
            device=context.device,
            precision=context.device.precision(context.settings.training.precision),
        )
        seconds = time.perf_counter() - started
        probabilities = probabilities_from_logits(logits)
        write_arrays(
            context.folder / "predictions.npz", probabilities=probabilities, labels=test.labels
        )
        EvaluateRecord(
            weights=model.weights_name,
            scores=classification_scores(test.labels, probabilities, acquired.classes),
            images_per_second=len(test) / seconds,
            seconds=seconds,
        ).write(context.folder / RECORD)


STAGE = EvaluateStage()
