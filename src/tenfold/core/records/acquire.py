"""What the acquire stage found out about the data set."""

from __future__ import annotations

from tenfold.core.records.mirroring import MirrorRecord
from tenfold.core.records.record import Record
from tenfold.core.records.value_range import BEFORE_THEY_WERE_FOUND, ValueRanges


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


class AcquireRecord(Record):
    """The data set as it lies in the run folder.

    The arrays are beside this record, see `tenfold.data.split_files`: ``train_images.npy`` (uint8,
    N×H×W×C), ``train_labels.npy`` (int64, N) and the same for ``test``. Only the evaluate and the
    audit stage open the test files. Counts and hashes are of the splits with corrections applied.
    """

    source: str
    """Name of the source: cifar10, digits, folder."""
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

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Give height, width and channels of every image."""
        return (*self.image_size_px, self.channels)
