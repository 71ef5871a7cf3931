"""The model card: what a reader should know before using a model, as Markdown.

After Mitchell and others, "Model Cards for Model Reporting" (arXiv 1810.03993): what it is for,
what it was trained on, how good it is and how sure that is, and where it should not be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tenfold.core.records.audit import AuditRecord
from tenfold.core.records.cross_validate import CrossValidateRecord
from tenfold.core.records.evaluate import EvaluateRecord
from tenfold.core.records.model import Measure, ModelRecord
from tenfold.core.records.train import TrainRecord
from tenfold.core.text import printable
from tenfold.reporting.formats import (
    count,
    counted,
    duration,
    interval,
    join,
    number,
    percent,
    percent_interval,
    score,
    shape,
)
from tenfold.reporting.interpretation_robustness import sensitive_to

_FEW_TEST_IMAGES = 1000
"""With fewer, a 95% interval of an accuracy is up to six points wide (Wilson)."""
_POOR_RECALL = 0.5


@dataclass(frozen=True)
class CardSources:
    """What a card is written from beside the model's own record; None for what there is not.

    Parameters
    ----------
    train, evaluate, cross_validate, audit
        Of the study.
    kept_images
        Training images that lie in the model folder as thumbnails.
    """

    train: TrainRecord | None = None
    evaluate: EvaluateRecord | None = None
    cross_validate: CrossValidateRecord | None = None
    audit: AuditRecord | None = None
    kept_images: int = 0


def model_card(record: ModelRecord, sources: CardSources) -> str:
    """Give the card."""
    parts = [
        f"# {_plain(record.title)}",
        _purpose(record),
        "## Use",
        _USE,
        "## Scores",
        *_scores(record, sources),
        "## Data",
        *_data(record, sources),
        "## Training",
        _training(record, sources.train),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(record, sources)),
    ]
    return "\n\n".join(parts) + "\n"


_USE = """```bash
tenfold predict MODEL photo.jpg      # MODEL: this folder
```

```python
import tenfold

classifier = tenfold.load("MODEL")
classifier.predict_proba(images)     # uint8, N × H × W × C; columns as classifier.classes_
```

