"""Plausible records for the report's tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenfold.core.records.acquire import AcquireRecord, LeftOutImage
from tenfold.core.records.audit import (
    AuditRecord,
    DuplicateAudit,
    DuplicateCounts,
    DuplicatePair,
    LabelAudit,
    LabelIssue,
    ScoresOn,
    TestScores,
)
from tenfold.core.records.calibration import (
    CalibrationRecord,
    CalibrationScores,
    CoveragePoint,
    ReliabilityBin,
)
from tenfold.core.records.cross_validate import FoldScores, ProtocolRecord
from tenfold.core.records.evaluate import (
    ClassificationScores,
    ClassScores,
    EvaluateRecord,
    ViewsScores,
)
from tenfold.core.records.explore import ClassStatistics, ExploreRecord
from tenfold.core.records.interval import Interval
from tenfold.core.records.manifest import Manifest
from tenfold.core.records.reference import Reference
from tenfold.core.records.repeats import RepeatedRun, RepeatsRecord
from tenfold.core.records.robustness import CorruptionScores, RobustnessRecord
from tenfold.core.records.train import EpochRecord, LayerRecord, TrainRecord
from tenfold.core.records.tune import Condition, SearchDimension, TrialRecord, TuneRecord
from tenfold.data.corruptions import CORRUPTIONS
from tenfold.metrics.folds import nadeau_bengio_intervals
from tenfold.metrics.intervals import score_intervals
from tenfold.metrics.repeats import Spread
from tenfold.metrics.shares import wilson_interval

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
ORIGINAL_VALIDATION_ACCURACY = (
    *(0.3996, 0.5658, 0.5896, 0.5950, 0.6018, 0.6140, 0.6036, 0.5026, 0.6186, 0.6316),
    *(0.6746, 0.5948, 0.5762, 0.6836, 0.6916, 0.6660, 0.6572, 0.6400, 0.4770, 0.6680),
)
OUR_VALIDATION_ACCURACY = (
    *(0.4512, 0.5310, 0.5702, 0.5958, 0.6124, 0.6240, 0.6308, 0.6152, 0.6390, 0.6458),
    *(0.6502, 0.6310, 0.6570, 0.6644, 0.6702, 0.6638, 0.6480, 0.6734, 0.6688, 0.6650),
)
SCORES = ("accuracy", "macro_precision", "macro_recall", "macro_f1")


def scores_of(confusion: npt.NDArray[np.int64], classes: tuple[str, ...]) -> ClassificationScores:
    """Compute all scores of a confusion matrix, as the metrics do."""
    cases, predictions = confusion.sum(axis=1), confusion.sum(axis=0)
    correct = np.diag(confusion)
    precision = np.divide(correct, predictions, out=np.zeros(len(cases)), where=predictions > 0)
    recall = np.divide(correct, cases, out=np.zeros(len(cases)), where=cases > 0)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros(len(cases)), where=both > 0)
    return ClassificationScores(
        count=int(confusion.sum()),
        accuracy=float(correct.sum() / confusion.sum()),
        macro_precision=float(precision.mean()),
        macro_recall=float(recall.mean()),
        macro_f1=float(f1.mean()),
        balanced_accuracy=float(recall[cases > 0].mean()),
        log_loss=0.98,
        classes=tuple(
            ClassScores(
                name=name,
                total_cases=int(cases[i]),
                total_predictions=int(predictions[i]),
                correct=int(correct[i]),
                precision=float(precision[i]),
                recall=float(recall[i]),
                f1=float(f1[i]),
            )
            for i, name in enumerate(classes)
        ),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def evaluate_record(confusion: npt.NDArray[np.int64], classes: tuple[str, ...]) -> EvaluateRecord:
    """Give the record of an evaluation with this confusion matrix."""
    scores = scores_of(confusion, classes)
    return EvaluateRecord(
        weights="last",
        scores=scores,
        intervals=score_intervals(scores, np.random.default_rng(0), resamples=200),
        calibration=calibration_record(scores.accuracy, scores.count),
        with_views=ViewsScores(
            views=2,
            is_mirrored=True,
            is_shifted=False,
            accuracy=min(1.0, scores.accuracy + 0.01),
            interval=Interval(low=scores.accuracy, high=min(1.0, scores.accuracy + 0.02)),
        ),
        robustness=robustness_record(scores.accuracy),
        images_per_second=5200.0,
        seconds=1.9,
    )


def calibration_record(
    accuracy: float, count: int, *, gap: float = 0.08, temperature: float | None = 1.8
) -> CalibrationRecord:
    """Give a calibration that is `gap` too sure before scaling and nearly right after it."""

    def scores(excess: float) -> CalibrationScores:
        accuracies = np.linspace(max(2 * accuracy - 1, 0.02), 1, 15)
        confidences = (accuracies + excess).clip(0, 1)
        size = max(count // 15, 1)
        return CalibrationScores(
            expected_calibration_error=float(abs(confidences - accuracies).mean()),
            log_loss=0.9 + excess,
            brier_score=0.4 + excess / 2,
            mean_confidence=float(confidences.mean()),
            bins=tuple(
                ReliabilityBin(
                    count=size,
                    confidence=float(confidence),
                    accuracy=float(share),
                    interval=wilson_interval(round(share * size), size),
                )
                for confidence, share in zip(confidences, accuracies, strict=True)
            ),
        )

    shares = np.linspace(0.01, 1, 100)
    return CalibrationRecord(
        temperature=temperature,
        before=scores(gap),
        after=scores(gap if temperature is None else 0.005),
        chance_calibration_error=0.011,
        coverage=tuple(
            CoveragePoint(
                coverage=float(share),
                accuracy=float(1 - (1 - accuracy) * share**2),
                least_confidence=float(1 - 0.75 * share),
            )
            for share in shares
        ),
    )


def robustness_record(accuracy: float, count: int = 2000) -> RobustnessRecord:
    """Give a robustness in which noise hurts most and JPEG not at all."""
    corruptions = []
    for place, corruption in enumerate(CORRUPTIONS):
        worst = {"noise": 0.5, "JPEG": 0.0}.get(corruption.name, 0.03 + 0.02 * place)
        accuracies = tuple(float(accuracy * (1 - worst * k / 5)) for k in range(1, 6))
        fall = accuracy - sum(accuracies) / 5
        corruptions.append(
            CorruptionScores(
                name=corruption.name,
                description=corruption.description,
                unit=corruption.unit,
                strengths=corruption.strengths,
                accuracies=accuracies,
                fall=fall,
                fall_interval=Interval(low=fall - 0.01, high=fall + 0.01),
            )
        )
    return RobustnessRecord(
        count=count,
        accuracy=accuracy,
        interval=wilson_interval(round(accuracy * count), count),
        corruptions=tuple(corruptions),
        seconds=8.0,
    )


def random_confusion(class_count: int, cases: int, accuracy: float) -> npt.NDArray[np.int64]:
    """Draw a confusion matrix with a seed; class 3 is made the hardest where there is one."""
    random = np.random.default_rng(7)
    confusion = np.zeros((class_count, class_count), dtype=np.int64)
    for i in range(class_count):
        right = accuracy - (0.2 if i == 3 else 0.0)
        weights = random.dirichlet(np.full(class_count, 0.35)) * (1 - right)
        weights[i] += right
        confusion[i] = random.multinomial(cases, weights / weights.sum())
    return confusion


def train_record(
    train_accuracies: tuple[float, ...],
    validation_accuracies: tuple[float, ...] | None,
    *,
    validation_count: int = 5000,
    class_count: int = 10,
    augmentation: str = "none",
    validation_losses: tuple[float, ...] | None = None,
) -> TrainRecord:
    """Give a training record with these curves; losses follow from the accuracies."""
    history = tuple(
        EpochRecord(
            epoch=place + 1,
            learning_rate=0.001,
            train_loss=2.4 * (1 - accuracy),
            train_accuracy=accuracy,
            validation_loss=(
                None
                if validation_accuracies is None
                else validation_losses[place]
                if validation_losses
                else 2.6 * (1 - validation_accuracies[place])
            ),
            validation_accuracy=None
            if validation_accuracies is None
            else validation_accuracies[place],
            seconds=7.4,
        )
        for place, accuracy in enumerate(train_accuracies)
    )
    best = (
        None
        if validation_accuracies is None
        else validation_accuracies.index(max(validation_accuracies)) + 1
    )
    layers = (
        ("blocks.0.convolution", "Conv2d", (64, 30, 30), 1792, 1_555_200),
        ("blocks.0.pool", "MaxPool2d", (64, 15, 15), 0, 0),
        ("blocks.0.relu", "ReLU", (64, 15, 15), 0, 0),
        ("blocks.0.dropout", "Dropout", (64, 15, 15), 0, 0),
        ("blocks.1.convolution", "Conv2d", (32, 13, 13), 18464, 3_115_008),
        ("blocks.1.pool", "MaxPool2d", (32, 6, 6), 0, 0),
        ("blocks.1.dropout", "Dropout", (32, 6, 6), 0, 0),
        ("flatten", "Flatten", (1152,), 0, 0),
        ("hidden", "Linear", (128,), 147584, 147_456),
        ("dropout", "Dropout", (128,), 0, 0),
        ("output", "Linear", (class_count,), 129 * class_count, 128 * class_count),
    )
    return TrainRecord(
        model="cnn",
        model_settings={
            "conv_layers": 2,
            "filters": [64, 32],
            "units": 128,
            "conv_dropout": 0.25,
            "dense_dropout": 0.5,
            "has_batch_norm": False,
            "padding": "valid",
        },
        optimizer="rmsprop",
        learning_rate=0.001,
        batch_size=64,
        epochs=len(history),
        augmentation=augmentation,
        normalization="scale",
        train_count=45000,
        validation_count=0 if validation_accuracies is None else validation_count,
        history=history,
        best_epoch=best,
        chosen_weights="last",
        layers=tuple(
            LayerRecord(
                name=name,
                kind=kind,
                output_shape=shape,
                parameters=parameters,
                multiply_adds=multiply_adds,
            )
            for name, kind, shape, parameters, multiply_adds in layers
        ),
        parameter_count=sum(parameters for *_, parameters, _ in layers),
        multiply_adds=sum(multiply_adds for *_, multiply_adds in layers),
        device="cpu",
        precision="float32",
        threads=2,
        seconds=148.2,
    )


def acquire_record(
    classes: tuple[str, ...],
    *,
    train_counts: tuple[int, ...] | None = None,
    test_counts: tuple[int, ...] | None = None,
    title: str = "CIFAR-10",
    size_px: int = 32,
    channels: int = 3,
    left_out: tuple[LeftOutImage, ...] = (),
) -> AcquireRecord:
    """Give an acquire record; by default 5,000 training and 1,000 test images a class."""
    return AcquireRecord(
        source="cifar10",
        location="data/cifar-10-batches-bin",
        title=title,
        description="Small colour photographs of animals and vehicles, collected by Krizhevsky, "
        "Nair and Hinton (2009).",
        classes=classes,
        image_size_px=(size_px, size_px),
        channels=channels,
        train_counts=train_counts or (5000,) * len(classes),
        test_counts=test_counts or (1000,) * len(classes),
        split_note="The test split is the official one.",
        mirror_keeps_class=True,
        resized=0,
        left_out=left_out,
        notes=("About 3% of the test images have a near-duplicate among the training images.",),
        train_sha256="a1" * 32,
        test_sha256="b2" * 32,
    )


def explore_record(
    classes: tuple[str, ...],
    means: tuple[float, ...],
    deviations: tuple[float, ...],
    *,
    count: int = 5000,
    gray: bool = False,
) -> ExploreRecord:
    """Give an explore record with these statistics of the classes."""
    return ExploreRecord(
        classes=tuple(
            ClassStatistics(name=name, count=count, mean=mean, standard_deviation=deviation)
            for name, mean, deviation in zip(classes, means, deviations, strict=True)
        ),
        channel_names=("gray",) if gray else ("red", "green", "blue"),
        channel_means=(0.3053,) if gray else (0.49140, 0.48216, 0.44653),
        channel_standard_deviations=(0.376,) if gray else (0.24703, 0.24349, 0.26159),
        augmentation="report",
        augmentation_description="Rotation up to ±20 degrees, shifts up to ±20% of width and "
        "height, horizontal flip, zoom 0.8 to 1.2 for each axis, shear up to ±0.15 degrees.",
        seconds=0.8,
    )


def tune_record() -> TuneRecord:
    """Give the original's search: 3 trials of 2 executions."""
    optimizers = ("adam", "rmsprop", "sgd")
    values = ((0.581, 0.5694), (0.6201, 0.6123), (0.3312, 0.3520))
    trials = tuple(
        TrialRecord(
            number=number,
            state="complete",
            parameters={
                "model.conv_layers": 2 if number == 1 else 3,
                "model.filters.0": 64 + 32 * number,
                "model.filters.1": 32,
                **({} if number == 1 else {"model.filters.2": 96}),
                "model.units": 128,
                "training.optimizer": optimizers[number],
            },
            execution_values=values[number],
            value=sum(values[number]) / 2,
            epochs=6,
            seconds=61.0 + number,
        )
        for number in range(3)
    )
    return TuneRecord(
        sampler="random",
        pruner="none",
        executions_per_trial=2,
        epochs_per_execution=3,
        batch_size=32,
        train_count=45000,
        validation_count=5000,
        space=(
            SearchDimension(name="model.conv_layers", low=1, high=3, step=1),
            *(
                SearchDimension(
                    name=f"model.filters.{layer}",
                    low=32,
                    high=128,
                    step=32,
                    only_if=Condition(name="model.conv_layers", at_least=layer + 1),
                )
                for layer in range(3)
            ),
            SearchDimension(name="model.units", low=64, high=512, step=64),
            SearchDimension(name="training.optimizer", choices=optimizers),
        ),
        trials=trials,
        best_number=1,
        best_value=0.6162,
        best_parameters=trials[1].parameters,
        importances={"training.optimizer": 0.71, "model.conv_layers": 0.2, "model.units": 0.09},
        seconds=192.0,
    )


