"""What the audit found: labels that look wrong, duplicates, leaks, and scores without the leaks."""

from __future__ import annotations

from typing import Literal

from tenfold.core.records.record import Record

SHOWN_ISSUES = 32
"""Issues of each split whose images come with the record: four rows of the page."""


class LabelIssue(Record):
    """One image whose label looks wrong."""

    id: str
    """The split and the image's place in it as the source gave it, for example ``train/17``."""
    given: int
    """The label, an index into the classes."""
    suggested: int
    score: float
    """Probability of the given class, if there were only it and the most probable other class:
    from 0 (surely wrong) over 0.5 (either) to 1."""


class LabelAudit(Record):
    """The labels of one split."""

    split: Literal["train", "test"]
    probabilities: str
    """Where the predictions came from, for people."""
    images: int
    flagged: int
    """Images that the confident joint counts to another class than their label's."""
    issues: tuple[LabelIssue, ...]
    """The most suspicious first."""


class DuplicateCounts(Record):
    """Pairs of near-duplicates between two splits, or within one."""

    exact: int
    """The same pixels."""
    near: int
    """Not the same pixels, but the same shot."""
    other_label: int
    """Exact or near, with different labels: one of the two is wrong."""


class DuplicatePair(Record):
    """Two images that show the same shot."""

    first: str
    """Identifier, as in the label issues."""
    second: str
    first_label: int
    second_label: int
    agreement: float
    """How well the edges fit each other after the images are laid over each other; 1: equal."""
    is_exact: bool
    is_mirrored: bool


class DuplicateAudit(Record):
    """Near-duplicates of all images of both splits."""

    least_agreement: float
    """From which on a pair counts."""
    candidates: int
    """Pairs that were compared pixel by pixel."""
    within_train: DuplicateCounts
    within_test: DuplicateCounts
    across: DuplicateCounts
    """Leaks: a test image and a training image."""
    groups: int
    """Groups of two or more images."""
    images_in_groups: int
    leaked_test_images: int
    """Test images with a near-duplicate in the training split."""
    shown: tuple[DuplicatePair, ...]
    """Pairs that the page shows; ``duplicates.csv`` has all."""


class ScoresOn(Record):
    """Scores of the trained model on some of the test images, or under other labels."""

    images: int
    accuracy: float
    macro_f1: float


class TestScores(Record):
    """The trained model's scores, plain and without what makes them too good or too bad."""

    plain: ScoresOn
    """On the test split, with the study's corrections if there are any."""
    without_leaks: ScoresOn | None
    """On the test images without a near-duplicate in training; None if none is left."""
    leaks_only: ScoresOn | None
    """On the others; None if there are none."""


class AuditRecord(Record):
    """The audit of a data set.

    Beside this record: ``label_issues.csv``, to be edited and given to ``--corrections``;
    ``duplicates.csv``; and ``images.npz`` with ``ids`` (str, N) and ``images`` (uint8,
    N × H × W × C), those that the page shows.
    """

    labels: tuple[LabelAudit, ...]
    """One a split; training only if there are out-of-fold predictions."""
    duplicates: DuplicateAudit
    scores: TestScores
    seconds: float
