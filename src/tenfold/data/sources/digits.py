"""scikit-learn's bundled handwritten digits: real images with nothing to download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tenfold.core.errors import DataError
from tenfold.core.files import sha256_of_json
from tenfold.core.progress import Progress
from tenfold.data.dataset import ImageDataset, ImageSplit
from tenfold.data.sources.source import Source, SourceOptions

_PLACE = "scikit-learn (sklearn.datasets.load_digits)"
_BRIGHTEST = 16  # Each pixel counts the dark ones of a 4 × 4 block of the scan.
_SIDE_PX = 8


class DigitsSource:
    """1,797 handwritten digits, 8 × 8 px, gray, split by us."""

    name = "digits"
    needs_path = False
    summary = (
        "scikit-learn's digits: 1,797 gray images of handwritten digits, 8 × 8 px; nothing to "
        "download"
    )

    def recognises(self, path: Path) -> bool:
        """Say no: the digits have no files of their own."""
        del path
        return False

    def available(self) -> str | None:
        """Say that they come with scikit-learn."""
        return _PLACE

    def fingerprint(self, path: Path | None) -> str:
        """Give a digest of scikit-learn's version: the data are part of it."""
        del path
        import sklearn

        return sha256_of_json(["digits", sklearn.__version__])

    def load(self, path: Path | None, options: SourceOptions, progress: Progress) -> ImageDataset:
        """Read the digits, brightness 0 to 16 scaled to 0 to 255, and split them.

        Raises
        ------
        DataError
            If a path is given.
        """
        del progress
        if path is not None:
            raise DataError(
                f"The digits come with scikit-learn, not from {path}. Leave the path out."
            )
        from sklearn.datasets import load_digits

        from tenfold.data.images.pillow import resize_images
        from tenfold.data.splits import stratified_split

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / _BRIGHTEST)).astype(np.uint8)[..., np.newaxis]
        labels = bunch.target.astype(np.int64)
        resized = options.image_size_px not in (None, _SIDE_PX)
        if options.image_size_px is not None and resized:
            images = resize_images(images, options.image_size_px)
        rng = np.random.default_rng(options.seed)
        train, test = stratified_split(labels, options.test_fraction, rng)
        return ImageDataset(
            source=self.name,
            location=_PLACE,
            title="Handwritten digits",
            description=(
                "Digits written by 43 people, scanned and reduced to 8 × 8 px (Alpaydin and "
                "Kaynak, 1998, Optical Recognition of Handwritten Digits, UCI repository)."
            ),
            classes=tuple(str(digit) for digit in range(10)),
            train=ImageSplit(images[train], labels[train]),
            test=ImageSplit(images[test], labels[test]),
            split_note=options.split_note("of each class"),
            resized=len(images) if resized else 0,
            notes=(
                "The images of one writer may be in both splits, so accuracy on a new writer's "
                "digits may be lower.",
            ),
        )


SOURCE: Source = DigitsSource()
