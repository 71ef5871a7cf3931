"""What the application answers, without a network."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.data.images.decoding import decode_image
from tenfold.serving.onnx_model import OnnxModel
from tenfold.serving.predictor import Batcher

pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")

BOUNDARY = {"content-type": "multipart/form-data; boundary=XX"}
HEALTH = ("/health", "/health/ready", "/health/live")
BYTES = {"content-type": "application/octet-stream"}


def form(*files: tuple[str, bytes]) -> bytes:
    parts = [
        b'--XX\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in files
    ]
    return b"".join(parts) + b"--XX--\r\n"


class TestPredict:
    def test_gives_what_the_model_gives(
        self, client: Any, make_png: Any, onnx_content: Any
    ) -> None:
        pixels = np.random.default_rng(4).integers(0, 256, (16, 16, 3), np.uint8)
        expected = OnnxModel(onnx_content, threads=1).predict(pixels[None])[0]
        answer = client()("POST", "/api/predict", make_png(pixels), BYTES)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        (result,) = answer.json["results"]
        classes = ("cat", "dög", "<b>owl</b>")
        assert result["image"] == ""
        assert result["class"] == classes[int(expected.argmax())]
        assert result["probability"] == pytest.approx(float(expected.max()), abs=1e-6)
        given = {one["class"]: one["probability"] for one in result["top"]}
        assert given == pytest.approx(dict(zip(classes, expected.tolist(), strict=True)), abs=1e-6)
        order = [one["probability"] for one in result["top"]]
        assert order == sorted(order, reverse=True)

    def test_a_form_with_several(self, client: Any, make_png: Any) -> None:
        body = form(("a.png", make_png(seed=1)), ("b.txt", b"no"), ("c.jpg", make_png(seed=2)))
        answer = client()("POST", "/api/predict", body, BOUNDARY, query="top=1")
        assert answer.status == 200
        first, second, third = answer.json["results"]
        assert [len(first["top"]), len(third["top"])] == [1, 1]
        assert (first["image"], second["image"], third["image"]) == ("a.png", "b.txt", "c.jpg")
        assert second["error"]["code"] == "unreadable"
        assert "PNG, JPEG, WebP" in second["error"]["message"], "what is taken"

    def test_a_form_of_which_nothing_can_be_read(self, client: Any) -> None:
        answer = client()("POST", "/api/predict", form(("a", b"x"), ("b", b"y")), BOUNDARY)
        assert (answer.status, answer.json["error"]["code"]) == (422, "unreadable")

    @pytest.mark.parametrize(
        ("body", "headers", "query", "status", "code"),
        [
            (b"", BYTES, "", 422, "empty"),
            (b"hello", BYTES, "", 422, "unreadable"),
            (b"{}", {"content-type": "application/json"}, "", 422, "bad_request"),
            (b"x", {"content-type": "multipart/form-data"}, "", 400, "bad_form"),
            (b"--XX--\r\n", BOUNDARY, "", 422, "empty"),
            (b"x", BYTES, "top=0", 422, "parameter"),
            (b"x", BYTES, "top=many", 422, "parameter"),
            (b"x" * 2_000_000, BYTES, "", 413, "too_large"),
            (b"x", BYTES | {"content-length": "9" * 5000}, "", 413, "too_large"),
            (form(*[("a", b"x")] * 4), BOUNDARY, "", 413, "too_many_images"),
        ],
    )
    def test_says_why_not(  # noqa: PLR0917 -- pytest passes them by name
        self, body: bytes, headers: Any, query: str, status: int, code: str, client: Any
    ) -> None:
        one = client(body_mib=1, images_per_request=3)
        answer = one("POST", "/api/predict", body, headers, query=query)
        assert (answer.status, answer.json["error"]["code"]) == (status, code)
        assert answer.json["error"]["message"].endswith(".")

    def test_an_undeclared_large_body(self, client: Any) -> None:
        one = client(body_mib=0.01)
        answer = one("POST", "/api/predict", bytes(20_000), {"content-length": "nonsense"})
        assert answer.status == 413

    def test_too_many_pixels(self, client: Any, make_png: Any) -> None:
        content = make_png(np.zeros((200, 200, 3), np.uint8))
        answer = client(megapixels=0.03)("POST", "/api/predict", content, BYTES)
        assert (answer.status, answer.json["error"]["code"]) == (413, "too_many_pixels")

    def test_a_body_that_does_not_come(self, client: Any) -> None:
        one = client(receive_seconds=0.05)

        async def never() -> dict[str, Any]:
            await asyncio.sleep(60)
            raise AssertionError

        answer = one.loop.run_until_complete(
            one.ask("POST", "/api/predict", b"", BYTES, receive=never)
        )
        assert (answer.status, answer.json["error"]["code"]) == (408, "too_slow")
        assert answer.headers["connection"] == "close"

    def test_a_client_that_left(self, client: Any) -> None:
        one = client()

        async def gone() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        answer = one.loop.run_until_complete(
            one.ask("POST", "/api/predict", b"", BYTES, receive=gone)
        )
        assert answer.status == 0
        assert 'path="/api/predict",status="499"} 1' in one("GET", "/metrics").body.decode()

    def test_a_small_file_with_many_pixels(self, client: Any, make_png: Any) -> None:
        content = make_png(np.zeros((1200, 1000, 3), np.uint8))
        assert len(content) < 65_536
        one = client()
        assert one("POST", "/api/predict", content, BYTES).status == 200
        assert 'outcome="predicted"} 1' in one("GET", "/metrics").body.decode()

    def test_many_large_bodies_at_once(self, client: Any, make_png: Any) -> None:
        one = client(memory_mib=0.001)
        answer = one("POST", "/api/predict", bytes(2000), BYTES)
        assert (answer.status, answer.json["error"]["code"]) == (503, "busy")
        assert answer.headers["retry-after"] == "1"
        assert one("POST", "/api/predict", make_png(), BYTES).status == 200, "it was given back"

    def test_concurrent_requests_get_their_own(
        self, client: Any, make_png: Any, onnx_content: Any
    ) -> None:
        generator = np.random.default_rng(6)
        images = generator.integers(0, 256, (60, 16, 16, 3), np.uint8)
        expected = OnnxModel(onnx_content, threads=1).predict_many(images).max(1)
        one = client()

        async def ask_all() -> Any:
            return await asyncio.gather(
                *(one.ask("POST", "/api/predict", make_png(pixels), BYTES) for pixels in images)
            )

        answers = one.loop.run_until_complete(ask_all())
        received = [answer.json["results"][0]["probability"] for answer in answers]
        assert received == pytest.approx(expected.tolist(), abs=1e-6)
        text = one("GET", "/metrics").body.decode()
        runs = int(re.findall(r"tenfold_batch_images_count{model=\"model\"} (\d+)", text)[0])
        assert runs < 60
        assert 'tenfold_batch_images_sum{model="model"} 60' in text

    def test_an_internal_error_says_nothing_of_the_machine(
        self, client: Any, make_png: Any, onnx_content: Any, caplog: Any
    ) -> None:
        class Broken:
            description = OnnxModel(onnx_content, threads=1).description
            image_shape = description.image_shape
            classes = description.classes

            def predict(self, images: Any) -> Any:
                raise ValueError("secret /home/someone/model.onnx")

        answer = client(model=Broken())("POST", "/api/predict", make_png(), BYTES)
        assert answer.status == 500
        assert answer.json["error"]["code"] == "internal"
        assert b"secret" not in answer.body
        assert b"Traceback" not in answer.body
        assert "secret" in caplog.text


class TestState:
    def test_a_network_that_hangs_is_told(self, client: Any, hanging: Any, make_png: Any) -> None:
        one = client(model=hanging, answer_seconds=0.1)

        def health() -> list[int]:
            return [one("GET", path).status for path in HEALTH]

        def until(statuses: list[int]) -> None:
            for _ in range(1000):
                if health() == statuses:
                    return
                one.loop.run_until_complete(asyncio.sleep(0.01))
            raise AssertionError(f"it never is: {statuses}")

        assert health() == [200, 200, 200]
        late = one("POST", "/api/predict", make_png(), BYTES)
        assert (late.status, late.json["error"]["code"]) == (503, "too_slow")
        until([503, 503, 503])
        assert one("GET", "/health/ready").json["error"]["code"] == "not_ready"
        refused = one("POST", "/api/predict", make_png(), BYTES)
        assert (refused.status, refused.json["error"]["code"]) == (503, "not_ready")
        hanging.may_run.set()
        until([200, 200, 200])
        assert one("POST", "/api/predict", make_png(), BYTES).status == 200

    def test_alive_but_not_ready(self, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Batcher, "running_seconds", 15.0)
        one = client(answer_seconds=10)
        assert [one("GET", path).status for path in HEALTH] == [503, 503, 200]

    @pytest.mark.parametrize("unsound", [np.nan, np.inf, -np.inf, 0.0, -0.2])
    def test_numbers_that_are_no_probabilities(
        self, unsound: float, client: Any, make_png: Any, onnx_content: Any
    ) -> None:
        tiny = OnnxModel(onnx_content, threads=1)

        class Unsound:
            description, image_shape, classes = tiny.description, tiny.image_shape, tiny.classes

            def predict(self, images: Any) -> Any:
                rows = tiny.predict(images)
                rows[images.reshape(len(images), -1).max(1) == 0] = unsound
                return rows

        one = client(model=Unsound())
        black = make_png(np.zeros((16, 16, 3), np.uint8))
        answer = one("POST", "/api/predict", black, BYTES)
        assert (answer.status, answer.json["error"]["code"]) == (500, "no_probabilities")
        several = one("POST", "/api/predict", form(("a", make_png()), ("b", black)), BOUNDARY)
        assert several.status == 200
        first, second = several.json["results"]
        assert first["class"]
        assert second["error"]["code"] == "no_probabilities"
        for body in (answer.body, several.body):
            assert b"NaN" not in body
            assert b"Infinity" not in body

    def test_nothing_that_is_no_number_gets_into_an_answer(
        self, client: Any, make_png: Any
    ) -> None:
        def explain(pixels: Any, predicted: int) -> dict[str, Any]:
            return {"seen": "data:a", "heat": None, "neighbours": [{"similarity": np.nan}]}

        answer = client(explainer=explain)("POST", "/api/explain", make_png(), BYTES)
        assert (answer.status, answer.json["error"]["code"]) == (500, "internal")

    @pytest.mark.parametrize("path", ["/", "/health", "/api/model", "/metrics"])
    def test_head(self, path: str, client: Any) -> None:
        assert client()("HEAD", path).status == 200


def explain(pixels: Any, predicted: int) -> dict[str, Any]:
    return {"seen": "data:a", "heat": None, "neighbours": []}


class TestExplain:
    def test_is_about_the_predicted_class(self, client: Any, make_png: Any) -> None:
        one = client(explainer=explain)
        predicted = one("POST", "/api/predict", make_png(), BYTES).json["results"][0]
        answer = one("POST", "/api/explain", make_png(), BYTES)
        assert answer.json == {
            "class": predicted["class"],
            "probability": predicted["probability"],
            "seen": "data:a",
            "heat": None,
            "neighbours": [],
        }

    def test_the_image_is_decoded_once(
        self, client: Any, make_png: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []

        def decode(file: Any, *arguments: Any, **options: Any) -> Any:
            sizes.append(len(file.getvalue()))
            return decode_image(file, *arguments, **options)

        monkeypatch.setattr("tenfold.serving.decoding.decode_image", decode)
        content = make_png()
        one = client(explainer=explain)
        assert one("POST", "/api/explain", content, BYTES).status == 200
        assert sizes == [len(content)]

    def test_of_one_image_only(self, client: Any, make_png: Any) -> None:
        body = form(("a", make_png()), ("b", make_png()))
        answer = client(explainer=explain)("POST", "/api/explain", body, BOUNDARY)
        assert answer.status == 413

    def test_without_any(self, client: Any, make_png: Any) -> None:
        answer = client()("POST", "/api/explain", make_png(), BYTES)
        assert (answer.status, answer.json["error"]["code"]) == (501, "no_explanations")


class TestOthers:
    def test_health(self, client: Any) -> None:
        assert client()("GET", "/health").json == {"status": "ok"}

    def test_model(self, client: Any) -> None:
        answer = client()("GET", "/api/model").json
        assert answer["classes"] == ["cat", "dög", "<b>owl</b>"]
        assert answer["image_shape"] == [16, 16, 3]
        assert (answer["accuracy"], answer["explains"]) == (0.75, False)

    def test_metrics_are_what_prometheus_reads(self, client: Any, make_png: Any) -> None:
        one = client()
        one("POST", "/api/predict", make_png(), BYTES)
        one("POST", "/api/predict", b"no", BYTES)
        one("GET", "/no/such/" + "x" * 100)
        answer = one("GET", "/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        text = answer.body.decode()
        sample = r'[a-z_]+(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? [0-9.e+-]+'
        for line in text.splitlines():
            assert re.fullmatch(rf"# (HELP|TYPE) .+|{sample}", line), line
        assert 'tenfold_requests_total{path="/api/predict",status="200"} 1' in text
        assert 'tenfold_requests_total{path="/api/predict",status="422"} 1' in text
        assert 'tenfold_requests_total{path="other",status="404"} 1' in text
        assert 'tenfold_images_total{model="model",outcome="predicted"} 1' in text
        assert 'tenfold_images_total{model="model",outcome="unreadable"} 1' in text
        assert 'tenfold_request_seconds_bucket{le="+Inf"} 2' in text
        assert "tenfold_requests_in_progress 1" in text, "this one alone"
        counts = {
            part: int(re.findall(rf'tenfold_{part}_seconds_count{{model="model"}} (\d+)', text)[0])
            for part in ("queue", "decode", "network")
        }
        assert counts == {"queue": 2, "decode": 1, "network": 1}, "one could not be decoded"

    def test_openapi_describes_the_addresses(self, client: Any) -> None:
        described = client()("GET", "/openapi.json").json
        assert described["openapi"].startswith("3.")
        own = {path for path in described["paths"] if not path.startswith("/v2")}
        assert own == {
            "/api/predict",
            "/api/predict/lines",
            "/api/explain",
            "/api/model",
            "/api/models",
            "/api/models/{name}",
            "/api/models/{name}/predict",
            "/api/models/{name}/predict/lines",
            "/api/models/{name}/explain",
            "/health",
            "/health/live",
            "/health/ready",
            "/metrics",
        }
        body = described["paths"]["/api/predict"]["post"]["requestBody"]["content"]
        assert {"multipart/form-data", "image/*"} <= set(body)
        result = described["components"]["schemas"]["ImageResult"]["properties"]
        assert set(result) == {"image", "unlike", "class", "probability", "set", "top", "error"}

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [("GET", "/nothing", 404), ("GET", "/api/predict", 405), ("POST", "/health", 405)],
    )
    def test_no_such_thing(self, method: str, path: str, status: int, client: Any) -> None:
        answer = client()(method, path)
        assert answer.status == status
        assert json.loads(answer.body)["error"]["code"] == "refused"

    @pytest.mark.parametrize("path", ["/", "/page.css", "/health", "/nothing", "/openapi.json"])
    def test_every_answer_is_safe(self, path: str, client: Any) -> None:
        headers = client()("GET", path).headers
        assert headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_more_classes_than_there_are_may_be_asked_for(client: Any, make_png: Any) -> None:
    answer = client()("POST", "/api/predict", make_png(), BYTES, query=f"top={10**50}")
    assert (answer.status, len(answer.json["results"][0]["top"])) == (200, 3)


def test_an_exported_file_is_served_without_torch(onnx_file: Path) -> None:
    program = """
import sys
from pathlib import Path
from tenfold.serving.app import create_app
from tenfold.serving.model import prepare_model
from tenfold.serving.server import run_server
from tenfold.serving.settings import ServingSettings

create_app(prepare_model(Path(sys.argv[1])).model, ServingSettings())
sys.exit("torch" in sys.modules)  # which takes seconds to import
"""
    assert (
        subprocess.run([sys.executable, "-c", program, str(onnx_file)], check=False).returncode == 0
    )
