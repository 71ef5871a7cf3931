"""References meet measures."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from tenfold.core.errors import SettingsError
from tenfold.core.records.reference import Reference
from tenfold.reporting.measures import check_measure_name, measures
from tenfold.reporting.reproduction import curve_pairs, reproduction_rows


def _rows(builder: SimpleNamespace, **changes: object) -> dict[str, object]:
    study = dataclasses.replace(builder.cifar_study(), **changes)
    return {row.label: row for row in reproduction_rows(study)}


def test_rows_give_both_values_and_the_difference(builder: SimpleNamespace) -> None:
    rows = _rows(builder)
    search = rows["Best validation accuracy of the search"]
    assert (search.original, search.ours, search.difference) == ("0.6162", "0.6162", "0.0000")
    pixels = rows["Average pixel value of airplane"]
    assert (pixels.original, pixels.ours, pixels.difference) == ("0.64153", "0.55830", "−0.08323")
    assert pixels.note.startswith("Cannot be had")
    channels = rows["Channel means"]
    assert channels.ours == "0.49140, 0.48216, 0.44653"
    seconds = rows["Duration of the search"]
    assert (seconds.original, seconds.difference) == ("6 min 24 s", "−3 min 12 s")
    folds = rows["5-fold accuracy (warm start)"]
    assert (folds.ours, folds.difference) == ("0.7210", "+0.0650")


def test_words_are_compared_by_their_parts(builder: SimpleNamespace) -> None:
    rows = _rows(builder)
    assert rows["Best settings"].difference == "differs in filters_0"
    assert rows["Weakest classes"].difference == "another"


def test_curves_are_summed_up_and_drawn(builder: SimpleNamespace) -> None:
    row = _rows(builder)["Validation accuracy of each epoch"]
    assert row.original == "20 epochs: 0.400 to 0.668, highest 0.692"
    assert row.difference == "epoch 20: −0.003"
    (pair,) = curve_pairs(builder.cifar_study())
    assert pair.original == builder.ORIGINAL_VALIDATION_ACCURACY
    assert len(pair.ours) == 20


def test_what_was_not_run_says_so(builder: SimpleNamespace) -> None:
    rows = _rows(builder, evaluate=None, tune=None)
    assert rows["Test accuracy"].ours == "not run"
    assert rows["Best settings"].ours == "not run"
    assert rows["Test accuracy"].difference == "–"


def test_a_class_of_another_data_set_is_no_error(builder: SimpleNamespace) -> None:
    study = dataclasses.replace(builder.gray_study(), references=builder.references())
    rows = {row.label: row for row in reproduction_rows(study)}
    assert rows["Predictions as deer"].ours == "no such class in these data"


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
