"""Model: put the trained and tested model into one folder, ready to use."""

from __future__ import annotations

from functools import partial
from typing import Any

from tenfold.core.randomness import derive_seed
from tenfold.core.records.data import AuditRecord
from tenfold.core.records.evaluation import CrossValidateRecord, EvaluateRecord
from tenfold.core.records.training import ModelData, ModelRecord, TrainRecord
from tenfold.data.dataset import read_split
from tenfold.data.splits import stratified_sample
from tenfold.data.store import some_images
from tenfold.evaluation.explanations import NeighbourIndex, images_that_fit
from tenfold.report.model_card import CardSources, model_card
from tenfold.study.recipe import StudySettings
from tenfold.study.stages.stage import RECORD, Stage, StageContext, TrainedModel
from tenfold.training.inference import features_and_logits
from tenfold.training.model_folder import (
    PackagedModel,
    describe_model,
    scores_of,
    write_model_folder,
)


class ModelStage(Stage):
    """Makes the model folder, which needs nothing else of the run folder to be used."""

    name = "model"
    position = 8
    version = 1
    summary = "put the model into one folder, ready to use"
    needed = ("acquire", "train", "evaluate")
    reads_if_complete = ("cross-validate", "audit")

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give what the folder depends on beside the stages that it is made of."""
        return {
            "recipe": settings.recipe.name,
            "training": settings.training.result_settings(),
            "explain": settings.explain.plain(),
            "seed": settings.seed,
        }

    def run(self, context: StageContext) -> None:
        """Write weights, ``model.json``, training images to compare with, and the model card."""
        acquired = context.acquired()
        trained = TrainedModel.read(context.inputs["train"], acquired)
        train = TrainRecord.read(context.inputs["train"] / RECORD)
        evaluate = EvaluateRecord.read(context.inputs["evaluate"] / RECORD)
        record = describe_model(
            title=f"{acquired.title}, recipe {context.settings.recipe.name}",
            plan=trained.plan,
            weights=trained.weights,
            training=context.tuned_settings().training,
            classes=acquired.classes,
            temperature=trained.temperature,
            precision=evaluate.precision,
            mirror_keeps_class=acquired.mirror_keeps_class,
            value_ranges=acquired.value_ranges,
            data=ModelData(
                title=acquired.title,
                source=acquired.source,
                description=acquired.description,
                train_counts=acquired.train_counts,
                test_counts=acquired.test_counts,
                train_sha256=acquired.train_sha256,
                test_sha256=acquired.test_sha256,
            ),
            scores=scores_of(evaluate),
        )
        index = _neighbour_index(context, trained, record)
        folds, audit = (context.inputs.get(name) for name in self.reads_if_complete)
        card = model_card(
            record,
            CardSources(
                train=train,
                evaluate=evaluate,
                cross_validate=None if folds is None else CrossValidateRecord.read(folds / RECORD),
                audit=None if audit is None else AuditRecord.read(audit / RECORD),
                kept_images=0 if index is None else len(index),
            ),
        )
        write_model_folder(
            context.folder,
            PackagedModel(
                record, trained.weights, card, None if index is None else index.to_bytes()
            ),
        )


def _neighbour_index(
    context: StageContext, trained: TrainedModel, record: ModelRecord
) -> NeighbourIndex | None:
    """Make the index of a stratified sample of the training images, small enough for the folder."""
    wanted = context.settings.explain.neighbour_images
    if wanted == 0:
        return None
    network = trained.network().to(context.device.torch_device)
    features = partial(
        features_and_logits,
        network,
        device=context.device,
        precision=context.device.precision(record.precision),
    )
    train = read_split(context.inputs["acquire"], "train")
    one, _ = features(train.images[:1])
    count = images_that_fit(record.image_shape, one.shape[1], wanted)
    seed = derive_seed(context.settings.seed, "neighbours")
    chosen = stratified_sample(train.labels, count, seed)
    images = some_images(train.images, chosen)
    return NeighbourIndex.build(features(images)[0], images, train.labels[chosen], chosen)


STAGE = ModelStage()
