"""What a search found, as facts, and how a searched range is written."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tenfold.core.records.tuning import Condition, SearchDimension
from tenfold.report.findings.tuning import (
    completed_trials,
    execution_spread,
    searched_names,
    settings_at_their_edge,
    trial_states,
)
from tenfold.report.wording import words


def test_trials(builder: SimpleNamespace) -> None:
    record = builder.tune_record()
    assert [trial.number for trial in completed_trials(record)] == [1, 0, 2]
    assert trial_states(record) == ["3 complete"]
    assert execution_spread(record) == pytest.approx(0.0208)
    assert searched_names(record)[0] == "model.conv_layers"
    assert len(searched_names(record)) == 6
    at_edge = record.best_parameters | {"model.conv_layers": 3}
    changed = record.model_copy(update={"best_parameters": at_edge})
    assert settings_at_their_edge(changed) == ["conv_layers = 3"]


@pytest.mark.parametrize(
    ("dimension", "text"),
    [
        (SearchDimension(name="a.b"), "not stated"),
        (SearchDimension(name="a.b", choices=(True, "x", 1.5)), "yes, x, 1.5"),
        (
            SearchDimension(
                name="a.b",
                low=1e-4,
                high=0.1,
                is_log=True,
                only_if=Condition(name="model.layers", at_least=2),
            ),
            "0.0001 to 0.1, on a logarithmic scale (only if layers ≥ 2)",
        ),
        (SearchDimension(name="a.b", low=32, high=128, step=32), "32 to 128, step 32"),
    ],
)
def test_ranges(dimension: SearchDimension, text: str) -> None:
    assert words("tuning", "range", dimension) == text
