"""Arrays, zips and JSON as bodies, as they should be and as they were made to harm."""

from __future__ import annotations

import base64
import io
import json
import pickle
import tracemalloc
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from asgi import AsgiClient
from tenfold.serving.onnx_model import OnnxModel

pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")

PREDICT = "/api/predict"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def model(onnx_content: bytes) -> OnnxModel:
    return OnnxModel(onnx_content, threads=1)


@pytest.fixture(scope="module")
def small(model: OnnxModel) -> Iterator[AsgiClient]:
    from tenfold.serving.app import create_app
    from tenfold.serving.settings import ServingSettings

    settings = ServingSettings(images_per_request=4, images_per_stream=40, body_mib=1)
    client = AsgiClient(create_app(model, settings))
    yield client
    client.close()


def noise(count: int = 3) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(4).integers(0, 256, (count, 16, 16, 3), np.uint8)


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def header(text: str) -> bytes:
    """Give the head of an array file that says what it likes."""
    body = text.encode() + b"\n"
    return b"\x93NUMPY\1\0" + len(body).to_bytes(2, "little") + body


def best(answer: Any) -> list[float]:
    assert answer.status == 200, answer.body
    return [one["probability"] for one in answer.json["results"]]


class TestAsTheyShouldBe:
    def test_an_array(self, small: Any, model: OnnxModel) -> None:
        expected = model.predict(noise()).max(1)
        answer = small("POST", PREDICT, npy(noise()), {"content-type": "application/x-npy"})
        assert best(answer) == pytest.approx(expected.tolist(), abs=1e-6)
        assert len(best(small("POST", PREDICT, npy(noise()[0])))) == 1

    def test_a_zip(self, small: Any, model: OnnxModel, make_png: Any) -> None:
        first, second, _ = (make_png(pixels) for pixels in noise())
        files = {
            "a/one.png": first,
            "a/": b"",
            "__MACOSX/a/._one.png": b"no",
            "a/.DS_Store": b"no",
            "../../two.png": second,
            "notes.txt": b"no image",
        }
        answer = small("POST", PREDICT, zipped(files))
        names = [one["image"] for one in answer.json["results"]]
        assert names == ["a/one.png", "../../two.png", "notes.txt"]
        expected = model.predict(noise()[:2]).max(1).tolist()
        given = [one.get("probability") for one in answer.json["results"]]
        assert given == [*(pytest.approx(one, abs=1e-6) for one in expected), None]

    def test_json(self, small: Any, model: OnnxModel, make_png: Any) -> None:
        texts = [base64.b64encode(make_png(pixels)).decode() for pixels in noise(2)]
        images = [texts[0], {"name": "b.png", "content": texts[1]}]
        answer = small("POST", PREDICT, json.dumps({"images": images}).encode(), JSON)
        assert [one["image"] for one in answer.json["results"]] == ["", "b.png"]
        expected = model.predict(noise(2)).max(1).tolist()
        assert best(answer) == pytest.approx(expected, abs=1e-6)

    def test_an_array_is_explained(self, client: Any) -> None:
        seen: list[Any] = []

        def explain(pixels: Any, predicted: int) -> dict[str, Any]:
            seen.append(pixels)
            return {}

        assert client(explainer=explain)("POST", "/api/explain", npy(noise(1))).status == 200
        np.testing.assert_array_equal(seen[0], noise(1)[0])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (npy(noise(5)), 413),
        (npy(noise()[:0]), 422),
        (npy(noise().astype(np.float32)), 422),
        (npy(noise().transpose(3, 2, 1, 0)), 422),
        (npy(noise()[:, :8]), 422),
        (npy(noise()[0, 0]), 422),
        (npy(noise())[:-1], 400),
        (npy(noise()) + b"0", 400),
        (npy(np.array([{"a": 1}], object), allow_pickle=True), 422),
        (b"\x93NUMPY" + pickle.dumps([1]), 400),
        (b"\x93NUMPY", 400),
        (b"\x93NUMPY\x03\0", 400),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (10**9, 16, 16, 3)}"), 400),
        (
            header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**30}, 16, 16, 3)}}"),
            413,
        ),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 16, 16, 3)}"), 422),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (True, 16, 16, 3)}"), 400),
        (header("(" * 9000), 400),
        (header("{'descr': '|u1'}" + " " * 60_000), 400),
        (header("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1, 16, 16, 3)}"), 422),
    ],
)
def test_a_bad_array(body: bytes, status: int, small: Any) -> None:
    answer = small("POST", PREDICT, body)
    assert answer.status == status, answer.body
    assert answer.json["error"]["message"].endswith(".")


