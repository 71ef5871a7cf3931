"""What a time budget chooses of a pretrained network's training."""

from __future__ import annotations

import pytest

from tenfold.core.records.training import BudgetRecord
from tenfold.models.efficientnet_lite import LITE_SIZES
from tenfold.models.model import NetworkPlan
from tenfold.training import transfer_budget
from tenfold.training.settings import TrainingSettings
from tenfold.training.transfer_budget import (
    TransferOption,
    TransferWork,
    choose_for_transfer,
    choose_option,
    is_possible,
    transfer_options,
)

HEAD = TransferOption(
    "head", {"backbone": "efficientnet-lite0", "input_size_px": 160}, {}, 1.0, 0, 0, ((0.0, 1.0),)
)
LARGE = TransferOption(
    "large", {"backbone": "efficientnet-lite0", "input_size_px": 224}, {}, 2.0, 0, 0, ((0.0, 0.9),)
)
LAST = TransferOption(
    "last",
    {"backbone": "efficientnet-lite0", "input_size_px": 160, "fine_tune_stages": 2},
    {"batch_size": 16},
    1.0,
    0.5,
    2.0,
    ((2.0, 0.8), (8.0, 0.6)),
)


@pytest.fixture
def _three_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_budget, "transfer_options", lambda: (HEAD, LARGE, LAST))
    monkeypatch.setattr(transfer_budget, "has_weights", lambda _name: True)
    monkeypatch.setattr(transfer_budget, "_FIT_COST", 0.5)


pytestmark = pytest.mark.usefixtures("_three_options")


def work(
    seconds: float, *, images: int = 1000, speed: float = 0.01, mirrored: bool = True
) -> TransferWork:
    return TransferWork(
        train_count=images,
        validation_count=100,
        class_count=10,
        is_mirrored=mirrored,
        seconds_left=seconds,
        seconds_an_image=speed,
    )


def chosen(
    seconds: float, *, image_size_px: int = 224, backbone: str = "efficientnet-lite0"
) -> BudgetRecord:
    plan = NetworkPlan.parse(
        "pretrained",
        {"backbone": backbone},
        image_shape=(image_size_px, image_size_px, 3),
        class_count=10,
    )
    settings = TrainingSettings.parse({"budget_seconds": seconds})
    return choose_for_transfer(plan, settings, work(seconds))


def test_more_time_takes_what_costs_more() -> None:
    assert [chosen(seconds).size for seconds in (35, 56, 300)] == ["head", "large", "last"]


def test_more_images_or_a_slower_machine_takes_what_costs_less() -> None:
    options = (HEAD, LARGE, LAST)
    assert choose_option(options, work(300, images=1000))[0] is LAST
    assert choose_option(options, work(300, images=5500))[0] is LARGE
    assert choose_option(options, work(300, speed=0.08))[0] is HEAD
    assert choose_option(options, work(35, mirrored=False))[0] is LARGE


def test_what_does_not_fit_is_said_with_its_time() -> None:
    record = chosen(5)
    assert record.size == "head"
    assert "too short for 1,000 images" in record.sentence
    assert "takes about 31 s" in record.sentence
    assert record.expected_epochs is None
    assert record.model_settings["fine_tune_epochs"] == 0


def test_a_fine_tuning_s_epochs_are_those_that_the_time_suffices_for() -> None:
    record = chosen(300)
    # 288 s are 28,800 images; the head takes 3,100 of them (2,100 of features, 1,000 of the fit),
    # four views 2,000, an epoch 2,100.
    assert record.expected_epochs == pytest.approx(23_700 / 2100, rel=1e-6)
    assert record.model_settings["fine_tune_epochs"] == 11
    assert record.model_settings["fine_tune_views"] == 4
    assert record.training_settings == {"batch_size": 16}
    assert "the last 2 stages trained for about 11 epochs" in record.sentence


def test_an_input_larger_than_the_images_is_left_out() -> None:
    assert chosen(56, image_size_px=160).size == "head"
    assert chosen(56, image_size_px=32).size == "head"


def test_weights_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_budget, "has_weights", lambda _name: False)
    plan = NetworkPlan.parse("pretrained", {}, image_shape=(224, 224, 3), class_count=2)
    assert not any(is_possible(option, plan) for option in (HEAD, LARGE, LAST))
    assert chosen(60).size is None


def test_a_backbone_that_is_not_measured_stays() -> None:
    record = chosen(60, backbone="timm:resnet18")
    assert record.size is None
    assert record.model_settings == {}
    assert "timm:resnet18" in record.sentence


def test_expected_errors_fall_with_the_epochs_and_are_the_table_s() -> None:
    assert LAST.expected_error(2) == pytest.approx(0.8)
    assert LAST.expected_error(4) == pytest.approx(0.7)
    assert LAST.expected_error(8) == pytest.approx(0.6)
    assert LAST.expected_error(100) == pytest.approx(0.6)
    assert 0.8 < LAST.expected_error(1) < LAST.expected_error(0.5) <= 1


def test_the_table_that_is_shipped_is_sound() -> None:
    options = transfer_options()
    assert any(option.is_head_alone for option in options)
    assert any(not option.is_head_alone for option in options)
    for option in options:
        assert option.model_settings["backbone"] in LITE_SIZES
        NetworkPlan.parse("pretrained", option.model_settings, image_shape=(8, 8, 3), class_count=2)
        TrainingSettings.parse(option.training_settings)
        assert 0 < option.forward_cost < 20
        assert option.is_head_alone or option.step_cost > 0
        epochs = [place for place, _ in option.points]
        assert epochs == sorted(set(epochs))
        assert all(0.2 < error < 3 for _, error in option.points)
