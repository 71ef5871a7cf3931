"""The model card."""

from __future__ import annotations

import numpy as np

from tenfold.core.record import Interval
from tenfold.core.records.data import GroupingRecord
from tenfold.core.records.evaluation import PartScores, SeriesScores
from tenfold.core.records.training import Measure, ModelData, ModelRecord, ModelScores
from tenfold.evaluation.intervals import wilson_interval
from tenfold.report.model_card import CardSources, model_card
from tenfold.report.records import StudyRecords

HOSTILE = ("cat", "<script>alert(1)</script>", "a|b\n# c `d` [e](f)")


def record(*, is_tested: bool = True, temperature: float | None = 1.5) -> ModelRecord:
    measure = Measure(value=0.8, interval=Interval(low=0.7, high=0.9))
    plain = Measure(value=0.5, interval=None)
    return ModelRecord(
        format_version=1,
        digest="0" * 64,
        files={},
        title="Photos, recipe fast",
        model="fast",
        model_settings={},
        training={},
        image_shape=(32, 32, 3),
        normalization_mean=(1.0, 1.0, 1.0),
        normalization_standard_deviation=(1.0, 1.0, 1.0),
        classes=HOSTILE,
        labels=None,
        temperature=temperature,
        precision="float32",
        mirror_keeps_class=True,
        data=ModelData(
            title="Photos",
            source="folder",
            description="Pictures of <things>.",
            train_counts=(50, 40, 30),
            test_counts=(5, 4, 3),
            train_sha256="a" * 64,
            test_sha256="b" * 64,
        ),
        scores=ModelScores(
            count=12,
            accuracy=measure,
            balanced_accuracy=measure,
            macro_f1=measure,
            log_loss=plain,
            expected_calibration_error=plain,
        )
        if is_tested
        else None,
        versions={"tenfold": "0.1.0", "torch": "2.9"},
    )


def test_scores_come_with_their_intervals_and_data_with_its_hashes() -> None:
    card = model_card(record(), CardSources())
    assert card.startswith("# Photos, recipe fast\n")
    assert "| Accuracy | 0.800 | 0.700 to 0.900 |" in card
    assert "| Log loss | 0.500 |  |" in card
    assert "120 training images, 12 test images" in card
    assert "a" * 64 in card
    assert "temperature of 1.5" in card
    assert "tested on 12 images only" in card


def test_what_is_not_known_is_said() -> None:
    card = model_card(record(is_tested=False, temperature=None), CardSources())
    assert "Not tested" in card
    assert "not calibrated" in card
    assert "thumbnails" not in card


def test_kept_images_are_disclosed() -> None:
    card = model_card(record(), CardSources(kept_images=500))
    assert "500 training images as thumbnails" in card
    assert "explain.neighbour_images=0" in card


def test_names_cannot_write_markup(builder: object) -> None:
    confusion = np.array([[3, 1, 1], [4, 0, 0], [0, 0, 3]])
    evaluate = builder.evaluate_record(confusion, HOSTILE)  # type: ignore[attr-defined]
    card = model_card(record(), CardSources(evaluate=evaluate))
    assert "<script>" not in card
    assert "<things>" not in card
    assert "\n# c" not in card
    table = [line for line in card.splitlines() if line.startswith("| cat") or "a\\|b" in line]
    rows = [line for line in table if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 8 for line in rows)
    assert "It finds fewer than half of the images of \\<script" in card


def test_what_series_flatter_and_few_images_are_said(real_study: StudyRecords) -> None:
    assert real_study.evaluate is not None

    def part(right: int) -> PartScores:
        share = right / 100
        return PartScores(
            images=100,
            accuracy=share,
            interval=wilson_interval(right, 100),
            balanced_accuracy=share,
            macro_f1=share,
        )

    data = record().data
    assert data is not None
    made = record().model_copy(
        update={
            "classes": real_study.acquire.classes,
            "data": data.model_copy(update={"train_counts": real_study.acquire.train_counts}),
        }
    )
    evaluate = real_study.evaluate.model_copy(
        update={"series": SeriesScores(held_out=part(71), shared=part(99))}
    )
    grouping = GroupingRecord(by="names", is_found=True, groups=50, images=200, largest=4)
    card = model_card(made, CardSources(evaluate=evaluate, grouping=grouping))
    assert card.index("71.0%") < card.index("99.0%") < card.index("| Accuracy |")
    assert "| 12 (few) |" in card
    assert "fewer than 30 test images" in card
