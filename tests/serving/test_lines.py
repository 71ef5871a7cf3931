"""Answers line by line."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest

from tenfold.serving.onnx_model import OnnxModel

pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")

LINES = "/api/predict/lines"


def npy(count: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.random.default_rng(4).integers(0, 256, (count, 16, 16, 3), np.uint8))
    return file.getvalue()


def lines(answer: Any) -> list[Any]:
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.splitlines()]


def test_one_an_image_in_the_order_sent(client: Any, onnx_content: bytes) -> None:
    body = npy(150)
    images = np.load(io.BytesIO(body))
    expected = OnnxModel(onnx_content, threads=1).predict_many(images).max(1)
    given = lines(client()("POST", LINES, body, query="top=1"))
    assert [one["probability"] for one in given] == pytest.approx(expected.tolist(), abs=1e-6)
    assert all(len(one["top"]) == 1 for one in given)


def test_an_image_that_cannot_be_read(client: Any, make_png: Any) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(80):
            archive.writestr(f"{number}.png", b"no" if number == 41 else make_png(seed=number))
    given = lines(client()("POST", LINES, file.getvalue()))
    assert [one["image"] for one in given] == [f"{number}.png" for number in range(80)]
    assert [number for number, one in enumerate(given) if "error" in one] == [41]


def test_more_than_are_taken(client: Any) -> None:
    answer = client(images_per_stream=100)("POST", LINES, npy(101))
    assert (answer.status, answer.json["error"]["code"]) == (413, "too_many_images")


def test_a_network_that_hangs_ends_the_answer(client: Any, hanging: Any) -> None:
    one = client(model=hanging, answer_seconds=0.05)
    given = lines(one("POST", LINES, npy(70)))
    assert [answer["error"]["code"] for answer in given] == ["too_slow"]


def test_a_client_that_left_stops_the_work(client: Any, hanging: Any) -> None:
    """And what was held for it is given back."""
    one = client(model=hanging, memory_mib=0.2)
    body = npy(150)
    assert len(body) > 0.1 * 2**20

    async def leave() -> None:
        is_given = False

        async def receive() -> dict[str, Any]:
            nonlocal is_given
            if not is_given:
                is_given = True
                return {"type": "http.request", "body": body, "more_body": False}
            await asyncio.to_thread(hanging.is_asked.wait, 10)
            return {"type": "http.disconnect"}

        await one.ask("POST", LINES, receive=receive)

    one.loop.run_until_complete(asyncio.wait_for(leave(), 20))
    hanging.may_run.set()
    assert len(lines(one("POST", LINES, body))) == 150, "there is room for as large a request again"
    text = one("GET", "/metrics").body.decode()
    assert 'tenfold_waiting_images{model="model"} 0' in text
