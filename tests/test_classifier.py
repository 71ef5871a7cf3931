"""The scikit-learn estimator: real images in, labels out, and every mistake answered."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import torch
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_digits
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from tenfold.classifier import ImageClassifier, load
from tenfold.core.errors import DataError, ImageShapeError, SettingsError, UnknownNameError
from tenfold.core.settings import DEFAULT_RECIPE
from tenfold.data.dataset import Images
from tenfold.study.recipe import load_recipe
from tenfold.training import device

TINY: dict[str, Any] = {
    "model": "cnn",
    "model_settings": {"conv_layers": 1, "filters": [8], "units": 16, "conv_dropout": 0.0},
    "optimizer": "adam",
    "schedule": "constant",
    "label_smoothing": 0.0,
    "augmentation": "none",
    "epochs": 2,
    "least_steps": 0,
    "batch_size": 16,
    "learning_rate": 0.01,
    "validation_fraction": 0.0,
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute on one thread: threads that wait for each other take longer than such networks."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(device, "available_cores", lambda: 1)
    yield
    torch.set_num_threads(threads)


def tiny(**parameters: Any) -> ImageClassifier:
    return ImageClassifier(**{**TINY, **parameters})


@pytest.fixture(scope="module")
def digits() -> tuple[Images, npt.NDArray[np.int64]]:
    """Give 300 digits of 8×8 pixels, and what they show."""
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels[:300].reshape(-1, 8, 8, 1) * 255 / 16).round().astype(np.uint8)
    return images, labels[:300]


@pytest.fixture
def easy() -> tuple[Images, npt.NDArray[np.str_]]:
    """Give 30 images of 6×6 pixels: of a dark and of a bright half."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (30, 6, 6, 3), dtype=np.uint8)
    images[::2, :3] += 150
    return images, np.where(np.arange(30) % 2 == 0, "top", "bottom")


def test_a_fit_promises_sets_and_knows_the_unlike(
    digits: tuple[Images, npt.NDArray[np.int64]], tmp_path: Path
) -> None:
    images, labels = digits
    classifier = tiny(epochs=4, validation_fraction=0.3).fit(images[:200], labels[:200])
    members = classifier.predict_set(images[200:])
    assert members[np.arange(100), labels[200:]].mean() > 0.85
    guarantees = classifier.model_record_.guarantees
    assert guarantees is not None
    assert guarantees.unlike is not None
    assert guarantees.unlike.held_out_count == 60
    scores = classifier.unlikeness(images[200:])
    assert (scores > guarantees.unlike.threshold).mean() < 0.3
    classifier.save(tmp_path / "model")
    again = load(tmp_path / "model", device="cpu")
    np.testing.assert_allclose(again.unlikeness(images[200:]), scores, atol=1e-5)
    np.testing.assert_array_equal(again.predict_set(images[200:]), members)


def test_digits_are_learned(digits: tuple[Images, npt.NDArray[np.int64]]) -> None:
    images, labels = digits
    classifier = tiny(epochs=8).fit(images[:200], labels[:200])
    assert classifier.score(images[200:], labels[200:]) > 0.75
    np.testing.assert_array_equal(classifier.classes_, np.arange(10))
    assert classifier.image_shape_ == (8, 8, 1)
    assert classifier.n_features_in_ == 64
    assert [record.epoch for record in classifier.history_] == list(range(1, 9))


def test_the_default_network_learns_digits(digits: tuple[Images, npt.NDArray[np.int64]]) -> None:
    images, labels = digits
    classifier = ImageClassifier(
        batch_size=50, least_steps=120, mirror_keeps_class=False, random_state=0
    )
    assert classifier.fit(images[:200], labels[:200]).score(images[200:], labels[200:]) > 0.75


def test_the_defaults_are_the_default_recipe_s() -> None:
    recipe = load_recipe(DEFAULT_RECIPE)
    parameters = ImageClassifier().get_params()
    trained = recipe.training.plain()
    of_training = (parameters.keys() & trained.keys()) - {"low_resolution_share"}
    assert len(of_training) > 20
    assert {n: parameters[n] for n in of_training} == {n: trained[n] for n in of_training}
    assert parameters["model"] == recipe.model.name


