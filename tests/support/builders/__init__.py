"""Plausible records and studies for the report's tests."""

from builders.data import CIFAR10_CLASSES, acquire_record, explore_record
from builders.evaluation import (
    evaluate_record,
    random_confusion,
    scores_of,
)
from builders.references import ORIGINAL_VALIDATION_ACCURACY, manifests, references
from builders.repeated import protocol_record, repeats_record
from builders.searches import search_over_models, tune_record
from builders.studies import (
    cifar_study,
    gray_study,
    hostile_names,
    many_class_study,
    searched_study,
    two_class_study,
)
from builders.training import OUR_VALIDATION_ACCURACY, train_record

__all__ = [
    "CIFAR10_CLASSES",
    "ORIGINAL_VALIDATION_ACCURACY",
    "OUR_VALIDATION_ACCURACY",
    "acquire_record",
    "cifar_study",
    "evaluate_record",
    "explore_record",
    "gray_study",
    "hostile_names",
    "manifests",
    "many_class_study",
    "protocol_record",
    "random_confusion",
    "references",
    "repeats_record",
    "scores_of",
    "search_over_models",
    "searched_study",
    "train_record",
    "tune_record",
    "two_class_study",
]
