"""An image classifier as a scikit-learn estimator, trained as the studies train."""

from __future__ import annotations

import inspect
import time
import warnings
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from tenfold.core.errors import ImageShapeError, SettingsError
from tenfold.core.randomness import derive_seed, seed_from
from tenfold.core.records.data import MirrorRecord
from tenfold.core.records.training import ModelRecord
from tenfold.core.settings import DEFAULT_RECIPE, recipe_values
from tenfold.core.text import parse_duration
from tenfold.data.array_images import as_images
from tenfold.data.array_labels import encode_labels, labels_like, named_classes
from tenfold.data.dataset import ImageSplit
from tenfold.data.splits import exact_groups, possible_holdout
from tenfold.evaluation.guarantees import HeldOut, chosen_by_validation, validated_promises
from tenfold.evaluation.mirroring import MEASURED_IMAGES, MEASURED_IN_BUDGET, decide_mirroring
from tenfold.evaluation.unlike import UnlikeScore
from tenfold.models.model import MODELS, NetworkPlan
from tenfold.report.model_card import CardSources, model_card
from tenfold.training.device import Device, choose_device
from tenfold.training.fit import fit_network
from tenfold.training.inference import features_and_logits
from tenfold.training.loop import Trainer
from tenfold.training.model_folder import (
    PackagedModel,
    describe_arrays,
    describe_model,
    read_model_folder,
    save_model,
)
from tenfold.training.settings import TrainingSettings
from tenfold.training.temperature import (
    calibrated_probabilities,
    fit_temperature,
    predict_probabilities,
)

_RECIPE = recipe_values(DEFAULT_RECIPE)
_MODEL: str = _RECIPE["model"]["name"]
_DEFAULTS = TrainingSettings.parse(_RECIPE["training"], where="training")
"""The defaults of the estimator are the default recipe's."""


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Convolutional network for images, with scikit-learn's interface.

    The defaults are those of recipe ``fast`` (see ``tenfold recipes fast``), whatever the images: a
    search or a pipeline must not get another network for other folds. For photographs take
    ``model="pretrained"``.

    Parameters
    ----------
    model : str, default="fast"
        Name of the architecture.
    model_settings : dict, default=None
        The architecture's own settings. What is left out is the recipe's for its model, and another
        model's own default.
    budget : str or float, default=None
        Time for the training, for example ``"40s"``, ``"10m"`` or a number of seconds. The
        network's size, the batch size and the number of epochs are then chosen for it; None trains
        `epochs`.
    epochs, least_steps, batch_size, optimizer, learning_rate, momentum, weight_decay, schedule, \
