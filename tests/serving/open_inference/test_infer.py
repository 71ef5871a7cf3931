"""What the protocol's addresses answer to requests as clients make them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.core.records.guarantees import PredictionSets
from tenfold.serving.onnx_model import OnnxModel

pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")

INFER = "/v2/models/model/infer"
PUBLISHED = Path(__file__).parent / "published.json"
"""Paths and fields of open_inference_rest.yaml, of github.com/kserve/open-inference-protocol."""


def noise(count: int = 3) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(4).integers(0, 256, (count, 16, 16, 3), np.uint8)


def tensor(datatype: str, shape: list[int], **more: Any) -> dict[str, Any]:
    return {"name": "images", "datatype": datatype, "shape": shape, **more}


def body(asked: Any, behind: bytes = b"") -> tuple[bytes, dict[str, str]]:
    """Give a body, and the header that says where its JSON text ends."""
    text = json.dumps(asked).encode()
    return text + behind, {"inference-header-content-length": str(len(text))}


def binary(images: Any, **more: Any) -> tuple[bytes, dict[str, str]]:
    content = images.tobytes()
    one = tensor("UINT8", list(images.shape), parameters={"binary_data_size": len(content)})
    return body({"inputs": [one], **more}, content)


def outputs(answer: Any) -> dict[str, Any]:
    """Give the outputs of an answer by name, those behind the JSON text as bytes."""
    assert answer.status == 200, answer.body
    length = int(answer.headers.get("inference-header-content-length", len(answer.body)))
    found, at = {}, length
    for one in json.loads(answer.body[:length])["outputs"]:
        size = one.get("parameters", {}).get("binary_data_size")
        found[one["name"]] = one["data"] if size is None else answer.body[at : at + size]
        at += size or 0
    assert at == len(answer.body)
    return found


@pytest.fixture
def expected(onnx_content: bytes) -> Any:
    return OnnxModel(onnx_content, threads=1).predict(noise())


class TestPixels:
    @pytest.mark.parametrize("is_flat", [True, False])
    def test_numbers_in_json(self, is_flat: bool, client: Any, expected: Any) -> None:
        data = noise().ravel().tolist() if is_flat else noise().tolist()
        asked = {"id": "42", "inputs": [tensor("UINT8", [3, 16, 16, 3], data=data)]}
        answer = client()("POST", INFER, body(asked)[0])
        assert answer.headers["content-type"] == "application/json"
        assert (answer.json["model_name"], answer.json["model_version"]) == ("model", "1")
        assert answer.json["id"] == "42"
        given = {one["name"]: one for one in answer.json["outputs"]}
        assert given["probabilities"]["shape"] == [3, 3]
        assert given["probabilities"]["datatype"] == "FP32"
        assert given["probabilities"]["data"] == pytest.approx(expected.ravel().tolist(), abs=1e-6)
        classes = ("cat", "dög", "<b>owl</b>")
        assert given["class"]["data"] == [classes[index] for index in expected.argmax(1)]

    def test_bytes_behind_the_text_and_bytes_back(self, client: Any, expected: Any) -> None:
        one = client()
        asked, headers = binary(noise(), parameters={"binary_data_output": True})
        answer = one("POST", "/v2/models/model/versions/1/infer", asked, headers)
        assert answer.headers["content-type"] == "application/octet-stream"
        given = outputs(answer)
        rows = np.frombuffer(given["probabilities"], np.float32).reshape(3, 3)
        np.testing.assert_allclose(rows, expected, atol=1e-6)
        first = ("cat", "dög", "<b>owl</b>")[int(expected[0].argmax())].encode()
        assert given["class"].startswith(len(first).to_bytes(4, "little") + first)

    def test_of_each_output_as_it_is_asked_for(self, client: Any, expected: Any) -> None:
        wanted = [
            {"name": "class", "parameters": {"binary_data": True}},
            {"name": "probabilities", "parameters": {"classification": 2}},
        ]
        given = outputs(client()("POST", INFER, *binary(noise(), outputs=wanted)))
        assert isinstance(given["class"], bytes)
        assert len(given["probabilities"]) == 6
        probability, index, _ = given["probabilities"][0].split(":")
        assert float(probability) == pytest.approx(expected[0].max(), abs=1e-6)
        assert int(index) == expected[0].argmax()


class TestFiles:
    @pytest.fixture
    def files(self, make_png: Any) -> list[bytes]:
        return [make_png(pixels) for pixels in noise()]

    def test_in_base64(self, client: Any, files: Any, expected: Any) -> None:
        data = [base64.b64encode(one).decode() for one in files]
        asked = {"inputs": [tensor("BYTES", [3], data=data)]}
        given = outputs(client()("POST", INFER, body(asked)[0]))
        assert given["probabilities"] == pytest.approx(expected.ravel().tolist(), abs=1e-6)

    @pytest.mark.parametrize("shape", [[3], [3, 1]])
    def test_behind_the_text(self, shape: Any, client: Any, files: Any, expected: Any) -> None:
        content = b"".join(len(one).to_bytes(4, "little") + one for one in files)
        one = tensor("BYTES", shape, parameters={"binary_data_size": len(content)})
        given = outputs(client()("POST", INFER, *body({"inputs": [one]}, content)))
        assert given["probabilities"] == pytest.approx(expected.ravel().tolist(), abs=1e-6)

    def test_says_which_cannot_be_read(self, client: Any, files: Any) -> None:
        data = [base64.b64encode(one).decode() for one in (files[0], b"no image")]
        answer = client()("POST", INFER, body({"inputs": [tensor("BYTES", [2], data=data)]})[0])
        assert answer.status == 422
        assert "Image 1 of 2" in answer.json["error"]


def test_sets_and_unlikeness(client: Any, onnx_content: bytes) -> None:
    tiny = OnnxModel(onnx_content, threads=1)
    sets = PredictionSets(
        wanted_coverage=0.9,
        least_probabilities=(0.3, 0.3, 0.3),
        calibration_counts=(9, 9, 9),
        has_own_threshold=(False, False, False),
        calibrated_on="validation",
    )

    class Promising:
        description = tiny.description.model_copy(
            update={"unlike_threshold": 0.5, "prediction_sets": sets}
        )
        image_shape, classes = tiny.image_shape, tiny.classes

        def predict_with_score(self, images: Any) -> Any:
            scores = np.linspace(0, 1, len(images), dtype=np.float32)[:, None]
            return np.concatenate([tiny.predict(images), scores], axis=1)

    one = client(model=Promising(), batch_images=64)
    given = outputs(one("POST", INFER, *binary(noise())))
    rows = np.array(given["probabilities"]).reshape(3, 3)
    assert np.array(given["set"]).reshape(3, 3).tolist() == sets.members(rows).tolist()
    assert given["unlike"] == [score > 0.5 for score in given["unlikeness"]]
    described = one("GET", "/v2/models/model").json
    assert {out["name"]: out["shape"] for out in described["outputs"]} == {
        "probabilities": [-1, 3],
        "class": [-1],
        "unlikeness": [-1],
        "unlike": [-1],
        "set": [-1, 3],
    }


class TestDescriptions:
    def test_of_the_model(self, client: Any) -> None:
        described = client()("GET", "/v2/models/model/versions/1").json
        assert described["inputs"] == [
            {"name": "images", "datatype": "UINT8", "shape": [-1, 16, 16, 3]}
        ]
        assert described["versions"] == ["1"]
        assert described["parameters"]["classes"] == ["cat", "dög", "<b>owl</b>"]

    def test_of_the_server(self, client: Any) -> None:
        one = client()
        assert one("GET", "/v2").json == one("GET", "/v2/").json
        assert "binary_tensor_data" in one("GET", "/v2").json["extensions"]
        assert one("GET", "/v2/models").json == {"models": ["model"]}

    def test_of_its_state(self, client: Any, hanging: Any, make_png: Any) -> None:
        one = client(model=hanging, answer_seconds=0.02)
        states = ("/v2/health/live", "/v2/health/ready", "/v2/models/model/ready")
        assert [one("GET", path).status for path in states] == [200] * 3
        one("POST", "/api/predict", make_png(), {"content-type": "image/png"})
        hanging.is_asked.wait(10)
        for _ in range(1000):
            if [one("GET", path).status for path in states] == [503] * 3:
                break
        else:
            raise AssertionError
        assert isinstance(one("GET", "/v2/health/live").json["error"], str)

    @pytest.mark.parametrize(
        "path",
        [
            "/v2/models/other",
            "/v2/models/model/versions/2",
            "/v2/models/model/versions/2/ready",
            "/v2/none",
        ],
    )
    def test_of_what_is_not_here(self, path: str, client: Any) -> None:
        answer = client()("GET", path)
        assert answer.status == 404
        assert isinstance(answer.json["error"], str)

    def test_what_is_published_is_there(self, client: Any) -> None:
        published = json.loads(PUBLISHED.read_text())
        described = client()("GET", "/openapi.json").json
        for path, methods in published["paths"].items():
            assert set(methods) <= set(described["paths"][path]), path
        for name, fields in published["schemas"].items():
            ours = described["components"]["schemas"][name]
            assert set(fields["required"]) <= set(ours["properties"]), name
            assert set(ours.get("required", ())) <= set(fields["all"]) | {"parameters"}, name


def test_the_token_and_the_counters(client: Any) -> None:
    one = client(token="secret")
    assert one("GET", "/v2/health/ready").status == 200
    refused = one("GET", "/v2/models/model")
    assert refused.status == 401
    assert isinstance(refused.json["error"], str)
    allowed = {"authorization": "Bearer secret"}
    asked, headers = binary(noise())
    assert one("POST", INFER, asked, headers | allowed).status == 200
    text = one("GET", "/metrics", headers=allowed).body.decode()
    assert 'path="/v2/models/{name}/infer",status="200"} 1' in text
    assert 'tenfold_request_seconds_bucket{le="+Inf"} 1' in text
