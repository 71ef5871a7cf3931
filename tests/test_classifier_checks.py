"""scikit-learn's own estimator checks, with a reason beside each that cannot hold.

The checks give rows of features, shape (N, F), and expect them to be taken. Images have three or
four dimensions, and the estimator's tags say so, whereupon scikit-learn leaves out nearly all of
its checks. So they run in three ways:

- as scikit-learn would run them (`test_checks_for_images`);
- all of them on `ImageClassifier` with the tag that admits rows: what needs no images passes, and
  the rest fails at the shape, each for the reason in `NEEDS_IMAGES`;
- all of them on `RowClassifier`, which makes an image of every row: nothing is expected to fail.
  Its validation of rows is scikit-learn's (`validate_data`), so what the checks say about the
  refusal of odd *rows* says nothing of `ImageClassifier`; `test_classifier.py` has the same
  questions for images.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from tenfold.classifier import ImageClassifier
from tenfold.data.dataset import Images
from tenfold.training import device

TINY: dict[str, Any] = {
    "model": "cnn",
    "optimizer": "adam",
    "schedule": "constant",
    "label_smoothing": 0.0,
    "augmentation": "none",
    # A 1×1 kernel and images of doubled pixels: the network sees each feature by itself.
    "model_settings": {
        "conv_layers": 1,
        "filters": (8,),
        "kernel_size": 1,
        "units": 16,
        "conv_dropout": 0.0,
        "dense_dropout": 0.0,
    },
    "epochs": 5,
    "least_steps": 0,
    "batch_size": 16,
    "learning_rate": 0.01,
    "device": "cpu",
    "random_state": 0,
}


class UnadaptedClassifier(ImageClassifier):
    """The estimator itself, with the tag without which most checks are left out."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags

    def __str__(self) -> str:
        return type(self).__name__  # short names of tests


class RowClassifier(UnadaptedClassifier):
    """Takes rows of numbers: each becomes an image of twice as many pixels by two."""

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> Self:
        rows, labels = validate_data(self, X, y, dtype=np.float64)
        self.low_, self.high_ = rows.min(0), rows.max(0)
        feature_count = self.n_features_in_
        super().fit(self._images(rows), labels)
        self.n_features_in_ = feature_count
        return self

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        return super().predict_proba(self._images(rows))

    def _images(self, rows: npt.NDArray[np.float64]) -> Images:
        span = np.where(self.high_ > self.low_, self.high_ - self.low_, 1)
        shares = np.clip((rows - self.low_) / span, 0, 1)
        pixels = (shares * 255).round().astype(np.uint8)
        images: Images = pixels[:, :, None, None].repeat(2, axis=1).repeat(2, axis=2)
        return images


_FITS = "fits rows of shape (N, F); images are refused by any other shape than theirs"
_SHAPE_FIRST = "expects a message about {}; rows are refused by their shape before that is seen"

NEEDS_IMAGES: dict[str, str] = {
    **dict.fromkeys(
        [
            "check_classifier_data_not_an_array",
            "check_classifiers_classes",
            "check_classifiers_train",
            "check_dict_unchanged",
            "check_dont_overwrite_parameters",
            "check_dtype_object",
            "check_estimators_dtypes",
            "check_estimators_fit_returns_self",
            "check_estimators_overwrite_params",
            "check_estimators_pickle",
            "check_f_contiguous_array_estimator",
            "check_fit2d_predict1d",
            "check_fit_check_is_fitted",
            "check_fit_idempotent",
            "check_fit_score_takes_y",
            "check_methods_sample_order_invariance",
            "check_methods_subset_invariance",
            "check_n_features_in",
            "check_n_features_in_after_fitting",
            "check_pipeline_consistency",
            "check_readonly_memmap_input",
            "check_supervised_y_2d",
        ],
        _FITS,
    ),
    "check_positive_only_tag_during_fit": "fits negative numbers; pixels are 0 to 255",
    "check_classifiers_one_label": _SHAPE_FIRST.format("the one class"),
    "check_classifiers_regression_target": _SHAPE_FIRST.format("labels that are no classes"),
    "check_complex_data": _SHAPE_FIRST.format("complex numbers"),
    "check_estimators_empty_data_messages": _SHAPE_FIRST.format("0 features"),
    "check_estimators_nan_inf": _SHAPE_FIRST.format("NaN and infinity"),
    "check_fit2d_1feature": _SHAPE_FIRST.format("a single feature"),
    "check_fit2d_1sample": _SHAPE_FIRST.format("a single sample"),
    "check_requires_y_none": _SHAPE_FIRST.format("the missing y"),
}

Check = Callable[[Any], None]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute on one thread: threads that wait for each other take longer than such networks."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(device, "available_cores", lambda: 1)
    yield
    torch.set_num_threads(threads)


def _checks_for_images() -> list[Any]:
    with warnings.catch_warnings():
        # "Can't test estimator which requires input of type three_d_array": that is known.
        warnings.simplefilter("ignore", SkipTestWarning)
        return list(estimator_checks_generator(ImageClassifier(**TINY)))


@pytest.mark.parametrize(("estimator", "check"), _checks_for_images())
def test_checks_for_images(estimator: ImageClassifier, check: Check) -> None:
    check(estimator)


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [UnadaptedClassifier(**TINY)],
    expected_failed_checks=lambda _: NEEDS_IMAGES,
    xfail_strict=True,
)
def test_checks_without_an_adapter(estimator: ImageClassifier, check: Check) -> None:
    check(estimator)


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [RowClassifier(**TINY)]
)
def test_checks_on_rows(estimator: RowClassifier, check: Check) -> None:
    check(estimator)
