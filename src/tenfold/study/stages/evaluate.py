"""Evaluate: the test split, opened here for the first time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from tenfold.core.randomness import derive_seed
from tenfold.core.records.data import AcquireRecord
from tenfold.core.records.evaluation import (
    ClassificationScores,
    EvaluateRecord,
    PartScores,
    RobustnessRecord,
    SeriesScores,
    ViewsScores,
)
from tenfold.core.records.training import TrainRecord
from tenfold.data.dataset import (
    Images,
    ImageSplit,
    Labels,
    kept_places,
    read_given_split,
    read_split,
    read_test_series,
    read_test_spans,
    write_arrays,
)
from tenfold.data.splits import stratified_sample
from tenfold.data.store import some_images
from tenfold.evaluation.calibration import calibration_record
from tenfold.evaluation.explanations import explain_mistakes
from tenfold.evaluation.intervals import score_intervals, wilson_interval
from tenfold.evaluation.robustness import images_in_proportion, measure_robustness, passes
from tenfold.evaluation.scores import choose_gallery, classification_scores
from tenfold.evaluation.series_difference import series_p_value
from tenfold.evaluation.unlike import MEASURED_IMAGES
from tenfold.models.model import ImageNetwork
from tenfold.study.recipe import StudySettings
from tenfold.study.stages.stage import RECORD, TEST_FEATURES, Stage, StageContext, TrainedModel
from tenfold.training.feature_store import feature_store
from tenfold.training.inference import (
    features_and_logits,
    predict_logits,
    predict_logits_of_views,
    views,
)
from tenfold.training.temperature import calibrated_probabilities, predict_probabilities


class EvaluateStage(Stage):
    """Opens the test split once, at the end."""

    name = "evaluate"
    position = 5
    version = 8  # 8: a test of what series flatter
    summary = "score the model on the test split"
    needed = ("acquire", "train")

    def settings_used(self, settings: StudySettings) -> dict[str, Any]:
        """Give what the scores and their intervals depend on beside the trained model."""
        return {
            "precision": settings.training.precision,
            "evaluate": settings.evaluate.plain(),
            "seed": settings.seed,
        }

    def run(self, context: StageContext) -> None:
        """Predict every test image, score the predictions, and look at where they fail."""
        acquired = context.acquired()
        model = TrainedModel.read(context.inputs["train"], acquired)
        test = read_split(context.inputs["acquire"], "test")
        network = model.network().to(context.device.torch_device)
        started = time.perf_counter()
        logits = predict_logits(
            network,
            test.images,
            device=context.device,
            precision=context.precision,
        )
        seconds = time.perf_counter() - started
        probabilities = calibrated_probabilities(logits, model.temperature)
        write_arrays(
            context.folder / "predictions.npz", probabilities=probabilities, labels=test.labels
        )
        scores = classification_scores(test.labels, probabilities, acquired.classes)
        _write_features(context, network, test)
        _write_gallery(context, network, probabilities, test)
        if kept_places(context.inputs["acquire"], "test") is not None:
            scores_as_given = _scores_as_given(context, network, model.temperature)
            scores_as_given.write(context.folder / "scores_as_given.json")
        EvaluateRecord(
            weights=model.weights_name,
            scores=scores,
            intervals=score_intervals(scores, _generator(context, "intervals")),
            calibration=calibration_record(
                calibrated_probabilities(logits, None),
                probabilities,
                test.labels,
                temperature=model.temperature,
                generator=_generator(context, "calibration"),
            ),
            with_views=_with_views(context, network, test, acquired),
            precision=context.device.precision_name(context.settings.training.precision),
            robustness=_robustness(context, network, test),
            images_per_second=len(test) / seconds,
            seconds=seconds,
            series=_series_scores(context, probabilities, test.labels),
        ).write(context.folder / RECORD)


def _series_scores(
    context: StageContext, probabilities: npt.NDArray[np.float32], labels: Labels
) -> SeriesScores | None:
    """Score apart what training has images of the same series of."""
    acquire = context.inputs["acquire"]
    spans, groups = read_test_spans(acquire), read_test_series(acquire)
    if spans is None or groups is None or not spans.any():
        return None
    classes = context.acquired().classes

    def on(chosen: npt.NDArray[np.bool_]) -> PartScores:
        scores = classification_scores(labels[chosen], probabilities[chosen], classes)
        right = round(scores.accuracy * scores.count)
        return PartScores(
            images=scores.count,
            accuracy=scores.accuracy,
            interval=wilson_interval(right, scores.count),
            balanced_accuracy=scores.balanced_accuracy,
            # A class without images in this part is no failure of the model.
            macro_f1=float(
                np.mean([c.f1 for c in scores.classes if c.total_cases or c.total_predictions])
            ),
        )

    return SeriesScores(
        held_out=None if spans.all() else on(~spans),
        shared=on(spans),
        p_value=series_p_value(
            probabilities.argmax(axis=1) == labels, spans, groups, _generator(context, "series")
        ),
    )


def _write_features(context: StageContext, network: ImageNetwork, test: ImageSplit) -> None:
    """Put what the network sees in some images beside the record: the model stage opens none."""
    chosen = stratified_sample(
        test.labels, MEASURED_IMAGES, derive_seed(context.settings.seed, "unlike")
    )
    features, logits = features_and_logits(
        network,
        some_images(test.images, chosen),
        device=context.device,
        precision=context.precision,
    )
    write_arrays(context.folder / TEST_FEATURES, features=features, logits=logits)


def _write_gallery(
    context: StageContext,
    network: ImageNetwork,
    probabilities: npt.NDArray[np.float32],
    test: ImageSplit,
) -> None:
    """Put the images that the page shows beside the record: the report reads no split."""
    gallery = choose_gallery(probabilities, test.labels)
    shown = gallery.shown()
    write_arrays(
        context.folder / "gallery.npz",
        mistakes=gallery.mistakes,
        uncertain=gallery.uncertain,
        pairs=gallery.pairs,
        pair_images=gallery.pair_images,
        shown=shown,
        images=test.images[shown],
    )
    if len(gallery.mistakes):
        explained = explain_mistakes(
            network,
            test.images[gallery.mistakes],
            probabilities[gallery.mistakes].argmax(axis=1),
            read_split(context.inputs["acquire"], "train"),
            seed=derive_seed(context.settings.seed, "neighbours"),
            device=context.device,
            precision=context.precision,
            progress=context.progress,
        )
        write_arrays(context.folder / "explained_mistakes.npz", **vars(explained))


def _scores_as_given(
    context: StageContext, network: ImageNetwork, temperature: float | None
) -> ClassificationScores:
    """Score all test images against the labels that the source gave, corrections left out."""
    given = read_given_split(context.inputs["acquire"], "test")
    probabilities = predict_probabilities(
        network, given.images, temperature, device=context.device, precision=context.precision
    )
    return classification_scores(given.labels, probabilities, context.acquired().classes)


def _with_views(
    context: StageContext, network: ImageNetwork, test: ImageSplit, acquired: AcquireRecord
) -> ViewsScores | None:
    """Score the mean over several views of each image."""
    chosen = context.settings.evaluate.test_time_augmentation
    mirrors = acquired.mirror_keeps_class
    used = views(test.images[:1], chosen, mirror_keeps_class=mirrors)
    if len(used) == 1:
        return None
    logits = predict_logits_of_views(
        network,
        test.images,
        chosen,
        mirror_keeps_class=mirrors,
        device=context.device,
        precision=context.precision,
    )
    right = int((logits.argmax(1) == test.labels).sum())
    return ViewsScores(
        views=len(used),
        is_mirrored=mirrors,
        is_shifted=chosen == "mirror-shift",
        is_cropped=chosen == "mirror-crop",
        accuracy=right / len(test),
        interval=wilson_interval(right, len(test)),
    )


def _robustness(
    context: StageContext, network: ImageNetwork, test: ImageSplit
) -> RobustnessRecord | None:
    settings = context.settings.evaluate
    if settings.robustness_images == 0:
        return None
    wanted = len(test)
    if not settings.is_thorough:
        train = TrainRecord.read(context.inputs["train"] / RECORD)
        wanted = min(settings.robustness_images, max(images_in_proportion(train), 1))
    seed = derive_seed(context.settings.seed, "robustness")
    sample = test.take(stratified_sample(test.labels, wanted, seed))

    def predict(images: Images) -> npt.NDArray[np.int64]:
        logits = predict_logits(
            network,
            images,
            device=context.device,
            precision=context.precision,
            is_remembered=False,
        )
        predicted: npt.NDArray[np.int64] = logits.argmax(axis=1)
        return predicted

    with (
        feature_store().kept_in(context.work / "features"),
        context.progress.task("Disturbed images", passes(), unit="passes") as task,
    ):
        return measure_robustness(predict, sample, seed=seed, task=task)


def _generator(context: StageContext, purpose: str) -> np.random.Generator:
    return np.random.default_rng(derive_seed(context.settings.seed, "evaluate", purpose))


STAGE = EvaluateStage()