`model.json` holds the settings, the classes by index and the SHA-256 of every file. Put notes of
your own into another file: a changed byte makes the folder invalid."""


def _purpose(record: ModelRecord) -> str:
    height, width, channels = record.image_shape
    names = [_plain(name) for name in record.classes]
    listed = join(names) if len(names) <= 20 else f"{', '.join(names[:20])} and others"
    colour = "colour" if channels == 3 else "gray"
    return (
        f"Tells which of {counted(len(names), 'class', 'classes')} an image shows: {listed}. It "
        f"looks at {colour} images of {width} × {height} px; others are scaled and their centre "
        "cut out."
    )


def _scores(record: ModelRecord, sources: CardSources) -> Iterator[str]:
    scores = record.scores
    if scores is None:
        yield "Not tested: nothing is known about its scores on new images."
        return
    rows = [
        ("Accuracy", scores.accuracy),
        ("Balanced accuracy", scores.balanced_accuracy),
        ("F1, mean over the classes", scores.macro_f1),
        ("Log loss", scores.log_loss),
        ("Expected calibration error", scores.expected_calibration_error),
    ]
    yield (
        f"On {counted(scores.count, 'test image')} that it was not trained on, with 95% intervals:"
    )
    yield "\n".join(
        ["| score | value | 95% interval |", "|---|---|---|"]
        + [f"| {name} | {score(one.value)} | {_ends(one)} |" for name, one in rows]
    )
    if sources.evaluate is not None and len(record.classes) <= 200:
        yield _class_table(record, sources.evaluate)
    fresh = _fresh_accuracy(sources.cross_validate)
    if fresh is not None:
        yield fresh
    if record.temperature is None:
        yield "Its probabilities are not calibrated: no images were held out to fit that to."
    else:
        yield (
            "Its probabilities are calibrated: logits are divided by a temperature of "
            f"{number(record.temperature)}, fitted on images held out from the training."
        )


def _ends(measure: Measure) -> str:
    return "" if measure.interval is None else interval(measure.interval)


def _class_table(record: ModelRecord, evaluate: EvaluateRecord) -> str:
    lines = [
        "| class | training images | test images | precision | recall | 95% interval | F1 |",
        "|---|---|---|---|---|---|---|",
    ]
    for trained, one, ends in zip(
        record.data.train_counts, evaluate.scores.classes, evaluate.intervals.classes, strict=True
    ):
        lines.append(
            f"| {_plain(one.name)} | {count(trained)} | {count(one.total_cases)} "
            f"| {score(one.precision)} | {score(one.recall)} | {interval(ends.recall)} "
            f"| {score(one.f1)} |"
        )
    return "\n".join(lines)


def _fresh_accuracy(cross_validate: CrossValidateRecord | None) -> str | None:
    for protocol in () if cross_validate is None else cross_validate.protocols:
        if not protocol.is_leaky and "accuracy" in protocol.intervals:
            return (
                f"New models trained in {counted(len(protocol.folds), 'fold')} of the training "
                f"images reach a mean accuracy of {score(protocol.means['accuracy'])} (95% "
                f"interval {interval(protocol.intervals['accuracy'])})."
            )
    return None


def _data(record: ModelRecord, sources: CardSources) -> Iterator[str]:
    data = record.data
    tested = f", {counted(sum(data.test_counts), 'test image')}" if data.test_counts else ""
    yield (
        f"{_plain(data.title)}: {counted(sum(data.train_counts), 'training image')}{tested}. "
        f"{_plain(data.description)}"
    ).strip()
    hashes = [f"- training split: `{data.train_sha256}`"]
    if data.test_sha256 is not None:
        hashes.append(f"- test split: `{data.test_sha256}`")
    yield "\n".join(["SHA-256 of shape, pixels and labels:", "", *hashes])
    if sources.kept_images:
        yield (
            f"This folder holds {counted(sources.kept_images, 'training image')} as thumbnails, to "
            "show what a new image resembles. Do not pass it on where the images must not be seen; "
            "`--set explain.neighbour_images=0` makes it without them."
        )


def _training(record: ModelRecord, train: TrainRecord | None) -> str:
    versions = record.versions
    made_with = f"tenfold {versions.get('tenfold', '?')}, PyTorch {versions.get('torch', '?')}"
    name = f"Architecture `{record.model}`"
    if train is None:
        return f"{name}, trained with {made_with}."
    held_out = (
        f"; {counted(train.validation_count, 'image')} held out for validation"
        if train.validation_count
        else ""
    )
    return (
        f"{name} with {counted(train.parameter_count, 'parameter')}, "
        f"{counted(train.epochs, 'epoch')} on {counted(train.train_count, 'image')}{held_out}; "
        f"optimiser {train.optimizer}, batch size {train.batch_size}, augmentation "
        f"`{train.augmentation}`; {duration(train.seconds)} on {_plain(train.device)} in "
        f"{train.precision}, with {made_with}. All settings are in `model.json`."
    )


def _limits(record: ModelRecord, sources: CardSources) -> Iterator[str]:
    names = len(record.classes)
    yield (
        f"It always names one of its {counted(names, 'class', 'classes')}, whatever the image "
        "shows: a low probability is the only sign of something else, and not a reliable one."
    )
    yield (
        "Its scores hold for images like those it was tested on. Other cameras, places or times "
        "need a test of their own."
    )
    height, width, channels = record.image_shape
    if channels == 1:
        yield "It sees no colour: colour images are turned into gray ones."
    yield (
        f"It sees {width} × {height} px: small things in large images disappear, and what lies "
        "outside the central square is cut off."
        if height == width
        else f"It takes images of {shape((width, height))} px; others are scaled to that."
    )
    if record.temperature is None:
        yield "Its probabilities were not calibrated; take them as an order, not as frequencies."
    if record.scores is None:
        yield "It was not tested."
    elif record.scores.count < _FEW_TEST_IMAGES:
        yield (
            f"It was tested on {counted(record.scores.count, 'image')} only; see how wide the "
            "intervals are."
        )
    yield from _measured_limits(sources)


def _measured_limits(sources: CardSources) -> Iterator[str]:
    evaluate, audit = sources.evaluate, sources.audit
    if evaluate is not None:
        untested = [_plain(one.name) for one in evaluate.scores.classes if not one.total_cases]
        if untested:
            yield f"No test image, so no score, of {join(untested[:10])}."
        poor = [
            f"{_plain(one.name)} ({percent(one.recall, 0)}, 95% interval "
            f"{percent_interval(ends.recall, 0)})"
            for one, ends in zip(evaluate.scores.classes, evaluate.intervals.classes, strict=True)
            if one.total_cases and one.recall < _POOR_RECALL
        ]
        if poor:
            yield f"It finds fewer than half of the images of {join(poor[:10])}."
        if evaluate.robustness is not None:
            worst = [
                f"{one.name} ({percent(one.accuracies[-1])} instead of "
                f"{percent(evaluate.robustness.accuracy)} at the strongest)"
                for one in sensitive_to(evaluate.robustness)
            ]
            if worst:
                yield f"It loses accuracy on images disturbed by {join(worst)}."
    if audit is not None and audit.duplicates.leaked_test_images:
        leaks, without = audit.duplicates.leaked_test_images, audit.scores.without_leaks
        rest = "" if without is None else f"; without them, accuracy is {score(without.accuracy)}"
        yield (
            f"{counted(leaks, 'test image')} have a near-duplicate among the training images{rest}."
        )


def _plain(text: str) -> str:
    """Give a name from outside so that Markdown and HTML show it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", printable(text)) if text else ""