plateau_factor, plateau_patience, averaging, ema_decay, swa_share, gradient_clip_norm, \
early_stopping_patience, label_smoothing, augmentation, rebalance, low_resolution_scale, \
normalization, validation_fraction, weights, precision
        See `tenfold.training.settings.TrainingSettings`.
    low_resolution_share : float, default=None
        The same; None takes the recipe's, and 0 for a model that takes images of one size only.
    mirror_keeps_class : bool or "auto", default="auto"
        Whether a mirrored image still shows its class, so that images may be mirrored; False for
        letters and arrows. ``"auto"`` measures it on the training images; in a `budget` on fewer,
        and the time counts.
    device : str, default="auto"
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    random_state : int, RandomState or None, default=None
        Seed of weights, order, augmentation and dropout; None draws one.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The labels that `fit` saw, sorted.
    image_shape_ : tuple of int
        Height, width and channels of the images that `fit` saw.
    n_features_in_ : int
        Their product.
    history_ : tuple of EpochRecord
        One record an epoch; empty for a model that was loaded.
    mirror_keeps_class_ : bool
        Whether images were taken to keep their class when they are mirrored.
    mirroring_ : MirrorRecord or None
        How that was decided; None where `mirror_keeps_class` says it.
    budget_ : BudgetRecord or None
        What the time budget chose.
    network_ : ImageNetwork
        The trained network, its normalisation inside.
    temperature_ : float or None
        Divides the logits before the softmax; fitted on the validation images, None without any.
    model_record_ : ModelRecord
        What is known about the model, as `save` writes it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from tenfold import ImageClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X = (X.reshape(-1, 8, 8, 1) * 255 / 16).astype("uint8")
    >>> classifier = ImageClassifier(epochs=5, mirror_keeps_class=False, random_state=0)
    >>> classifier.fit(X[:1500], y[:1500]).score(X[1500:], y[1500:]) > 0.8
    True
    """

    def __init__(
        self,
        model: str = _MODEL,
        *,
        model_settings: dict[str, Any] | None = None,
        budget: str | float | None = None,
        epochs: int = _DEFAULTS.epochs,
        least_steps: int = _DEFAULTS.least_steps,
        batch_size: int = _DEFAULTS.batch_size,
        optimizer: str = _DEFAULTS.optimizer,
        learning_rate: float | None = _DEFAULTS.learning_rate,
        momentum: float = _DEFAULTS.momentum,
        weight_decay: float = _DEFAULTS.weight_decay,
        schedule: str = _DEFAULTS.schedule,
        plateau_factor: float = _DEFAULTS.plateau_factor,
        plateau_patience: int = _DEFAULTS.plateau_patience,
        averaging: str = _DEFAULTS.averaging,
        ema_decay: float = _DEFAULTS.ema_decay,
        swa_share: float = _DEFAULTS.swa_share,
        gradient_clip_norm: float | None = _DEFAULTS.gradient_clip_norm,
        early_stopping_patience: int | None = _DEFAULTS.early_stopping_patience,
        label_smoothing: float = _DEFAULTS.label_smoothing,
        augmentation: str = _DEFAULTS.augmentation,
        rebalance: str = _DEFAULTS.rebalance,
        low_resolution_share: float | None = None,
        low_resolution_scale: float = _DEFAULTS.low_resolution_scale,
        normalization: str = _DEFAULTS.normalization,
        validation_fraction: float = _DEFAULTS.validation_fraction,
        weights: str = _DEFAULTS.weights,
        precision: str = _DEFAULTS.precision,
        mirror_keeps_class: bool | str = "auto",
        device: str | Device = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.model = model
        self.model_settings = model_settings
        self.budget = budget
        self.epochs = epochs
        self.least_steps = least_steps
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.plateau_factor = plateau_factor
        self.plateau_patience = plateau_patience
        self.averaging = averaging
        self.ema_decay = ema_decay
        self.swa_share = swa_share
        self.gradient_clip_norm = gradient_clip_norm
        self.early_stopping_patience = early_stopping_patience
        self.label_smoothing = label_smoothing
        self.augmentation = augmentation
        self.rebalance = rebalance
        self.low_resolution_share = low_resolution_share
        self.low_resolution_scale = low_resolution_scale
        self.normalization = normalization
        self.validation_fraction = validation_fraction
        self.weights = weights
        self.precision = precision
        self.mirror_keeps_class = mirror_keeps_class
        self.device = device
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array of shape (N, H, W, C) or (N, H, W), uint8
            Images; C is 1 or 3. Whole numbers from 0 to 255 of another type are taken too, and so
            are tensors and lists of arrays or Pillow images of one size.
        y : array of shape (N,)
            Labels: text, whole numbers or truth values.

        Returns
        -------
        self

        Raises
        ------
        DataError
            If the images or labels are not such arrays, or show one class only.
        SettingsError, UnknownNameError
            If a parameter is not valid.
        """
        started = time.monotonic()  # a budget counts from here
        images = as_images(X)
        labels, self.classes_ = encode_labels(y, len(images))
        split = ImageSplit(images, labels)
        plan = self._plan(split)
        settings = self._training_settings()
        seed = seed_from(self.random_state)
        train, held_out, note = possible_holdout(
            labels,
            fraction=self.validation_fraction,
            method="stratified",
            seed=seed,
            groups=exact_groups(images),
        )
        if note is not None:
            settings = settings.without_validation()
            warnings.warn(note, stacklevel=2)
        device = choose_device(self.device)
        validation = split.take(held_out) if len(held_out) else None
        training = split.take(train)
        keeps_class, self.mirroring_ = self._mirroring(training, seed)
        trainer = Trainer(settings, seed, device, keeps_class, started_at=started)
        fitted = fit_network(trainer, plan, training, validation)
        self.history_ = fitted.history
        self.budget_ = fitted.budget
        self.network_ = fitted.network.eval()
        names, values = named_classes(self.classes_)
        see = partial(
            features_and_logits, self.network_, device=device, precision=trainer.precision
        )
        known, temperature = None, None
        if validation is not None:
            known = HeldOut(*see(validation.images), validation.labels)
            temperature = fit_temperature(known.logits, validation.labels)
        promised, unlike = validated_promises(
            see,
            training,
            known,
            temperature=temperature,
            also_chose=chosen_by_validation(
                temperature=temperature,
                is_best_epoch=fitted.chosen_weights == "best" and fitted.settings.epochs > 1,
                has_probe=fitted.probe is not None,
                count=len(held_out),
            ),
            seed=derive_seed(seed, "unlike"),
        )
        record = describe_model(
            title="A model of given arrays",
            plan=fitted.plan,
            weights=self.network_.state_dict(),
            training=fitted.settings,
            classes=names,
            labels=values,
            temperature=temperature,
            precision=device.precision_name(settings.precision),
            mirror_keeps_class=keeps_class,
            data=describe_arrays(split, len(names)),
            guarantees=promised,
        )
        self._describe(record, unlike=unlike)
        return self

    def _plan(self, split: ImageSplit) -> NetworkPlan:
        if not isinstance(self.model, str):
            raise SettingsError(f"model must be the name of a model, got {self.model!r}.")
        if not isinstance(self.model_settings, dict | None):
            raise SettingsError(
                "model_settings must be a dictionary of names and values, or None; got "
                f"{self.model_settings!r}."
            )
        settings = dict(_RECIPE["model"]) if self.model == _MODEL else {}
        settings |= self.model_settings or {}
        settings.pop("name", None)
        return NetworkPlan.parse(
            self.model, settings, image_shape=split.image_shape, class_count=len(self.classes_)
        )

    def _training_settings(self) -> TrainingSettings:
        names = TrainingSettings.model_fields.keys() & self.get_params().keys()
        values = {name: getattr(self, name) for name in names}
        values["budget_seconds"] = None if self.budget is None else parse_duration(self.budget)
        if self.low_resolution_share is None:
            takes_any_size = MODELS[self.model].takes_any_size
            values["low_resolution_share"] = _DEFAULTS.low_resolution_share * takes_any_size
        return TrainingSettings.parse(values)

    def _mirroring(self, train: ImageSplit, seed: int) -> tuple[bool, MirrorRecord | None]:
        """Give whether images keep their class when they are mirrored, and how that was found."""
        wanted = self.mirror_keeps_class
        if isinstance(wanted, bool | np.bool_):
            return bool(wanted), None
        if wanted != "auto":
            raise SettingsError(
                f"mirror_keeps_class must be True, False or 'auto', got {wanted!r}."
            )
        names, _ = named_classes(self.classes_)
        most = MEASURED_IMAGES if self.budget is None else MEASURED_IN_BUDGET
        decided = decide_mirroring(train, names, seed=seed, most_images=most)
        return decided.keeps_class, decided.record

    def _describe(
        self,
        record: ModelRecord,
        loaded: PackagedModel | None = None,
        *,
        unlike: UnlikeScore | None = None,
    ) -> None:
        """Keep what is known about the model, and the folder's content where it was loaded."""
        self.model_record_ = record
        self.image_shape_ = record.image_shape
        self.n_features_in_ = int(np.prod(record.image_shape))
        self.mirror_keeps_class_ = record.mirror_keeps_class
        self.temperature_ = record.temperature
        self._loaded, self._unlike = loaded, unlike

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Give the probability of each class.

        Parameters
        ----------
        X : array of shape (N, H, W, C) or (N, H, W), uint8
            Images of the shape that `fit` saw.

        Returns
        -------
        array of shape (N, n_classes)
            float32; columns in the order of `classes_`.
        """
        check_is_fitted(self)
        images = as_images(X, self.image_shape_)
        if images.shape[1:] != self.image_shape_:
            raise ImageShapeError(
                f"X has images of shape {images.shape[1:]}, but ImageClassifier was fitted to "
                f"images of shape {self.image_shape_} (height, width, channels)."
            )
        device = choose_device(self.device)
        asked = TrainingSettings.parse({"precision": self.precision}).precision
        network, precision = self.network_.to(device.torch_device), device.precision(asked)
        return predict_probabilities(
            network, images, self.temperature_, device=device, precision=precision
        )

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Give the most probable class of each image, shape (N,)."""
        probabilities = self.predict_proba(X)
        labels: npt.NDArray[Any] = self.classes_[probabilities.argmax(1)]
        return labels

    def predict_set(self, X: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Say which classes each image may show: the true one is among them as often as asked.

        In 95% of images like those that the model was calibrated with, unless it was made for
        another coverage; see `tenfold.evaluation.conformal`. New kinds of images are not promised.

        Parameters
        ----------
        X : array of shape (N, H, W, C) or (N, H, W), uint8
            Images of the shape that `fit` saw.

        Returns
        -------
        array of shape (N, n_classes)
            bool; columns in the order of `classes_`. At least one class of each image.

        Raises
        ------
        SettingsError
            If the model has no prediction sets.
        """
        check_is_fitted(self)
        guarantees = self.model_record_.guarantees
        if guarantees is None:
            raise SettingsError(
                "This model has no prediction sets: an earlier tenfold made it. Make its folder "
                "again: tenfold model --out RUN_FOLDER, or fit it again."
            )
        if guarantees.sets is None:
            raise SettingsError(" ".join(guarantees.notes) or "This model has no prediction sets.")
        return guarantees.sets.members(self.predict_proba(X))

    def unlikeness(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Give how unlike the training images each image is, shape (N,): the higher, the more.

        Above ``model_record_.guarantees.unlike.threshold``, which 95% of held-out images of the
        data set do not reach, an image is unlike anything in training.

        Raises
        ------
        SettingsError
            If the model has no such score.
        """
        scores = self.predict_scored(X)[1]
        if scores is None:
            raise SettingsError(
                "This model has no score of unlike images: it was made before there was one, or "
                "too few images were held out of its training. Make its folder again: tenfold "
                "model --out RUN_FOLDER, or fit it again with a larger validation_fraction."
            )
        return scores

    def predict_scored(
        self, X: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Give what `predict_proba` and `unlikeness` give, computed once; None without a score."""
        check_is_fitted(self)
        if self._unlike is None and self._loaded is not None and self._loaded.unlike is not None:
            self._unlike = UnlikeScore.from_bytes(self._loaded.unlike)
        if self._unlike is None:
            return self.predict_proba(X), None
        images = as_images(X, self.image_shape_)
        if images.shape[1:] != self.image_shape_:
            return self.predict_proba(X), None  # raises what is wrong
        device = choose_device(self.device)
        asked = TrainingSettings.parse({"precision": self.precision}).precision
        network, precision = self.network_.to(device.torch_device), device.precision(asked)
        features, logits = features_and_logits(network, images, device=device, precision=precision)
        probabilities = calibrated_probabilities(logits, self.temperature_)
        return probabilities, self._unlike.score(features, logits)

    def score(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Give the accuracy: the share of images whose most probable class is their label.

        Parameters
        ----------
        X : array of shape (N, H, W, C) or (N, H, W), uint8
            Images of the shape that `fit` saw.
        y : array of shape (N,)
            Labels; one that `fit` did not see counts as an image that was not recognised.
        sample_weight : array of shape (N,), default=None
            What each image counts.

        Raises
        ------
        DataError
            If the labels are not of the type that `fit` saw.
        """
        predicted = self.predict(X)
        labels = labels_like(self.classes_, y, len(predicted))
        return float(super().score(X, labels, sample_weight))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted model as one folder, which `tenfold.load` reads.

        Parameters
        ----------
        path
            A new folder, or a model folder, which is replaced.

        Raises
        ------
        ModelFolderError
            If something else than a model folder is there.
        StorageError
            If the disk is full, read-only or not permitted.
        """
        check_is_fitted(self)
        packaged = self._loaded
        if packaged is None:
            card = model_card(self.model_record_, CardSources())
            unlike = None if self._unlike is None else self._unlike.to_bytes()
            packaged = PackagedModel(
                self.model_record_, self.network_.state_dict(), card, unlike=unlike
            )
        save_model(Path(path), packaged)

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator takes: images of three or four dimensions."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.non_deterministic = self.random_state is None
        return tags


def load(path: str | PathLike[str], *, device: str = "auto") -> ImageClassifier:
    """Give a fitted classifier from a model folder, or from the run folder of a study.

    It computes with the precision that the model was tested with and divides logits by the model's
    temperature, so its probabilities are those that the scores were measured on.

    Parameters
    ----------
    path
        A folder that a study or `ImageClassifier.save` made.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    ModelFolderError
        If there is no model, a file is missing or was changed, or a newer tenfold wrote it.
    """
    return classifier_of(read_model_folder(Path(path)), device=device)


def classifier_of(model: PackagedModel, *, device: str | Device = "auto") -> ImageClassifier:
    """Give a fitted classifier of a packaged model; see `load`."""
    record = model.record
    known = set(inspect.signature(ImageClassifier).parameters)
    training = {name: value for name, value in record.training.items() if name in known}
    parameters = training | {
        "model": record.model,
        "model_settings": dict(record.model_settings),
        "precision": record.precision,
        "mirror_keeps_class": record.mirror_keeps_class,
        "device": device,
    }
    classifier = ImageClassifier(**parameters)  # type: ignore[arg-type]
    classifier.classes_ = np.array(record.classes if record.labels is None else record.labels)
    classifier.history_, classifier.budget_, classifier.mirroring_ = (), None, None
    classifier.network_ = model.network()
    classifier._describe(record, model)
    return classifier