def search_over_models() -> TuneRecord:
    """Give a search over two models with pruned and failed trials, log and other ranges."""
    random = np.random.default_rng(3)
    trials = []
    for number in range(24):
        model = ("cnn", "fast")[number % 2]
        state = ("complete", "complete", "pruned", "complete", "failed", "complete")[number % 6]
        value = round(float(random.uniform(0.5, 0.8)), 4)
        own: dict[str, int | float | str] = (
            {"model.units": int(random.integers(1, 9)) * 64}
            if model == "cnn"
            else {"model.widths.1": int(random.integers(2, 9)) * 32, "model.depths.0": 2}
        )
        trials.append(
            TrialRecord(
                number=number,
                state=state,  # type: ignore[arg-type]
                parameters={
                    "model.name": model,
                    **own,
                    "training.learning_rate": float(10 ** random.uniform(-4, -1)),
                    "training.augmentation": ("none", "crop-flip", "report")[number % 3],
                },
                execution_values=(value,) if state == "complete" else (),
                value=value if state == "complete" else None,
                epochs=9 if state == "complete" else 3,
                seconds=12.0,
                reason=None if state == "complete" else "not among the best after epoch 3",
                last_value=value - 0.2 if state == "pruned" else None,
            )
        )
    best = max(trials, key=lambda trial: trial.value or 0.0)
    return TuneRecord(
        sampler="tpe",
        pruner="hyperband",
        executions_per_trial=1,
        epochs_per_execution=9,
        batch_size=125,
        train_count=45000,
        validation_count=5000,
        space=(
            SearchDimension(name="model.name", choices=("cnn", "fast")),
            SearchDimension(name="model.units", low=64, high=512, step=64, model="cnn"),
            SearchDimension(name="model.widths.1", low=64, high=256, step=32, model="fast"),
            SearchDimension(name="model.depths.0", low=2, high=2, step=1, model="fast"),
            SearchDimension(name="training.learning_rate", low=1e-4, high=1e-1, is_log=True),
            SearchDimension(name="training.augmentation", choices=("none", "crop-flip", "report")),
        ),
        trials=tuple(trials),
        best_number=best.number,
        best_value=best.value or 0.0,
        best_parameters=best.parameters,
        importances={"training.learning_rate": 0.6, "model.name": 0.3},
        model_importances={"training.learning_rate": 0.5, "model.units": 0.4},
        seconds=288.0,
        models=("cnn", "fast"),
        best_assignments={
            "model.name": best.parameters["model.name"],
            "model.filters": [64, 32, 64],
            "training.learning_rate": best.parameters["training.learning_rate"],
        },
        budget_seconds=600.0,
        jobs=2,
    )


