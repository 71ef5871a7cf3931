"""What is said of a head that was fitted to a frozen backbone's features."""

from __future__ import annotations

from tenfold.core.durations import format_duration
from tenfold.core.records.train import TrainRecord
from tenfold.reporting.formats import count, counted, score


def probe_sentences(record: TrainRecord) -> list[str]:
    """Say how the head was fitted, and what followed; nothing where it was not."""
    probe = record.probe
    if probe is None:
        return []
    mirrored = " and of their mirror images" if probe.is_mirrored else ""
    sentences = [
        f"The backbone's {count(probe.feature_count)} features of the "
        f"{counted(record.train_count, 'training image')}{mirrored} were computed once, in "
        f"{format_duration(probe.feature_seconds)}, and a linear layer was fitted to them by "
        f"logistic regression, in {format_duration(probe.fit_seconds)}."
    ]
    if len(probe.tried) > 1:
        losses = {tried.penalty: tried.log_loss for tried in probe.tried}
        worst = max(losses, key=lambda penalty: losses[penalty])
        sentences.append(
            f"Of {len(losses)} penalties on its weights {probe.penalty:g} had the lowest log loss "
            f"on {probe.judged_by}: {score(losses[probe.penalty])}, against "
            f"{score(losses[worst])} with {worst:g}."
        )
    if probe.fine_tune_epochs:
        sentences.append(
            f"Then all weights were trained for {counted(probe.fine_tune_epochs, 'epoch')}, lower "
            "layers with lower learning rates; that is epoch 2 and what follows."
        )
    else:
        sentences.append("The backbone's own weights stayed as they were.")
    return sentences
