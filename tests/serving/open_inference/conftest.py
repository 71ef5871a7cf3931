"""One application for all requests that it refuses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asgi import AsgiClient
from tenfold.serving.onnx_model import OnnxModel


@pytest.fixture(scope="module")
def small(onnx_content: bytes) -> Iterator[AsgiClient]:
    """Give an application that takes four images at a time."""
    pytest.importorskip("fastapi")
    from tenfold.serving.app import create_app
    from tenfold.serving.settings import ServingSettings

    settings = ServingSettings(images_per_request=4)
    client = AsgiClient(create_app(OnnxModel(onnx_content, threads=1), settings))
    yield client
    client.close()