def protocol_record(name: str, accuracies: tuple[float, ...]) -> ProtocolRecord:
    """Give a protocol whose folds have these accuracies."""
    folds = tuple(
        FoldScores(
            fold=place + 1,
            train_count=40000,
            validation_count=10000,
            epochs=20,
            accuracy=accuracy,
            macro_precision=accuracy + 0.02,
            macro_recall=accuracy,
            macro_f1=accuracy - 0.008,
            seconds=88.0,
        )
        for place, accuracy in enumerate(accuracies)
    )
    columns = {score: [getattr(fold, score) for fold in folds] for score in SCORES}
    is_leaky = name == "warm-start"
    return ProtocolRecord(
        name=name,
        is_leaky=is_leaky,
        description=(
            "Every fold starts from the trained model."
            if is_leaky
            else "A new model for each fold."
        ),
        epochs=5 if is_leaky else 20,
        batch_size=64,
        optimizer="adam" if is_leaky else "rmsprop",
        augmentation="report" if is_leaky else "none",
        folds=folds,
        means={score: float(np.mean(values)) for score, values in columns.items()},
        standard_deviations={
            score: float(np.std(values, ddof=1)) for score, values in columns.items()
        },
        intervals={} if is_leaky else nadeau_bengio_intervals(folds),
        seconds=440.0,
    )


