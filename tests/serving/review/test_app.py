from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")

from tenfold.core.errors import RunFolderError
from tenfold.data.reviews import RESOLVED
from tenfold.serving.review.app import TOKEN_HEADER, create_review_app
from tenfold.serving.review.session import ReviewSession
from tenfold.serving.review.study import ReviewedStudy


class Page:
    """A reviewer's page, as far as the server knows it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.token = self.get("/api/state")["token"]

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
        path, _, query = path.partition("?")
        return self.client(method, path, body, {"host": "127.0.0.1", **headers}, query=query)

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    def post(self, path: str, **body: Any) -> Any:
        return self.ask("POST", path, json.dumps(body).encode(), **{TOKEN_HEADER: self.token})


@pytest.fixture
def open_page(reviewed: Path) -> Iterator[Callable[..., Page]]:
    """Give a function that starts a server for a reviewer, and opens its page."""
    from asgi import AsgiClient

    made: list[Any] = []

    def start(reviewer: str = "ann") -> Page:
        made.append(
            AsgiClient(create_review_app(ReviewSession(ReviewedStudy.read(reviewed), reviewer)))
        )
        return Page(made[-1])

    yield start
    for client in made:
        client.close()


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


def test_the_page_refers_to_nothing_outside(page: Page) -> None:
    for path, kind in (("/", "text/html"), ("/review.css", "text/css"), ("/review.js", "text/")):
        answer = page.ask("GET", path)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith(kind)
        assert b"http://" not in answer.body
        assert b"https://" not in answer.body
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert page.token.encode() not in page.ask("GET", "/").body


def test_issues_pairs_and_classes(page: Page, reviewed: Path) -> None:
    state = page.get("/api/state")
    names = [one["name"] for one in state["lists"]]
    assert names == ["test", "train", "pairs"]
    first = page.get("/api/rows?name=pairs&start=0&count=5")["rows"][0]
    labels = {one["id"]: one["given"] for one in first["items"]}
    assert len(set(labels.values())) == 2  # conflicts first
    assert first["is_exact"]
    listed = page.get("/api/rows?name=train&start=0&count=500")
    assert listed["total"] == len(listed["rows"])
    one = page.get(f"/api/item?id={listed['rows'][0][0]}")
    assert one["rank"] == 1
    assert one["given"] != one["suggested"]
    assert one["given"] in [label for label, _ in one["probabilities"]]
    near = page.get(f"/api/nearest?id={one['id']}")["images"]
    assert len(near) > 3
    assert one["id"] not in [each["id"] for each in near]
    of_class = page.get("/api/rows?name=class/train/1&start=0&count=500")
    assert of_class["total"] == state["class_counts"]["train"][1]


def test_pictures_are_those_of_the_data_set(page: Page, reviewed: Path) -> None:
    digest = page.get("/api/state")["digest"]
    answer = page.ask("GET", f"/image/{digest}/large/test/2")
    assert "immutable" in answer.headers["cache-control"]
    shown = np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGB"))
    study = ReviewedStudy.read(reviewed)
    assert np.array_equal(shown, study.splits["test"].given.images.whole_pictures([2])[0])  # type: ignore[union-attr]
    for path in ("other/large/test/2", f"{digest}/huge/test/2", f"{digest}/large/test/99"):
        assert page.ask("GET", f"/image/{path}").status == 404


def test_a_picture_that_is_gone(page: Page, reviewed: Path) -> None:
    digest = page.get("/api/state")["digest"]
    for path in (reviewed / "acquire").glob("train_[ip]*"):
        path.write_bytes(b"")
    answer = page.ask("GET", f"/image/{digest}/large/train/1")
    assert answer.status == 410
    assert "tenfold acquire" in answer.json["error"]["message"]
    assert page.post("/api/decide", id="train/1", verdict="drop").status == 200


def test_a_decision_is_on_disk_before_the_answer(page: Page, reviewed: Path) -> None:
    name = page.get("/api/rows?name=train&start=0&count=1")["rows"][0][0]
    made = page.post("/api/decide", id=name, verdict="relabel", label=2).json["decision"]
    assert (made["verdict"], made["label"]) == ("relabel", 2)
    lines = (reviewed / "review" / "ann.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["id"] == name
    corrections = (reviewed / "review" / "corrections.csv").read_text()
    assert corrections.splitlines()[1].startswith(f"{name},")
    assert page.get("/api/state")["history"] == [made["number"]]
    assert page.get("/api/next?name=train&after=0")["place"] == 1
    undone = page.post("/api/undo", number=made["number"])
    assert undone.json == {"id": name, "decision": None}
    assert page.get("/api/next?name=train&after=0")["place"] == 0


def test_two_tabs(page: Page) -> None:
    first = page.post("/api/decide", id="train/3", verdict="keep", expects=None)
    number = first.json["decision"]["number"]
    blind = page.post("/api/decide", id="train/3", verdict="drop", expects=None)
    assert blind.status == 409
    assert page.get("/api/item?id=train/3")["decision"]["verdict"] == "keep"
    assert page.post("/api/decide", id="train/3", verdict="drop", expects=number).status == 200
    assert page.post("/api/undo", number=number).status == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": "train/999", "verdict": "drop"}, 404),
        ({"id": "../x", "verdict": "drop"}, 404),
        ({"id": "train/0", "verdict": "burn"}, 422),
        ({"id": "train/0", "verdict": "relabel"}, 422),
        ({"id": "train/0", "verdict": "relabel", "label": 3}, 422),
        ({"id": "train/0", "verdict": "relabel", "label": True}, 422),
        ({"id": "train/0", "verdict": "drop", "expects": "1"}, 422),
        ({"id": "x" * 5000, "verdict": "drop"}, 413),
    ],
)
def test_what_is_no_decision(page: Page, reviewed: Path, body: dict[str, Any], status: int) -> None:
    assert page.post("/api/decide", **body).status == status
    assert not list((reviewed / "review").glob("*.jsonl"))


def test_strangers_write_nothing(page: Page, reviewed: Path) -> None:
    body = json.dumps({"id": "train/0", "verdict": "drop"}).encode()
    token = {TOKEN_HEADER: page.token}
    assert page.ask("POST", "/api/decide", body).status == 403
    assert page.ask("POST", "/api/decide", body, **{TOKEN_HEADER: "guess"}).status == 403
    elsewhere = {"origin": "http://evil.example"}
    assert page.ask("POST", "/api/decide", body, **token, **elsewhere).status == 403
    rebound = page.client("GET", "/api/state", b"", {"host": "evil.example"})
    assert rebound.status == 421
    assert not (reviewed / "review").exists()


def test_the_second_reviewer_is_blind(open_page: Callable[..., Page]) -> None:
    ann, ben = open_page("ann"), open_page("ben")
    ann.post("/api/decide", id="train/0", verdict="drop")
    ann.post("/api/decide", id="train/1", verdict="drop")
    item = ben.get("/api/item?id=train/0")
    assert (item["decision"], item["said"]) == (None, {})
    ben.post("/api/decide", id="train/0", verdict="keep")
    ben.post("/api/decide", id="train/1", verdict="drop")
    progress = ben.get("/api/progress?name=train")
    assert progress["disagreements"] == 1
    (agreement,) = progress["agreements"]
    assert (agreement["images"], agreement["share"]) == (2, 0.5)
    resolver = open_page(RESOLVED)
    assert resolver.get("/api/rows?name=disagreements&start=0&count=9")["total"] == 1
    said = resolver.get("/api/item?id=train/0")["said"]
    assert {name: one["verdict"] for name, one in said.items()} == {"ann": "drop", "ben": "keep"}
    resolver.post("/api/decide", id="train/0", verdict="drop")
    assert resolver.get("/api/progress?name=disagreements")["disagreements"] == 0


@pytest.mark.parametrize(
    ("missing", "advice"),
    [
        ("settings.json", "is not a run folder"),
        ("audit", "tenfold audit --out"),
        ("acquire/test_labels.npy", "tenfold acquire --out"),
        ("audit/record.json", "is missing"),
        ("audit/duplicates.csv", "Make the audit again"),
    ],
)
def test_what_is_missing_is_said(reviewed: Path, missing: str, advice: str) -> None:
    path = reviewed / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(RunFolderError, match=advice):
        ReviewedStudy.read(reviewed)


def test_without_a_model_there_are_no_nearest_images(
    open_page: Callable[..., Page], reviewed: Path
) -> None:
    shutil.rmtree(reviewed / "model")
    shutil.rmtree(reviewed / "cross-validate")
    page = open_page()
    found = page.get("/api/nearest?id=train/0")
    assert found["images"] == []
    assert "tenfold model --out" in found["problem"]
    assert page.get("/api/item?id=train/0")["probabilities"] == []
