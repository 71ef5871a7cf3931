r"""Measure the table of docs/models.md: every model on CIFAR-10, in the same time on one machine.

    python benchmarks/model_table.py CIFAR10_FOLDER                                  # a CPU
    python benchmarks/model_table.py CIFAR10_FOLDER --device cuda --budget 9m \
        --entries resnet-wide,resnet-28-10,inception-wide                            # a GPU

Every entry is a study of its own (`tenfold evaluate`) in ``--out``: the recipe of the model's name,
or another that has the model, on all 50,000 training images, in the same time
budget; ``--epochs`` trains for so many epochs instead. Without ``--entries`` every registered model
has its turn. The test set is opened once an entry, by the evaluate stage. A call that was stopped
goes on where it was, entries that are done are kept, and the table is printed again after each.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from tenfold.cli.terminal import TerminalProgress
from tenfold.core.errors import TenfoldError
from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.core.records.training import TrainRecord
from tenfold.core.text import counted, format_duration, parse_duration
from tenfold.models.model import MODELS
from tenfold.report import formats
from tenfold.study.request import StudyRequest
from tenfold.study.study import Study

WITHOUT_REST = (
    "training.validation_fraction=0",
    "tune.is_enabled=false",
    "evaluate.robustness_images=0",
)
"""All training images are trained on, and only what the table shows is measured."""
UNTIMED = ("pretrained",)
"""Takes as long as it takes: features are computed once an image."""
HEADER = (
    "| entry | settings | accuracy | 95% interval | with mirror image | parameters | multiply-adds "
    "| epochs | training | hardware |\n|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Entry:
    """A row of the table: a model and what is set beside its recipe."""

    name: str
    model: str
    assignments: tuple[str, ...] = ()


VARIANTS = (
    Entry("resnet-56", "resnet", ("model.depth=56",)),
    Entry("resnet-110", "resnet", ("model.depth=110",)),
    Entry(
        "resnet-wide",
        "resnet",
        ("model.width=4", "training.batch_size=256", "training.learning_rate=0.2"),
    ),
    Entry(
        "resnet-28-10",  # as the wide networks' paper counts
        "resnet",
        ("model.depth=26", "model.width=10", "model.dropout=0.3"),
    ),
    Entry("inception-wide", "inception", ("model.width=2",)),
    Entry("cnn-plain", "cnn", ("model.has_batch_norm=false",)),
)
"""Further entries, for ``--entries``."""


def entries(names: str | None) -> list[Entry]:
    """Give the entries asked for; without names, each registered model in its recipe's settings."""
    own = {name: Entry(name, name) for name in MODELS}
    known = own | {entry.name: entry for entry in VARIANTS}
    if names is None:
        return list(own.values())
    if unknown := [name for name in names.split(",") if name not in known]:
        raise SystemExit(f"There is no entry {unknown[0]!r}. Known: {', '.join(known)}.")
    return [known[name] for name in names.split(",")]


def measure(entry: Entry, arguments: argparse.Namespace, progress: TerminalProgress) -> str:
    """Train and test an entry, or read what an earlier call measured; give the table's row."""
    if arguments.epochs:
        length = f"{arguments.epochs}-epochs"
        pace = f"training.epochs={arguments.epochs}"
    else:
        length = arguments.budget
        pace = f"training.budget_seconds={parse_duration(arguments.budget)}"
    if entry.model in UNTIMED:
        length, pace = "whole", "tune.is_enabled=false"
    request = StudyRequest(
        data=str(arguments.folder),
        model=entry.model,
        seed=arguments.seed,
        assignments=(*WITHOUT_REST, pace, *entry.assignments),
        out=arguments.out / f"{entry.name}-{length}-seed-{arguments.seed}",
    ).resolve()
    study = Study(request.settings, request.out, device=arguments.device, progress=progress)
    for outcome in study.run("evaluate"):
        progress.say(f"{entry.name}: {outcome.sentence()}")
    train = TrainRecord.read(request.out / "train" / "record.json")
    evaluate = EvaluateRecord.read(request.out / "evaluate" / "record.json")
    return row(entry, train, evaluate)


def row(entry: Entry, train: TrainRecord, evaluate: EvaluateRecord) -> str:
    """Write one row in Markdown."""
    views = evaluate.with_views
    epochs = sum(epoch.share for epoch in train.history)
    cells = (
        entry.name,
        ", ".join(f"{name} {_plain(value)}" for name, value in train.model_settings.items()),
        formats.percent(evaluate.scores.accuracy, 2),
        formats.percent_interval(evaluate.intervals.accuracy),
        formats.MISSING if views is None else formats.percent(views.accuracy, 2),
        formats.count(train.parameter_count),
        formats.large(train.multiply_adds or 0),
        formats.number(epochs),
        format_duration(train.seconds),
        f"{train.device}, {counted(train.threads, 'thread')}, {train.precision}",
    )
    return f"| {' | '.join(cells)} |"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return "/".join(map(str, value))
    return formats.setting_value(value)


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a folder of CIFAR-10, or another data set")
    parser.add_argument("--entries", help="comma-separated; default: every registered model")
    parser.add_argument("--budget", default="10m", help="time of each training (default 10m)")
    parser.add_argument("--epochs", type=int, help="train for so many epochs, whatever the time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/models"))
    arguments = parser.parse_args()
    progress = TerminalProgress()
    rows: list[str] = []
    for entry in entries(arguments.entries):
        try:
            rows.append(measure(entry, arguments, progress))
        except TenfoldError as error:  # a model whose extra is not installed, for example
            progress.say(f"{entry.name} is left out: {error}")
            continue
        print("\n".join([HEADER, *rows]), flush=True)


if __name__ == "__main__":
    main()