def repeats_record(*accuracies: float) -> RepeatsRecord:
    """Give runs of so many accuracies; the other scores are the same."""
    names = ("accuracy", "balanced_accuracy", "macro_f1")
    spread = Spread.of(accuracies)
    return RepeatsRecord(
        test_count=10000,
        is_imbalanced=False,
        has_time_budget=False,
        runs=tuple(
            RepeatedRun(
                run=run, seed=run - 1, training_seconds=100, **dict.fromkeys(names, accuracy)
            )
            for run, accuracy in enumerate(accuracies, start=1)
        ),
        means=dict.fromkeys(names, spread.mean),
        intervals=dict.fromkeys(names, spread.interval),
        standard_deviations=dict.fromkeys(names, spread.deviation),
        deviation_intervals=dict.fromkeys(names, spread.deviation_interval),
        least_differences=dict.fromkeys(names, spread.least_difference),
        evaluate_digest="ab" * 32,
    )


def references() -> tuple[Reference, ...]:
    """Give the original report's figures."""
    pixels = "Cannot be had from the data as described: over all its pixels it is 0.5583."
    return (
        Reference(
            label="Average pixel value of airplane",
            measure="explore.class.airplane.mean",
            value=0.64153,
            where="Table 1",
            note=pixels,
        ),
        Reference(
            label="Channel means",
            measure="explore.channel_means",
            value=(0.49140, 0.48216, 0.44653),
            where="Table 1",
        ),
        Reference(
            label="Best validation accuracy of the search",
            measure="tune.best_validation_accuracy",
            value=0.6162,
            where="Section 4.2",
        ),
        Reference(
            label="Best settings",
            measure="tune.best_settings",
            value="conv_layers=2, filters_0=64, filters_1=32, units=128, optimizer=rmsprop",
            where="Section 4.3",
        ),
        Reference(
            label="Duration of the search", measure="tune.seconds", value=384.0, where="Section 4.2"
        ),
        Reference(
            label="Validation accuracy of each epoch",
            measure="train.validation_accuracy_curve",
            value=ORIGINAL_VALIDATION_ACCURACY,
            where="Figure 3",
        ),
        Reference(
            label="Test accuracy", measure="evaluate.accuracy", value=0.6576, where="Table 2"
        ),
        Reference(
            label="Macro precision",
            measure="evaluate.macro_precision",
            value=0.689,
            where="Table 2",
        ),
        Reference(
            label="Weakest classes",
            measure="evaluate.weakest_classes",
            value="dog and deer",
            where="Section 6.4",
        ),
        Reference(
            label="Predictions as deer",
            measure="evaluate.class.deer.total_predictions",
            value=792.0,
            where="Section 6.4",
        ),
        Reference(
            label="5-fold accuracy (warm start)",
            measure="cross_validate.warm-start.accuracy",
            value=0.656,
            where="Table 3",
            note="The original's protocol leaks: each fold starts from the trained model.",
        ),
    )