def lying(entry_bytes: int, said: int) -> bytes:
    """Give a zip whose entry says that it is smaller than it is, here and in its own head."""
    content = zipped({"a.png": bytes(entry_bytes)})
    real, false = entry_bytes.to_bytes(4, "little"), said.to_bytes(4, "little")
    assert content.count(real) >= 2
    return content.replace(real, false)


class TestBadZips:
    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (zipped({}), 422),
            (zipped({"a/": b"", ".hidden": b"x"}), 422),
            (zipped({f"{n}.png": b"x" for n in range(5)}), 413),
            (zipped({f".{n}": b"" for n in range(1100)}), 413),
            (zipped({"a.png": bytes(2**20 + 1)}), 413),
            (zipped({"a.png": bytes(2**19), "b.png": bytes(2**19 + 1)}), 413),
            (zipped({"a.png": b"x"}, zipfile.ZIP_LZMA), 415),
            (zipped({"a.png": b"x"}, zipfile.ZIP_BZIP2), 415),
            (zipped({"a.png": bytes(500)})[:-30], 400),
            (b"PK\3\4" + bytes(100), 400),
            (b"PK\5\6" + b"\xff" * 18, 400),
            (zipped({"a.png": b"no image"}), 422),
        ],
        ids=range(12),  # Bytes would name a test by the hour that the zip was made at.
    )
    def test_is_refused(self, body: bytes, status: int, small: Any) -> None:
        answer = small("POST", PREDICT, body)
        assert answer.status == status, answer.body
        assert answer.json["error"]["message"].endswith(".")

    def test_a_bomb_that_lies_takes_no_memory(self, small: Any) -> None:
        body = lying(50_000_000, 1000)
        assert len(body) < 2**20
        tracemalloc.start()
        try:
            answer = small("POST", PREDICT, body)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert answer.status == 400
        assert peak < 3_000_000

    def test_a_zip_in_a_zip_is_no_image(self, small: Any) -> None:
        inner = zipped({"a.png": b"x"})
        answer = small("POST", PREDICT, zipped({"b.zip": inner}))
        assert answer.status == 422

    def test_damaged_anywhere(self, small: Any, make_png: Any) -> None:
        whole = bytearray(zipped({"a.png": make_png(), "b.png": make_png(seed=2)}))
        generator = np.random.default_rng(3)
        for _ in range(150):
            body = bytearray(whole)
            for place in generator.integers(4, len(body), 3):
                body[place] = generator.integers(256)
            answer = small("POST", PREDICT, bytes(body))
            assert answer.status in {200, 400, 413, 415, 422}, answer.body


@pytest.mark.parametrize(
    "values",
    [
        *([], {}, "x", {"images": 1}, {"images": []}, {"images": [1]}, {"images": [{}]}),
        *({"images": ["é"]}, {"images": ["A"]}, {"images": [{"name": 1, "content": "AA=="}]}),
    ],
)
def test_bad_json(values: Any, small: Any) -> None:
    answer = small("POST", PREDICT, json.dumps(values).encode(), JSON)
    assert answer.status in {400, 422}
    assert answer.json["error"]["message"].endswith(".")


def test_what_is_held_is_given_back(client: Any, make_png: Any) -> None:
    """Memory of requests that failed would be missing for ever."""
    one = client(memory_mib=0.1)
    broken = bytearray(zipped({"a.png": bytes(1000)}, zipfile.ZIP_STORED))
    broken[60] = 1
    bodies = [zipped({"a.png": bytes(20_000)}), npy(noise()), bytes(broken), npy(noise())[:-1]]
    for body in bodies * 10:
        assert one("POST", PREDICT, body).status in {200, 400, 422}
