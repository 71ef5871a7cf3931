"""Figures with one row a class."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from tenfold.report.figures.canvas import svg_text
from tenfold.report.figures.classes import draw_confusion_matrix


@pytest.mark.parametrize("class_count", [2, 3, 10, 20, 30, 40, 41, 100])
def test_confusion_matrix_of_any_size(builder: SimpleNamespace, class_count: int) -> None:
    confusion = builder.random_confusion(class_count, 1000, 0.7)
    names = tuple(f"a rather long name of class {place}" for place in range(class_count))
    scores = builder.scores_of(confusion, names)
    text = svg_text(lambda palette: draw_confusion_matrix(scores, palette))
    shown = re.findall(r">([^<>]+)</text>", text)
    has_counts = str(int(confusion[0, 0])) in shown
    assert has_counts == (class_count <= 20)
    if class_count > 40:
        assert "Predicted class (number, in the order of the class table)" in shown
    else:
        assert sum(label.startswith("a rather") for label in shown) == 2 * class_count


def test_a_formula_in_a_class_name_is_only_text(builder: SimpleNamespace) -> None:
    scores = builder.scores_of(np.array([[5, 1], [0, 4]]), ("$\\frac{", "x_1^2 $a$"))
    text = svg_text(lambda palette: draw_confusion_matrix(scores, palette))
    assert "$\\frac{" in text
