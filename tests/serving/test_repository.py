"""Several models in one application, and versions that take over."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asgi import AsgiClient
from tenfold.core.errors import SettingsError
from tenfold.models.model import NetworkPlan
from tenfold.serving.onnx_graph import onnx_bytes
from tenfold.serving.onnx_model import OnnxDescription, OnnxModel

pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")

from tenfold.serving.app import create_app
from tenfold.serving.model import ServedModel
from tenfold.serving.repository import NamedModel, model_name
from tenfold.serving.settings import ServingSettings
from tenfold.serving.starting import models_to_serve

BYTES = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def other_content() -> bytes:
    """Give a model of other classes and another size."""
    plan = NetworkPlan.parse(
        "cnn",
        {"conv_layers": 1, "filters": [4], "units": 8},
        image_shape=(8, 8, 3),
        class_count=2,
    )
    network = plan.build(seed=2, mean=torch.zeros(3), standard_deviation=torch.full((3,), 50.0))
    described = OnnxDescription(
        title="Pets",
        model="cnn",
        classes=("dog", "horse"),
        image_shape=(8, 8, 3),
        temperature=1.0,
        versions={"tenfold": "0"},
    )
    return onnx_bytes(network.eval(), 1.0, described)


class Watched:
    """Stands for a watched folder: gives what it was told to."""

    def __init__(self) -> None:
        self.waiting: list[NamedModel] = []

    def step(self) -> Any:
        while self.waiting:
            yield self.waiting.pop()


@pytest.fixture
def several(onnx_content: bytes, other_content: bytes) -> Any:
    """Give a function that makes an application of two models, a client and what it watches."""
    made: list[AsgiClient] = []

    def make(model: Any = None) -> tuple[AsgiClient, Watched]:
        watched = Watched()
        app = create_app(
            model or OnnxModel(onnx_content, threads=1),
            ServingSettings(watch_seconds=0.001),
            name="animals",
            others=[named(other_content, "pets", "7")],
            watched=watched,  # type: ignore[arg-type]
        )
        made.append(AsgiClient(app))
        return made[-1], watched

    yield make
    for one in made:
        one.close()


def named(content: bytes, name: str, version: str) -> NamedModel:
    return NamedModel(name, version, ServedModel(OnnxModel(content, threads=1), None))


def alive(client: AsgiClient, ask: Callable[[], Any]) -> Any:
    """Let the application live, so that it watches, while something is asked."""

    async def live() -> Any:
        async with client.app.router.lifespan_context(client.app):
            return await ask()

    return client.loop.run_until_complete(live())


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(2000):
        if is_so():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never is")


class TestByName:
    def test_each_answers_for_itself(self, several: Any, make_png: Any) -> None:
        client, _ = several()
        for path, classes in (
            ("/api/predict", {"cat", "dög", "<b>owl</b>"}),
            ("/api/models/animals/predict", {"cat", "dög", "<b>owl</b>"}),
            ("/api/models/pets/predict", {"dog", "horse"}),
        ):
            (result,) = client("POST", path, make_png(), BYTES).json["results"]
            assert {one["class"] for one in result["top"]} == classes
        assert client("GET", "/api/model").json["title"] == "Tiny animals"
        assert client("GET", "/api/models/pets").json["title"] == "Pets"
        listed = client("GET", "/api/models").json["models"]
        assert [(one["name"], one["version"]) for one in listed] == [
            ("animals", "1"),
            ("pets", "7"),
        ]
        assert client("GET", "/v2/models").json == {"models": ["animals", "pets"]}
        assert client("GET", "/v2/models/pets/versions/7").status == 200
        assert client("POST", "/api/models/pets/predict/lines", make_png()).status == 200
        assert client("POST", "/api/models/pets/explain", make_png()).status == 501

    def test_one_that_is_not_here(self, several: Any, make_png: Any) -> None:
        client, _ = several()
        answer = client("POST", "/api/models/none/predict", make_png(), BYTES)
        assert (answer.status, answer.json["error"]["code"]) == (404, "no_model")
        assert "animals, pets" in answer.json["error"]["message"]
        text = client("GET", "/metrics").body.decode()
        assert 'path="/api/models/{name}/predict",status="404"} 1' in text

    def test_counted_by_name(self, several: Any, make_png: Any) -> None:
        client, _ = several()
        client("POST", "/api/models/pets/predict", make_png(), BYTES)
        text = client("GET", "/metrics").body.decode()
        assert 'tenfold_images_total{model="pets",outcome="predicted"} 1' in text
        assert 'tenfold_model_info{model="pets",title="Pets",version="7"} 1' in text
        assert 'tenfold_waiting_images{model="animals"} 0' in text


class TestTakingOver:
    def test_the_default_with_its_page(
        self, several: Any, other_content: bytes, make_png: Any
    ) -> None:
        client, watched = several()
        assert b"Tiny animals" in client("GET", "/").body

        async def swap() -> Any:
            watched.waiting.append(named(other_content, "animals", "2"))
            await until(lambda: not watched.waiting)
            await asyncio.sleep(0.05)
            return await client.ask("POST", "/api/predict", make_png(), BYTES)

        assert alive(client, swap).json["results"][0]["class"] in {"dog", "horse"}
        assert client("GET", "/v2/models/animals").json["versions"] == ["2"]
        assert client("GET", "/v2/models/animals/versions/1").status == 404
        page = client("GET", "/").body
        assert b"Pets" in page
        assert b"Tiny animals" not in page
        text = client("GET", "/metrics").body.decode()
        assert 'tenfold_model_info{model="animals",title="Pets",version="2"} 1' in text
        assert 'version="1"' not in text

    def test_a_request_ends_with_the_version_that_it_began_with(
        self, several: Any, other_content: bytes, hanging: Any, make_png: Any
    ) -> None:
        client, watched = several(hanging)

        async def swap() -> tuple[Any, Any]:
            begun = asyncio.create_task(client.ask("POST", "/api/predict", make_png(), BYTES))
            await until(hanging.is_asked.is_set)
            watched.waiting.append(named(other_content, "animals", "2"))
            later = None
            for _ in range(500):
                later = await client.ask("GET", "/v2/models/animals")
                if later.json["versions"] == ["2"]:
                    break
                await asyncio.sleep(0.005)
            new = await client.ask("POST", "/api/predict", make_png(), BYTES)
            hanging.may_run.set()
            return await begun, new

        old, new = alive(client, swap)
        assert old.json["results"][0]["class"] in {"cat", "dög", "<b>owl</b>"}
        assert new.json["results"][0]["class"] in {"dog", "horse"}

    @pytest.mark.parametrize("is_used", [True, False])
    def test_the_old_one_is_let_go(
        self, is_used: bool, several: Any, onnx_content: bytes, other_content: bytes, make_png: Any
    ) -> None:
        """Without waiting for Python to look for circles, which may take long."""
        model = OnnxModel(onnx_content, threads=1)
        held = weakref.ref(model)
        client, watched = several(model)
        del model

        async def swap() -> None:
            if is_used:
                await client.ask("POST", "/api/predict", make_png(), BYTES)
            watched.waiting.append(named(other_content, "animals", "2"))
            await until(lambda: held() is None)

        gc.collect()
        gc.disable()
        try:
            alive(client, swap)
        finally:
            gc.enable()

    def test_requests_through_many_swaps(
        self, several: Any, onnx_content: bytes, other_content: bytes
    ) -> None:
        client, watched = several()
        images = np.random.default_rng(2).integers(0, 256, (4, 16, 16, 3), np.uint8)
        small = np.random.default_rng(2).integers(0, 256, (4, 8, 8, 3), np.uint8)
        answers = {
            "1": (images, OnnxModel(onnx_content, threads=1).predict(images)),
            "2": (small, OnnxModel(other_content, threads=1).predict(small)),
        }
        contents = {"1": onnx_content, "2": other_content}

        async def ask(version: str) -> bool:
            pixels, expected = answers[version]
            tensor = {"name": "images", "datatype": "UINT8", "shape": list(pixels.shape)}
            text = str(
                {"inputs": [{**tensor, "parameters": {"binary_data_size": pixels.nbytes}}]}
            ).replace("'", '"')
            answer = await client.ask(
                "POST",
                f"/v2/models/animals/versions/{version}/infer",
                text.encode() + pixels.tobytes(),
                {"inference-header-content-length": str(len(text))},
            )
            if answer.status == 404:
                return False
            rows = np.array(answer.json["outputs"][0]["data"]).reshape(expected.shape)
            np.testing.assert_allclose(rows, expected, atol=1e-6)
            return True

        async def swap() -> list[bool]:
            answered = []
            for turn in range(12):
                version = "12"[turn % 2 - 1]
                watched.waiting.append(named(contents[version], "animals", version))
                for _ in range(3):
                    answered += await asyncio.gather(*(ask(one) for one in "1212"))
                    await asyncio.sleep(0.002)
            return answered

        answered = alive(client, swap)
        assert any(answered)
        assert not all(answered)


class TestNames:
    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ("digits.onnx", "digits"),
            ("my model", "my-model"),
            ("..", "model"),
            ("a/b?c", "a-b-c"),
            ("café", "café"),
        ],
    )
    def test_in_addresses(self, given: str, name: str) -> None:
        assert model_name(given) == name

    def test_given_on_the_command_line(self, onnx_file: Path) -> None:
        models = models_to_serve([str(onnx_file), f"b={onnx_file}"], None)
        assert [one.name for one in models] == ["tiny", "b"]

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ([], "No model was given"),
            (["{}", "{}"], "Two models are called 'tiny'"),
            (["a b={}"], "'a b' is no name for addresses.*a-b="),
        ],
    )
    def test_that_cannot_be(self, given: list[str], message: str, onnx_file: Path) -> None:
        with pytest.raises(SettingsError, match=message):
            models_to_serve([one.format(onnx_file) for one in given], None)
