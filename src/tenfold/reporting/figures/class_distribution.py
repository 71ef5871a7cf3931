"""Figure 1 of the original: how many images each class has."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from tenfold.core.records.data import AcquireRecord
from tenfold.reporting.figures.canvas import Palette, new_figure, round_ticks
from tenfold.reporting.figures.class_rows import (
    column_slices,
    figure_height_px,
    label_rows,
    row_axes,
)


def draw_class_distribution(record: AcquireRecord, palette: Palette) -> Figure:
    """Draw two bars a class: training and test images."""
    class_count = len(record.classes)
    figure = new_figure(figure_height_px(class_count, extra_px=84))
    all_axes = row_axes(figure, class_count)
    splits = (("Training images", record.train_counts), ("Test images", record.test_counts))
    for axes, rows in zip(all_axes, column_slices(class_count), strict=True):
        names = record.classes[rows]
        places = np.arange(len(names))
        for (label, counts), offset, colour in zip(
            splits, (-0.19, 0.19), palette.series, strict=False
        ):
            axes.barh(
                places + offset, counts[rows], height=0.34, color=colour, label=label, linewidth=0
            )
        label_rows(axes, names, palette, class_count=class_count)
        axes.xaxis.set_major_locator(round_ticks(6, integer=True))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("Images")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure
