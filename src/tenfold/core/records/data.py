"""What acquire, explore and audit found in the data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from tenfold.core.record import Record


class LeftOutImage(Record):
    """An image that could not be read."""

    path: str
    reason: str


class SplitCorrections(Record):
    """How many images of a split a person corrected."""

    relabelled: int
    dropped: int


class CorrectionsRecord(Record):
    """What a corrections file changed."""

    file: str
    """Its name; its content is the run folder's ``corrections.csv``."""
    lines: int
    """Images that it names, those to keep included."""
    train: SplitCorrections
    test: SplitCorrections


MirrorSetting = bool | Literal["auto"]
"""``auto``: measured; True or False: whether a mirrored image still shows its class."""


class MirrorRecord(Record):
    """What a small classifier made of training images and of their mirror images.

    The accuracies are of images that it had not learned from.
    """

    decided_by: Literal["measurement", "names", "default", "setting"]
    """By what was measured; by the classes' names or the default, where that leaves a doubt; or
    by the user."""
    measured: bool | None
    """What the measurement says of it; None where it leaves a doubt."""
    images: int
    """Training images that were tried."""
    plain_accuracy: float
    mirrored_accuracy: float
    """On the mirror images, with the labels of the images."""
    taught_accuracy: float
    """On the images, of a classifier that learned from their mirror images too."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Classes that look like each other's mirror images."""


class ValueRange(Record):
    """The value that becomes 0 and the one that becomes 255; what lies outside is clipped."""

    low: float
    high: float

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError("the high value is not above the low one")
        return self


class ValueRanges(Record):
    """What a data set's training images really use, found once and the same ever after.

    How they are found: `tenfold.data.images.deep`.
    """

    integers: ValueRange | None = None
    """Of files with more than 8 bits; None where the training images have none. Then a file's own
    range counts: the fewest bits, at least 8, that hold its largest value."""
    fractions: ValueRange | None = None
    """Of files with floating point numbers; None where the training images have none, and then such
    a file cannot be read."""


FULL_16_BITS = ValueRange(low=0, high=65535)
BEFORE_THEY_WERE_FOUND = ValueRanges(integers=FULL_16_BITS)
"""How everything was read before ranges were recorded."""
NO_RANGES = ValueRanges()
"""Of images of 8 bits alone."""


class GroupingRecord(Record):
    """Which images belong together."""

    by: str
    """What they go by, in words."""
    is_found: bool
    """Whether tenfold found them itself."""
    groups: int
    """Of two or more images."""
    images: int
    """In these."""
    largest: int


class AcquireRecord(Record):
    """The data set as it lies in the run folder.

    The arrays are beside this record, see `tenfold.data.dataset`: ``train_images.npy`` (uint8,
    N×H×W×C), ``train_labels.npy`` (int64, N) and the same for ``test``. Only the evaluate and the
    audit stage open the test files. Counts and hashes are of the splits with corrections applied.
    """

    source: str
    """Name of the source: cifar10, folder, table, ..."""
    location: str
    """Where the files were read from: a path, or a package's name."""
    title: str
    """The data set's name for people, for example "CIFAR-10"."""
    description: str
    """One or two sentences: what the images show, where they come from."""
    classes: tuple[str, ...]
    """Class names; a label is an index into them."""
    image_size_px: tuple[int, int]
    """Height and width of every image."""
    channels: int
    train_counts: tuple[int, ...]
    """Training images of each class."""
    test_counts: tuple[int, ...]
    """Test images of each class."""
    split_note: str
    """How the test split came about: the official one, or made by us and how."""
    mirror_keeps_class: bool
    """Whether a mirrored image still shows its class (false for digits and letters)."""
    resized: int
    """How many images had another size and were resized."""
    left_out: tuple[LeftOutImage, ...]
    notes: tuple[str, ...]
    """Sentences that a reader of the report should know about these data."""
    train_sha256: str
    test_sha256: str
    """SHA-256 of each split's images and labels."""
    mirroring: MirrorRecord | None = None
    """How `mirror_keeps_class` was decided; None in records of before it was measured."""
    corrections: CorrectionsRecord | None = None
    """None where the labels are the source's own."""
    validation_count: int = 0
    """Training images that the data set itself sets aside to validate by."""
    value_ranges: ValueRanges = BEFORE_THEY_WERE_FOUND
    """What files of more than 8 bits were scaled by, and every later image is."""
    grouping: GroupingRecord | None = None
    """None where nothing says what belongs together, and nothing was found."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Give height, width and channels of every image."""
        return (*self.image_size_px, self.channels)


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
    """From which on a pair counted: the setting, or more where different images agree well."""
    candidates: int
    """Pairs that were compared pixel by pixel."""
    left_out: int = 0
    """Further pairs that were not, as the audit would have taken longer than in proportion."""
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
    alike: int = 0
    """Pairs that look alike without being the same shot for sure; nothing else counts them."""
    alike_across: int = 0
    """Of these, a test image and a training image."""
    shown_alike: tuple[DuplicatePair, ...] = ()
    """Those that the page shows, the most alike first."""


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
