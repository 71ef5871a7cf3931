"""The KServe manifest names what the server has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tenfold.cli.main import app

yaml = pytest.importorskip("yaml", reason="needs PyYAML")
DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="module")
def predictor() -> dict[str, Any]:
    service = yaml.safe_load((DEPLOY / "kserve.yaml").read_text("utf-8"))
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert service["kind"] == "InferenceService"
    return dict(service["spec"]["predictor"])


def test_the_container_is_started_as_the_command_takes_it(predictor: dict[str, Any]) -> None:
    (container,) = predictor["containers"]
    assert container["name"] == "kserve-container"
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    with serve.make_context("serve", list(container["args"])) as context:
        port = context.params["port"]
        (model,) = context.params["models"]
    assert [one["containerPort"] for one in container["ports"]] == [port]
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    assert "/models" in mounts
    assert "/models/" in str(model)
    assert set(mounts.values()) == {one["name"] for one in predictor["volumes"]}
    image = re.search(r"image: (tenfold-serve:\S+)", (DEPLOY / "kubernetes.yaml").read_text())
    assert image is not None
    assert container["image"] == image[1]


def test_probes_ask_routes_that_need_no_token(predictor: dict[str, Any]) -> None:
    (container,) = predictor["containers"]
    names = {one["name"] for one in container["ports"]}
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[kind]["httpGet"]
        assert asked["path"] in ("/health/ready", "/health/live")
        assert asked["port"] in names


def test_it_runs_with_few_rights(predictor: dict[str, Any]) -> None:
    (container,) = predictor["containers"]
    assert predictor["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
