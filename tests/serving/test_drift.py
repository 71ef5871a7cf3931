"""What a server says of its last answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tenfold.core.records.guarantees import AnswersOnTest
from tenfold.serving.drift import LiveAnswers
from tenfold.serving.onnx_model import OnnxModel

pytest.importorskip("fastapi")

CLASSES = ("cat", "dög", "\x1bowl")
SHARES = np.array([0.5, 0.3, 0.2])


def on_test(count: int = 1000, **changes: Any) -> AnswersOnTest:
    confidences = np.zeros(50, int)
    confidences[30:] = count // 20
    values: dict[str, Any] = {
        "class_counts": tuple((SHARES * count).astype(int).tolist()),
        "confidence_counts": tuple(confidences.tolist()),
        "mean_confidence": 0.8,
        "unlike_count": count // 20,
        "scored_count": count,
    }
    return AnswersOnTest(**(values | changes))


def live(kept: AnswersOnTest | None, window: int = 200, **options: Any) -> LiveAnswers:
    def at_once(compare: Callable[[], None]) -> None:
        compare()

    return LiveAnswers(CLASSES, kept, window, at_once, has_unlike=True, **options)


def answer(
    answers: LiveAnswers,
    count: int,
    *,
    shares: Any = SHARES,
    least: float = 0.6,
    unlike: float = 0.05,
    seed: int = 1,
) -> None:
    generator = np.random.default_rng(seed)
    places = generator.choice(len(shares), count, p=shares)
    confidences = generator.uniform(least, least + 0.4, count)
    for one in zip(places, confidences, generator.random(count) < unlike, strict=True):
        answers.add(*one)


def drifting(answers: LiveAnswers) -> set[str]:
    return {one.of for one in answers.describe("m").tests if one.drifts}


def test_answers_like_the_test_images() -> None:
    answers = live(on_test())
    answer(answers, 199)
    told = answers.describe("m")
    assert (told.compared_windows, told.drifts, told.live_images) == (0, False, 199)
    assert "199 of 200" in told.sentence
    answer(answers, 1, seed=2)
    told = answers.describe("m")
    assert (told.compared_windows, told.drifts, len(told.tests)) == (1, False, 3)
    assert sum(one.live for one in told.classes) == pytest.approx(1)
    assert [one.test for one in told.classes] == SHARES.tolist()
    assert told.confidence == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("planted", "found", "words"),
    [
        ({"shares": [0.2, 0.3, 0.5]}, "classes", "of them instead of 50.0%"),
        ({"least": 0.4}, "confidence", "instead of 80.0%"),
        ({"unlike": 0.3}, "unlike", "are unlike anything in training"),
    ],
)
def test_a_planted_drift_is_said_with_its_test(
    planted: dict[str, Any], found: str, words: str
) -> None:
    answers = live(on_test())
    answer(answers, 200, **planted)
    told = answers.describe("m")
    assert drifting(answers) == {found}
    (part,) = (one for one in told.tests if one.drifts)
    assert words in told.sentence
    assert f"({part.test}, p " in told.sentence
    assert "\x1b" not in told.sentence
    answer(answers, 200, seed=3)
    assert not answers.drifts, "the next window is another"


@pytest.mark.slow
def test_false_alarms_are_as_few_as_they_say() -> None:
    """A small test split is drawn anew each time, as a study draws it."""
    generator = np.random.default_rng(4)
    alarms = 0
    for trial in range(100):
        kept = on_test(
            100,
            class_counts=tuple(generator.multinomial(100, SHARES).tolist()),
            confidence_counts=(
                *((0,) * 30),
                *generator.multinomial(100, np.full(20, 0.05)).tolist(),
            ),
            unlike_count=int(generator.binomial(100, 0.05)),
        )
        answers = live(kept)
        answer(answers, 200, seed=1000 + trial)
        alarms += answers.drifts
    assert alarms <= 2, "0.1 are expected; more than 2 come once in 6,000 times"


class TestWithoutAComparison:
    @pytest.mark.parametrize(
        ("kept", "words"), [(None, "Make it again"), (on_test(20), "20 test images")]
    )
    def test_it_is_said(self, kept: Any, words: str) -> None:
        answers = live(kept)
        answer(answers, 400)
        told = answers.describe("m")
        assert (told.available, told.drifts, told.compared_windows) == (False, False, 0)
        assert words in told.sentence
        assert told.confidence is not None

    def test_an_address_and_gauges(self, client: Any, make_png: Any) -> None:
        one = client()
        one("POST", "/api/predict", make_png())
        told = one("GET", "/api/live").json
        assert (told["available"], told["live_images"]) == (False, 1)
        text = one("GET", "/metrics").body.decode()
        assert 'tenfold_live_images{model="model"} 1' in text
        assert "tenfold_test_confidence" not in text
        assert one("GET", "/api/live", query="model=no").status == 404


def test_a_served_model_that_knows_its_test_images(
    client: Any, make_png: Any, onnx_content: bytes
) -> None:
    model = OnnxModel(onnx_content, threads=1)
    kept = on_test(unlike_count=None, scored_count=None)
    model.description = model.description.model_copy(update={"on_test": kept})
    one = client(model=model, drift_window_images=50)
    for seed in range(50):
        one("POST", "/api/predict", make_png(seed=seed % 3))
    for _ in range(1000):
        told = one("GET", "/api/live").json
        if told["compared_windows"]:
            break
    assert told["drifts"]
    assert {part["of"] for part in told["tests"]} == {"classes", "confidence"}
    text = one("GET", "/metrics").body.decode()
    assert re.search(r'tenfold_drift{model="model",of="classes"} [01]\.0', text)
    assert 'tenfold_test_class_share{class="cat",model="model"} 0.5' in text
    assert one("POST", "/v2/models/model/infer", b"{}").status == 400
