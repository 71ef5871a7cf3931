"""What the explore stage measured on the training split."""

from __future__ import annotations

from tenfold.core.records.record import Record


class ClassStatistics(Record):
    """Pixel statistics of one class, over all its pixels and channels, on the scale 0 to 1."""

    name: str
    count: int
    mean: float
    standard_deviation: float


class ExploreRecord(Record):
    """Statistics of the training split (Table 1 of the report).

    Beside this record: ``samples.npz`` with ``images`` (uint8, classes × samples × H × W × C; the
    samples of class k in row k, zero-filled where a class has fewer) and ``counts`` (int64,
    classes), drawn with the study's seed (Figure 2); and ``augmented.npz`` with ``original``
    (uint8, H×W×C) and ``images`` (uint8, samples × H × W × C): one training image under the
    study's augmentation policy.
    """

    classes: tuple[ClassStatistics, ...]
    channel_names: tuple[str, ...]
    channel_means: tuple[float, ...]
    """Mean of each channel over the split, on the scale 0 to 1."""
    channel_standard_deviations: tuple[float, ...]
    augmentation: str
    """Name of the augmentation policy that ``augmented.npz`` shows."""
    augmentation_description: str
    """The policy in one sentence, with its ranges."""
    seconds: float
