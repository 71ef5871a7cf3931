"""Figure 3 of the original: accuracy and loss over the epochs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tenfold.core.records.training import TrainRecord
from tenfold.reporting.figures.canvas import Palette, new_figure, round_ticks
from tenfold.reporting.formats import score


def draw_training_curves(record: TrainRecord, palette: Palette) -> Figure:
    """Draw accuracy and loss side by side, training against validation, the best epoch marked."""
    history = record.history
    epochs = [epoch.epoch for epoch in history]
    figure = new_figure(310)
    accuracy, loss = figure.subplots(1, 2)
    panels: tuple[tuple[Axes, str, list[float], list[float | None]], ...] = (
        (
            accuracy,
            "Accuracy",
            [epoch.train_accuracy for epoch in history],
            [epoch.validation_accuracy for epoch in history],
        ),
        (
            loss,
            "Loss",
            [epoch.train_loss for epoch in history],
            [epoch.validation_loss for epoch in history],
        ),
    )
    for axes, title, train, validation in panels:
        axes.set_title(title)
        axes.grid(visible=True, axis="y")
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(round_ticks(8, integer=True))
        _curve(axes, epochs, train, is_validation=False, palette=palette)
        measured = [(e, v) for e, v in zip(epochs, validation, strict=True) if v is not None]
        if measured:
            xs, ys = zip(*measured, strict=True)
            _curve(axes, xs, ys, is_validation=True, palette=palette)
        _mark_best(axes, record, dict(measured), palette)
    handles, labels = accuracy.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3)
    return figure


def _curve(
    axes: Axes,
    epochs: Sequence[int],
    values: Sequence[float],
    *,
    is_validation: bool,
    palette: Palette,
) -> None:
    # Line style and marker differ as well as colour: not everybody tells the colours apart.
    axes.plot(
        epochs,
        values,
        color=palette.series[1 if is_validation else 0],
        linestyle=(0, (4, 2)) if is_validation else "-",
        marker="s" if is_validation else "o",
        markersize=4 if len(epochs) <= 40 else 0,
        linewidth=1.8,
        label="Validation" if is_validation else "Training",
    )


def _mark_best(
    axes: Axes, record: TrainRecord, validation: dict[int, float], palette: Palette
) -> None:
    best = record.best_epoch
    if best is None or best not in validation:
        return
    axes.axvline(best, color=palette.muted, linewidth=0.9, linestyle=(0, (3, 3)))
    accuracy = next(e.validation_accuracy for e in record.history if e.epoch == best)
    axes.plot(
        [best],
        [validation[best]],
        linestyle="none",
        marker="o",
        markersize=10,
        markerfacecolor="none",
        markeredgecolor=palette.ink,
        markeredgewidth=1.4,
        label=f"Best epoch: {best} (validation accuracy {score(accuracy)})",
    )
