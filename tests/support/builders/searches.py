"""Plausible records of the tune stage."""

from __future__ import annotations

import numpy as np

from tenfold.core.records.tuning import Condition, SearchDimension, TrialRecord, TuneRecord


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
