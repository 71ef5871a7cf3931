"""Model: put the trained and tested model into one folder, ready to use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.randomness import derive_seed
from tenfold.core.records.data import AuditRecord
from tenfold.core.records.evaluation import CrossValidateRecord, EvaluateRecord
from tenfold.core.records.guarantees import (
    AlsoChose,
    CalibratedOn,
    GuaranteesRecord,
    PredictionSets,
)
from tenfold.core.records.training import ModelData, ModelRecord, TrainRecord
from tenfold.core.records.tuning import TuneRecord
from tenfold.data.dataset import ImageSplit, Indices, Labels, read_arrays, read_split
from tenfold.data.splits import stratified_sample
from tenfold.data.store import some_images
from tenfold.evaluation.conformal import (
    DEFAULT_COVERAGE,
    calibrate_sets,
    few_images_note,
    measure_sets,
)
from tenfold.evaluation.drift import answers_on_test
from tenfold.evaluation.explanations import NeighbourIndex, images_that_fit
from tenfold.evaluation.guarantees import HeldOut, chosen_by_validation, fit_unlike
from tenfold.evaluation.unlike import UnlikeScore, unlike_record
from tenfold.report.model_card import CardSources, model_card
from tenfold.study.recipe import StudySettings
from tenfold.study.stages.stage import RECORD, TEST_FEATURES, Stage, StageContext, TrainedModel
from tenfold.training.inference import features_and_logits
from tenfold.training.model_folder import (
    PackagedModel,
    describe_model,
    scores_of,
    write_model_folder,
)
from tenfold.training.temperature import calibrated_probabilities, fit_temperature

_LIKE_LENGTH = 1.5
"""Epochs of the longer training over those of the shorter, up to which two models are alike."""
_LIKE_ACCURACY = 3.0
"""Standard errors of the accuracy that the folds' models may differ by from the model's own."""


class ModelStage(Stage):
    """Makes the model folder, which needs nothing else of the run folder to be used."""

    name = "model"
    position = 8
    version = 4
    summary = "put the model into one folder, ready to use"
    needed = ("acquire", "tune", "train", "evaluate")
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
        split = read_split(context.inputs["acquire"], "train")
        promised, unlike = _guarantees(context, trained, split)
        tested = read_arrays(context.inputs["evaluate"] / "predictions.npz")["probabilities"]
        on_test = answers_on_test(tested, promised.unlike)
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
            guarantees=promised.model_copy(update={"on_test": on_test}),
        )
        index = _neighbour_index(context, trained, record, split)
        folds, audit = (context.inputs.get(name) for name in self.reads_if_complete)
        card = model_card(
            record,
            CardSources(
                train=train,
                evaluate=evaluate,
                cross_validate=None if folds is None else CrossValidateRecord.read(folds / RECORD),
                audit=None if audit is None else AuditRecord.read(audit / RECORD),
                grouping=acquired.grouping,
                kept_images=0 if index is None else len(index),
            ),
        )
        write_model_folder(
            context.folder,
            PackagedModel(
                record,
                trained.weights,
                card,
                None if index is None else index.to_bytes(),
                None if unlike is None else unlike.to_bytes(),
            ),
        )


def _neighbour_index(
    context: StageContext, trained: TrainedModel, record: ModelRecord, train: ImageSplit
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
    one, _ = features(train.images[:1])
    count = images_that_fit(record.image_shape, one.shape[1], wanted)
    seed = derive_seed(context.settings.seed, "neighbours")
    chosen = stratified_sample(train.labels, count, seed)
    images = some_images(train.images, chosen)
    return NeighbourIndex.build(features(images)[0], images, train.labels[chosen], chosen)


def _guarantees(
    context: StageContext, trained: TrainedModel, split: ImageSplit
) -> tuple[GuaranteesRecord, UnlikeScore | None]:
    """Give the promises of a study's model, its sets as measured on test images, and the score.

    Parameters
    ----------
    context
        Of the model stage.
    trained
        The model.
    split
        The training split.
    """
    train = TrainRecord.read(context.inputs["train"] / RECORD)
    validation, unlike, of_unlike = None, None, None
    if train.validation_count:
        network = trained.network().to(context.device.torch_device)
        features = partial(
            features_and_logits, network, device=context.device, precision=context.precision
        )
        trained_on, places = held_out_places(context, split.labels)
        labels = split.labels[places]
        known = HeldOut(*features(split.take(places).images), labels)
        validation = _validation(context, trained, train, labels, known.logits)
        seed = derive_seed(context.settings.seed, "unlike")
        unlike = fit_unlike(features, split, trained_on, known, seed)
        # Evaluation and audit alone open the test images.
        tested = read_arrays(context.inputs["evaluate"] / TEST_FEATURES)
        of_unlike = unlike_record(
            unlike.score(known.features, known.logits),
            unlike.score(tested["features"], tested["logits"]),
        )
        unlike = None if of_unlike is None else unlike
    folds = _out_of_fold(context, trained, train, split, validation)
    held_out = folds or validation
    coverage = context.settings.explain.set_coverage or DEFAULT_COVERAGE
    sets = None
    if held_out is not None:
        sets = calibrate_sets(
            held_out.probabilities,
            held_out.labels,
            coverage=coverage,
            calibrated_on=held_out.calibrated_on,
            also_chose=held_out.also_chose,
        )
    if sets is None:
        count = 0 if held_out is None else len(held_out.labels)
        note = few_images_note(count, coverage)
        return GuaranteesRecord(unlike=of_unlike, notes=(note,)), unlike
    return GuaranteesRecord(sets=_measured(context, sets), unlike=of_unlike), unlike


def _measured(context: StageContext, sets: PredictionSets) -> PredictionSets:
    tested = read_arrays(context.inputs["evaluate"] / "predictions.npz")
    measured = measure_sets(sets, tested["probabilities"], tested["labels"])
    return sets.model_copy(update={"test": measured})


@dataclass(frozen=True)
class _HeldOut:
    """Calibrated probabilities of images that the model that gave them did not train on."""

    probabilities: npt.NDArray[np.float32]
    labels: Labels
    calibrated_on: CalibratedOn
    also_chose: tuple[AlsoChose, ...]

    @property
    def right(self) -> float:
        """Give the share that the model is right about."""
        return float((self.probabilities.argmax(axis=1) == self.labels).mean())


def held_out_places(context: StageContext, labels: Labels) -> tuple[Indices, Indices]:
    """Give the places in the training split that the model trained on, and that it validated by."""
    settings = context.tuned_settings()
    trained_on, validation, _ = settings.hold_out(
        context.inputs["acquire"], labels, context.acquired().classes
    )
    return trained_on, validation


def _validation(
    context: StageContext,
    trained: TrainedModel,
    train: TrainRecord,
    labels: Labels,
    logits: npt.NDArray[np.float32],
) -> _HeldOut:
    """Give what the model makes of the validation images, and what these chose of it."""
    chosen = chosen_by_validation(
        temperature=trained.temperature,
        is_best_epoch=trained.weights_name == "best" and train.epochs > 1,
        has_probe=train.probe is not None,
        count=train.validation_count,
    )
    if (
        "tune" in context.inputs
        and TuneRecord.read(context.inputs["tune"] / RECORD).skipped is None
    ):
        chosen = (*chosen, "settings")
    return _HeldOut(
        calibrated_probabilities(logits, trained.temperature),
        labels,
        "validation",
        chosen,
    )


def _out_of_fold(
    context: StageContext,
    trained: TrainedModel,
    train: TrainRecord,
    split: ImageSplit,
    validation: _HeldOut | None,
) -> _HeldOut | None:
    """Give the folds' predictions of all training images; None where their models are unlike.

    They are other models than the one that is used: what their predictions promise holds for it
    as far as it is as good. So folds of another length, or clearly better or worse on their own
    images than the model is on its validation images, are not taken.
    """
    folder = context.inputs.get("cross-validate")
    if folder is None:
        return None
    record = CrossValidateRecord.read(folder / RECORD)
    fresh = next((one for one in record.protocols if not one.is_leaky), None)
    if fresh is None:
        return None
    lengths = sorted((fresh.epochs, train.epochs))
    if lengths[1] > _LIKE_LENGTH * lengths[0]:
        return None
    arrays = read_arrays(folder / f"out_of_fold_{fresh.name}.npz")
    is_held_out = arrays["fold"] > 0
    labels = split.labels[is_held_out]
    # The folds' probabilities are of no temperature; a softmax's input is known up to a constant.
    logits = np.log(np.maximum(arrays["probabilities"][is_held_out], np.float32(1e-30)))
    temperature = None if trained.temperature is None else fit_temperature(logits, labels)
    found = _HeldOut(
        calibrated_probabilities(logits, temperature),
        labels,
        "out-of-fold",
        () if temperature is None else ("temperature",),
    )
    if validation is not None:
        count = len(validation.labels)
        error = np.sqrt(max(found.right * (1 - found.right), 1 / count) / count)
        if abs(found.right - validation.right) > _LIKE_ACCURACY * error:
            return None
    return found


STAGE = ModelStage()