def manifests(*stages: str) -> dict[str, Manifest]:
    """Give one manifest a stage."""
    return {
        stage: Manifest(
            stage=stage,
            fingerprint=f"{place:x}" * 64,
            settings={},
            inputs={},
            files={},
            versions={"tenfold": "0.1.0", "torch": "2.13.0", "numpy": "2.3.1"},
            device="cpu",
            started=f"2026-02-07T10:{place:02d}:00+00:00",
            seconds=12.5 * (place + 1),
            attempts=2 if stage == "train" else 1,
        )
        for place, stage in enumerate(stages)
    }


AUDITED_IDS = np.array(
    sorted([f"test/{n}" for n in range(40)] + [f"train/{n}" for n in range(40)]), dtype=str
)
"""Identifiers of the images that come with `audit_record`."""


def audit_record(class_count: int) -> AuditRecord:
    """Give an audit with issues in both splits and duplicates of every kind."""
    counts = DuplicateCounts(exact=12, near=340, other_label=3)

    def issues(split: str) -> tuple[LabelIssue, ...]:
        return tuple(
            LabelIssue(
                id=f"{split}/{place}",
                given=place % class_count,
                suggested=(place + 1) % class_count,
                score=place / 100,
            )
            for place in range(60)
        )

    def pair(first: str, second: str, place: int, other: int = 0) -> DuplicatePair:
        return DuplicatePair(
            first=first,
            second=second,
            first_label=place % class_count,
            second_label=(place + other) % class_count,
            agreement=1 - place / 50,
            is_exact=place == 0,
            is_mirrored=place % 3 == 1,
        )

    return AuditRecord(
        labels=(
            LabelAudit(
                split="train",
                probabilities="out of fold: each image by the one of 5 models that was not "
                "trained on it",
                images=50_000,
                flagged=1_234,
                issues=issues("train"),
            ),
            LabelAudit(
                split="test",
                probabilities="the trained model",
                images=10_000,
                flagged=321,
                issues=issues("test"),
            ),
        ),
        duplicates=DuplicateAudit(
            least_agreement=0.8,
            candidates=145_556,
            within_train=counts,
            within_test=counts,
            across=counts,
            groups=900,
            images_in_groups=2_345,
            leaked_test_images=300,
            shown=(
                *(pair(f"train/{n}", f"test/{n}", n) for n in range(7)),
                *(pair(f"train/{n}", f"test/{n}", n, 1) for n in range(7, 9)),
                *(pair(f"train/{n}", f"train/{n + 1}", n) for n in range(9, 12)),
            ),
        ),
        scores=TestScores(
            plain=ScoresOn(images=10_000, accuracy=0.682, macro_f1=0.68),
            without_leaks=ScoresOn(images=9_700, accuracy=0.6725, macro_f1=0.67),
            leaks_only=ScoresOn(images=300, accuracy=0.98, macro_f1=0.98),
        ),
        seconds=130.0,
    )
