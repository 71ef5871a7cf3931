"""References meet measures."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from tenfold.core.errors import SettingsError
from tenfold.core.record import Reference
from tenfold.report.reproduction import (
    Difference,
    ReproductionRow,
    check_measure_name,
    curve_pairs,
    measured,
    measures,
    reproduction_rows,
)


def _rows(builder: SimpleNamespace, **changes: object) -> dict[str, ReproductionRow]:
    study = dataclasses.replace(builder.cifar_study(), **changes)
    return {row.reference.label: row for row in reproduction_rows(study)}


def test_rows_give_both_values_and_the_difference(builder: SimpleNamespace) -> None:
    rows = _rows(builder)
    pixels = rows["Average pixel value of airplane"]
    assert (pixels.reference.value, pixels.ours) == (0.64153, 0.5583)
    assert pixels.difference.kind == "numbers"
    assert pixels.difference.values == pytest.approx((-0.08323,))
    assert len(rows["Channel means"].difference.values) == 3
    assert rows["5-fold accuracy (warm start)"].difference.values == pytest.approx((0.065,))


@pytest.mark.parametrize(
    ("measure", "value", "text", "difference"),
    [
        ("tune.best_validation_accuracy", 0.61623, "0.6162", "+0.6162"),
        ("explore.channel_means", 0.083234, "0.08323", "+0.08323"),
        ("tune.seconds", 384, "6 min 24 s", "+6 min 24 s"),
        ("train.parameters", 169130.0, "169,130", "+169,130"),
        ("train.parameters", 0, "0", "0"),
    ],
)
def test_a_number_is_written_as_its_measure_is(
    measure: str, value: float, text: str, difference: str
) -> None:
    assert measured(value, measure) == text
    assert measured(value, measure, is_signed=True) == difference


def test_words_are_compared_by_their_parts(builder: SimpleNamespace) -> None:
    rows = _rows(builder)
    assert rows["Best settings"].difference == Difference("settings", names=("filters_0",))
    assert rows["Weakest classes"].difference == Difference("names")
    for value, difference in (
        ("bird and cat", Difference("names", names=("cat",))),
        (rows["Weakest classes"].ours, Difference("same text")),
    ):
        reference = Reference(label="x", measure="evaluate.weakest_classes", value=value)
        (row,) = _rows(builder, references=(reference,)).values()
        assert row.difference == difference


def test_curves_are_compared_where_both_have_an_epoch(builder: SimpleNamespace) -> None:
    difference = _rows(builder)["Validation accuracy of each epoch"].difference
    assert (difference.kind, difference.epoch) == ("curves", 20)
    assert difference.values == pytest.approx((-0.003,))
    (pair,) = curve_pairs(builder.cifar_study())
    assert pair.original == builder.ORIGINAL_VALIDATION_ACCURACY
    assert len(pair.ours) == 20


def test_what_was_not_run_has_no_value(builder: SimpleNamespace) -> None:
    row = _rows(builder, evaluate=None, tune=None)["Test accuracy"]
    assert (row.ours, row.lacks_class, row.difference) == (None, False, None)


def test_a_class_of_another_data_set_is_no_error(builder: SimpleNamespace) -> None:
    study = dataclasses.replace(builder.gray_study(), references=builder.references())
    rows = {row.reference.label: row for row in reproduction_rows(study)}
    assert rows["Predictions as deer"].lacks_class


def test_unknown_measure_suggests_the_near_names(builder: SimpleNamespace) -> None:
    reference = Reference(label="Accuracy", measure="evaluate.acuracy", value=0.6)
    study = dataclasses.replace(builder.cifar_study(), references=(reference,))
    with pytest.raises(SettingsError, match=r"no measure named 'evaluate\.acuracy'") as caught:
        reproduction_rows(study)
    assert "Did you mean 'evaluate.accuracy'" in str(caught.value)
    assert "Known: " in str(caught.value)


@pytest.mark.parametrize("name", ["evaluate.class.deer.f2", "cross_validate.warm.accuracy", ""])
def test_other_unknown_measures(name: str) -> None:
    with pytest.raises(SettingsError, match="no measure named"):
        check_measure_name(name, ("deer",))


def test_every_measure_has_a_known_name(builder: SimpleNamespace) -> None:
    study = builder.cifar_study()
    found = measures(study)
    for name in found:
        check_measure_name(name, study.acquire.classes)
    assert found["evaluate.weakest_class"] == "cat"
    assert found["evaluate.class.deer.correct"] == 702
    assert found["train.best_validation_accuracy"] == 0.6734
    assert found["cross_validate.fresh.accuracy"] == pytest.approx(0.6662)
