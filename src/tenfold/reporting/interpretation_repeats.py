"""What runs with other seeds say: the mean, the spread, and what the spread means."""

from __future__ import annotations

from tenfold.core.records.repeats import RepeatsRecord
from tenfold.reporting.formats import count, percent, percent_interval

TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
}
"""The scores of a run, as a table's heading names them."""


def leading_score(record: RepeatsRecord) -> str:
    """Give the score to speak of: accuracy, unless it is that of the large classes."""
    return "balanced_accuracy" if record.is_imbalanced else "accuracy"


def mean_text(record: RepeatsRecord) -> str:
    """Give mean and standard deviation of the leading score, for example ``94.0% ± 0.1``."""
    name = leading_score(record)
    return f"{percent(record.means[name], 2)} ± {_points(record.standard_deviations[name])}"


def repeats_sentences(record: RepeatsRecord) -> list[str]:
    """Give mean and spread of the runs, and say what the spread is and is not."""
    name = leading_score(record)
    title = TITLES[name].lower()
    runs, values = len(record.runs), [getattr(run, name) for run in record.runs]
    interval = percent_interval(record.intervals[name], 2)
    varied = (
        f"; the 95% interval of the mean over all seeds is {interval} (Student's)"
        if record.standard_deviations[name]
        else ""
    )
    clock = (
        ", and in how far each came in its time, which depends on the machine's load"
        if record.has_time_budget
        else ""
    )
    return [
        f"Over {runs} runs the {title} on the test split is {mean_text(record)} (mean ± standard "
        f"deviation), from {percent(min(values), 2)} to {percent(max(values), 2)}{varied}.",
        "The runs differ only in what their seed decides (initial weights, order and augmentation "
        f"of the images, which images are held out for validation){clock}.",
        f"All see the same {count(record.test_count)} test images, so the spread is luck of the "
        "training alone; how far other test images would move every score is the interval of the "
        "single scores, and is not in it.",
        *_meaning(record, name),
    ]


def _meaning(record: RepeatsRecord, name: str) -> list[str]:
    deviation = record.standard_deviations[name]
    if deviation == 0:
        return [
            "All runs have the same score: there are too few runs, or too few test images, to see "
            "what the seed does."
        ]
    ends = record.deviation_intervals[name]
    return [
        f"Another setting, trained once, has to differ from a single run by more than "
        f"{_points(record.least_differences[name])} percentage points to be more than that luck "
        f"(95%). {len(record.runs)} runs know the standard deviation itself only roughly: it lies "
        f"between {_points(ends.low)} and {_points(ends.high)} (95%, chi-square)."
    ]


def _points(value: float) -> str:
    return f"{100 * value:.2f}"
