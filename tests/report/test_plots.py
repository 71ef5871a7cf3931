"""Which figures a study has."""

from __future__ import annotations


def test_a_whole_study_has_every_figure(drawn: dict[str, dict[str, str]]) -> None:
    assert list(drawn["whole"]) == [
        "class-distribution",
        "samples",
        "augmentation",
        "search-history",
        "importances",
        "search-slices",
        "training-curves",
        "confusion-matrix",
        "class-scores",
        "recall-by-size",
        "calibration",
        "confused-pairs",
        "confident-mistakes",
        "least-certain",
        "robustness",
        "fold-scores",
        "label-issues-train",
        "label-issues-test",
        "duplicates-leaks",
        "duplicates-conflicts",
        "reproduction-curves",
    ]
    assert list(drawn["searched"])[1:5] == [
        "search-history",
        "importances",
        "model-importances",
        "search-slices",
    ]
    assert list(drawn["two-class"]) == ["class-distribution", "training-curves"]