def test_its_default_network_and_training_are_the_default_recipe_s(
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    recipe = load_recipe(DEFAULT_RECIPE)
    short: dict[str, Any] = {"epochs": 1, "least_steps": 0, "random_state": 0}
    record = ImageClassifier(**short, mirror_keeps_class=True).fit(*easy).model_record_
    asked = recipe.with_changes({"training.epochs": 1, "training.least_steps": 0})
    assert record.model_settings == asked.model.settings
    assert record.training == asked.training.result_settings()


def test_a_model_for_one_image_size_is_trained_at_that_size(
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    record = tiny().fit(*easy).model_record_
    assert record.training["low_resolution_share"] == 0
    with pytest.raises(SettingsError, match="takes images of one size only"):
        tiny(low_resolution_share=0.5).fit(*easy)


def test_one_image_a_class_is_trained_on_without_validation() -> None:
    images = np.zeros((2, 6, 6, 1), np.uint8)
    images[1] = 250
    classifier = tiny(validation_fraction=0.1, early_stopping_patience=3)
    with pytest.warns(UserWarning, match="one training image, so none was held out"):
        classifier.fit(images, ["dark", "bright"])
    assert classifier.temperature_ is None
    assert classifier.score(images, ["dark", "bright"]) >= 0.5


def test_a_time_budget_chooses_the_size(digits: tuple[Images, npt.NDArray[np.int64]]) -> None:
    classifier = ImageClassifier(budget="1s", mirror_keeps_class=False, random_state=0)
    classifier.fit(*digits)
    assert classifier.budget_ is not None
    assert classifier.budget_.seconds == 1
    assert classifier.budget_.size is not None
    widths = classifier.budget_.model_settings["widths"]
    assert classifier.model_record_.model_settings["widths"] == widths


@pytest.mark.parametrize("budget", ["soon", 0, "-1m"])
def test_a_budget_that_is_no_time_is_refused(
    budget: str | float, easy: tuple[Images, npt.NDArray[np.str_]]
) -> None:
    with pytest.raises(SettingsError, match="is not a span of time"):
        tiny(budget=budget).fit(*easy)


def test_probabilities_belong_to_the_sorted_labels(
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    images, names = easy
    classifier = tiny(epochs=6).fit(images, names)
    assert classifier.classes_.tolist() == ["bottom", "top"]
    probabilities = classifier.predict_proba(images)
    assert probabilities.shape == (30, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    predicted = classifier.predict(images)
    np.testing.assert_array_equal(predicted, classifier.classes_[probabilities.argmax(1)])
    assert classifier.score(images, names) == np.mean(predicted == names) == 1.0


@pytest.mark.parametrize(
    "labels",
    [["b", "a", "c"], [7, -1, 3], [0.0, 1.0, 5.0], [True, False, True]],
    ids=["text", "whole numbers", "float", "bool"],
)
def test_labels_of_any_type_come_back(labels: list[Any]) -> None:
    images = np.zeros((9, 6, 6, 1), np.uint8)
    images[1::3], images[2::3] = 120, 250
    y = np.array(labels * 3)
    classifier = tiny(epochs=1).fit(images, y)
    predicted = classifier.predict(images)
    assert predicted.dtype == y.dtype
    assert set(predicted.tolist()) <= set(labels)


def test_gray_images_need_no_channel_axis(digits: tuple[Images, npt.NDArray[np.int64]]) -> None:
    images, labels = digits
    flat = tiny().fit(images[:60, :, :, 0], labels[:60])
    full = tiny().fit(images[:60], labels[:60])
    np.testing.assert_array_equal(
        flat.predict_proba(images[60:70, :, :, 0]), full.predict_proba(images[60:70])
    )


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.int16])
def test_whole_numbers_of_other_types_are_pixels_too(
    kind: type[np.number[Any]], easy: tuple[Images, npt.NDArray[np.str_]]
) -> None:
    images, names = easy
    expected = tiny().fit(images, names).predict_proba(images)
    ours = tiny().fit(images.astype(kind), names).predict_proba(images.astype(kind))
    np.testing.assert_array_equal(ours, expected)


def test_lists_maps_and_views_are_arrays(
    easy: tuple[Images, npt.NDArray[np.str_]], tmp_path: Path
) -> None:
    images, names = easy
    expected = tiny().fit(images, names).predict_proba(images)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    reversed_view = np.ascontiguousarray(images[::-1, :, ::-1])[::-1, :, ::-1]
    for same in (images.tolist(), mapped, np.asfortranarray(images), reversed_view):
        classifier = tiny().fit(same, names.tolist())
        np.testing.assert_array_equal(classifier.predict_proba(same), expected)


def test_what_people_hand_over_is_fitted_predicted_and_scored(
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    images, names = easy
    backwards = np.ascontiguousarray(images[::-1, :, ::-1])[::-1, :, ::-1]
    fitted = tiny(epochs=6).fit(backwards, names)
    expected = fitted.predict_proba(images)
    pictures = [PIL.Image.fromarray(image) for image in images]
    gradients = torch.from_numpy(images).float().requires_grad_()
    for same in (pictures, gradients):
        classifier = tiny(epochs=6).fit(same, list(names))
        np.testing.assert_array_equal(classifier.predict_proba(backwards), expected)
        assert classifier.score(same, tuple(names), sample_weight=np.ones(30)) == 1.0


def test_prediction_and_score_refuse_with_advice_too(
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    images, names = easy
    classifier = tiny(epochs=1).fit(images, names)
    with pytest.raises(DataError, match=r"Write: X = X\[None\]$"):
        classifier.predict(images[0])
    with pytest.raises(DataError, match=r"X\.reshape\(-1, 6, 6, 3\)"):
        classifier.predict_proba(images.reshape(30, -1))
    with pytest.raises(DataError, match=r"X\.transpose\(0, 2, 3, 1\)$"):
        classifier.score(images.transpose(0, 3, 1, 2), names)
    with pytest.raises(DataError, match=r"labels such as 0, but .* labels such as 'bottom'"):
        classifier.score(images, np.arange(30))
    with pytest.raises(DataError, match="30 images, 29 labels"):
        classifier.score(images, names[1:])
    assert classifier.score(images, ["never seen"] * 30) == 0


def test_the_seed_decides(easy: tuple[Images, npt.NDArray[np.str_]]) -> None:
    images, names = easy

    def fit(random_state: Any) -> npt.NDArray[np.float32]:
        classifier = tiny(random_state=random_state, augmentation="crop-flip")
        return classifier.fit(images, names).predict_proba(images)

    first = fit(3)
    np.testing.assert_array_equal(fit(3), first)
    np.testing.assert_array_equal(fit(np.int64(3)), first)
    np.testing.assert_array_equal(fit(np.random.RandomState(3)), fit(np.random.RandomState(3)))
    assert not np.array_equal(fit(4), first)
    assert not np.array_equal(fit(None), fit(None))


@pytest.mark.parametrize("random_state", ["zero", -1, 1.5, np.random.default_rng(0)])
def test_a_seed_that_is_none_is_refused(
    random_state: Any, easy: tuple[Images, npt.NDArray[np.str_]]
) -> None:
    with pytest.raises(SettingsError, match="random_state must be a whole number of at least 0"):
        tiny(random_state=random_state).fit(*easy)


def test_clone_keeps_parameters_and_forgets_the_fit(
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    classifier = tiny(epochs=1, weight_decay=0.1).fit(*easy)
    copy = clone(classifier)
    assert copy.get_params() == classifier.get_params()
    assert is_classifier(copy)
    with pytest.raises(NotFittedError, match="This ImageClassifier instance is not fitted yet"):
        copy.predict(easy[0])


def test_a_fitted_classifier_survives_pickling(
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    classifier = tiny(epochs=1).fit(*easy)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(easy[0]), classifier.predict_proba(easy[0]))


def test_fitting_again_begins_anew(easy: tuple[Images, npt.NDArray[np.str_]]) -> None:
    images, names = easy
    expected = tiny().fit(images, names).predict_proba(images)
    classifier = tiny().fit(images[:, :4, :4, :1], np.arange(30) % 3)
    again = classifier.fit(images, names).predict_proba(images)
    np.testing.assert_array_equal(again, expected)


def test_an_image_is_judged_alone(easy: tuple[Images, npt.NDArray[np.str_]]) -> None:
    images, names = easy
    classifier = tiny().fit(images, names)
    whole = classifier.predict_proba(images)
    order = np.random.default_rng(1).permutation(30)
    np.testing.assert_allclose(classifier.predict_proba(images[order]), whole[order], atol=1e-6)
    np.testing.assert_allclose(classifier.predict_proba(images[:1]), whole[:1], atol=1e-6)


def test_cross_validation(easy: tuple[Images, npt.NDArray[np.str_]]) -> None:
    scores = cross_val_score(tiny(epochs=6), *easy, cv=3, error_score="raise")
    assert scores.shape == (3,)
    assert scores.mean() > 0.8


def test_grid_search(easy: tuple[Images, npt.NDArray[np.str_]]) -> None:
    # NumPy's numbers, as ranges and random searches give them.
    grid = {"epochs": np.array([1, 6]), "learning_rate": np.array([1e-6, 1e-2], np.float32)}
    search = GridSearchCV(tiny(), grid, cv=2, error_score="raise").fit(*easy)
    assert search.best_params_ == {"epochs": 6, "learning_rate": np.float32(1e-2)}
    assert search.best_estimator_.score(*easy) == 1.0


def test_it_is_the_last_step_of_a_pipeline(easy: tuple[Images, npt.NDArray[np.str_]]) -> None:
    pipeline = make_pipeline("passthrough", tiny())
    pipeline.set_params(imageclassifier__epochs=1)
    assert pipeline.fit(*easy).predict(easy[0]).shape == (30,)


def test_validation_images_are_watched_and_choose_the_best_weights(
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    classifier = tiny(validation_fraction=0.2, weights="best").fit(*easy)
    assert all(record.validation_accuracy is not None for record in classifier.history_)
    assert tiny().fit(*easy).history_[0].validation_accuracy is None


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (np.zeros((6, 36)), r"received shape \(6, 36\)\. Reshape your data"),
        (np.zeros((6, 4, 4, 2)), r"with 1 or 3 channels, .* received shape \(6, 4, 4, 2\)"),
        (np.zeros((6, 3, 4, 4)), r"Expected images of shape \(N, height, width, channels\)"),
        (np.zeros((0, 4, 4, 3)), r"at least one; received shape \(0, 4, 4, 3\)"),
        (np.zeros((6, 0, 4, 3)), r"received shape \(6, 0, 4, 3\)"),
        (np.zeros(6), r"received shape \(6,\)"),
        (np.float64(3), r"received shape \(\)"),
        (sparse.csr_array((6, 36)), r"received shape \(6, 36\)"),
        (np.full((6, 4, 4, 1), 0.5), r"received values from 0\.5 to 0\.5 of type float64"),
        (np.full((6, 4, 4, 1), -1), r"received values from -1 to -1 of type int64"),
        (np.full((6, 4, 4, 1), 256), r"received values from 256 to 256 of type int64"),
        (np.full((6, 4, 4, 1), np.nan), r"Expected whole numbers .* 6 of 6 images contain NaN"),
        (np.full((6, 4, 4, 1), np.inf), r"Expected whole numbers .* images contain infinity"),
        (np.full((6, 4, 4, 1), 1j), "Expected images of numbers from 0 to 255, received complex"),
        (np.full((6, 4, 4, 1), "1"), "Expected images of numbers from 0 to 255, received <U1"),
        (np.full((6, 4, 4, 1), None), "Expected images of numbers .* received object"),
        (np.full((6, 4, 4, 1), True), "Expected images of numbers .* received bool"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_what_are_no_images_is_refused(images: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        tiny().fit(images, np.arange(6) % 2)


def test_images_from_zero_to_one_are_refused_with_the_remedy() -> None:
    images = np.linspace(0, 1, 6 * 16).reshape(6, 4, 4, 1)
    with pytest.raises(DataError) as caught:
        tiny().fit(images, np.arange(6) % 2)
    assert str(caught.value) == (
        "Expected whole numbers from 0 to 255 (uint8), received values from 0 to 1 of type "
        "float64. Scale them, if they are from 0 to 1. Write: "
        "X = (X * 255).round().astype('uint8')"
    )
    tiny(epochs=1).fit((images * 255).round().astype("uint8"), np.arange(6) % 2)


@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        (None, DataError, "requires y to be passed, but the target y is None"),
        (np.zeros(30), DataError, r"show one class only \(.*0\.0\)*. A classifier needs two"),
        (np.arange(29) % 2, DataError, "one label an image: 30 images, 29 labels"),
        (np.linspace(0, 1, 30), ValueError, "Unknown label type: continuous"),
        (np.zeros((30, 2), int), ValueError, "y should be a 1d array"),
        (np.r_[np.nan, np.arange(29.0) % 2], DataError, "Input y contains NaN or infinity"),
        (np.array([None, "a"] * 15), DataError, "or None: 15 labels are missing, the first .* 0"),
        (np.array([1, "a"] * 15, dtype=object), DataError, "Unknown label type: int, str"),
    ],
)
def test_what_are_no_labels_is_refused(
    labels: Any,
    error: type[Exception],
    text: str,
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    with pytest.raises(error, match=text):
        tiny().fit(easy[0], labels)


def test_a_column_of_labels_is_taken_with_a_warning(
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        tiny(epochs=1).fit(easy[0], easy[1][:, None])


@pytest.mark.parametrize("shape", [(2, 6, 6, 1), (2, 6, 5, 3), (2, 12, 12, 3)])
def test_images_of_another_shape_are_not_predicted(
    shape: tuple[int, ...], easy: tuple[Images, npt.NDArray[np.str_]]
) -> None:
    classifier = tiny(epochs=1).fit(*easy)
    with pytest.raises(ImageShapeError) as caught:
        classifier.predict(np.zeros(shape, np.uint8))
    assert str(caught.value) == (
        f"X has images of shape {shape[1:]}, but ImageClassifier was fitted to images of shape "
        "(6, 6, 3) (height, width, channels)."
    )


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_an_unfitted_classifier_says_so(method: str) -> None:
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(tiny(), method)(np.zeros((1, 6, 6, 3), np.uint8))


@pytest.mark.parametrize(
    ("parameters", "error", "text"),
    [
        ({"epochs": 0}, SettingsError, "'epochs' is not valid: .* greater than or equal to 1"),
        ({"optimizer": "adm"}, SettingsError, "'optimizer' is not valid: .*got 'adm'"),
        ({"precision": "half"}, SettingsError, "'precision' is not valid"),
        ({"model": "cnm"}, UnknownNameError, "no model named 'cnm'. Did you mean 'cnn'"),
        ({"augmentation": "crop"}, UnknownNameError, "no augmentation policy named 'crop'"),
        ({"device": "gpu"}, UnknownNameError, "no device named 'gpu'"),
        ({"validation_fraction": 0.95}, SettingsError, "'validation_fraction' is not valid"),
    ],
    ids=str,
)
def test_wrong_parameters_are_refused_by_fit_not_by_init(
    parameters: dict[str, Any],
    error: type[Exception],
    text: str,
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    classifier = tiny(**parameters)
    with pytest.raises(error, match=text):
        classifier.fit(*easy)


@pytest.mark.parametrize("mirror_keeps_class", [True, False])
def test_mirror_images_get_one_answer_where_they_keep_their_class(
    mirror_keeps_class: bool,
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    classifier = ImageClassifier(
        model_settings={"widths": [4, 4, 4]},
        epochs=1,
        batch_size=4,
        precision="float32",
        mirror_keeps_class=mirror_keeps_class,
        random_state=0,
    ).fit(images, np.arange(12) % 2)
    seen, of_mirrored = (classifier.predict_proba(view) for view in (images, images[:, :, ::-1]))
    assert np.allclose(seen, of_mirrored, atol=1e-5) == mirror_keeps_class


@pytest.mark.parametrize("budget", [None, "1s"])
def test_classes_that_mirror_each_other_are_told_apart(budget: str | None) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 40, (60, 8, 8, 1), dtype=np.uint8)
    images[:, :, :3] += 150
    images[::2] = images[::2, :, ::-1]
    labels = np.where(np.arange(60) % 2, "ant", "bee")
    settings = {"model_settings": {"widths": [4, 4, 4]}, "random_state": 0}
    classifier = ImageClassifier(epochs=4, batch_size=10, budget=budget, **settings)
    classifier.fit(images, labels)
    assert classifier.mirror_keeps_class_ is False
    assert classifier.mirroring_ is not None
    assert classifier.mirroring_.pairs == (("ant", "bee"),)
    assert not classifier.model_record_.mirror_keeps_class
    assert classifier.score(images, labels) > 0.9


def test_what_is_said_of_mirroring_is_not_measured(
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    classifier = tiny(mirror_keeps_class=True).fit(*easy)
    assert (classifier.mirror_keeps_class_, classifier.mirroring_) == (True, None)
    with pytest.raises(SettingsError, match="mirror_keeps_class must be True, False or 'auto'"):
        tiny(mirror_keeps_class="maybe").fit(*easy)


def test_wrong_model_settings_suggest_the_near_ones(
    easy: tuple[Images, npt.NDArray[np.str_]],
) -> None:
    classifier = tiny().set_params(model_settings={"unit": 3})
    with pytest.raises(SettingsError, match=r"Did you mean 'model\.units'"):
        classifier.fit(*easy)


def test_too_small_images_are_refused() -> None:
    with pytest.raises(ImageShapeError, match="Images of 3×3 pixels are too small"):
        tiny().fit(np.zeros((6, 3, 3, 1), np.uint8), np.arange(6) % 2)


@pytest.mark.parametrize("wrong", [{"model": None}, {"model": 3}, {"model_settings": [1]}])
def test_a_model_that_is_no_name_is_a_sentence(wrong: dict[str, Any]) -> None:
    images = np.zeros((4, 8, 8, 1), np.uint8)
    with pytest.raises(SettingsError, match="must be"):
        ImageClassifier(**wrong).fit(images, [0, 1, 0, 1])
