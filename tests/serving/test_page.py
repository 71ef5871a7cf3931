"""The page's text; how it behaves is in test_page_in_browser.py."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("onnxruntime")


def test_it_refers_to_nothing_outside(client: Any) -> None:
    one = client()
    for path in ("/", "/page.css", "/page.js"):
        text = one("GET", path).body.decode()
        outside = [
            url for url in re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text) if "127.0.0.1" not in url
        ]
        assert outside == [], path
        assert "@import" not in text


def test_it_needs_no_inline_script_or_style(client: Any) -> None:
    html = client()("GET", "/").body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert "<style" not in html
    assert not re.search(r"\s(style|on\w+)=", html)


def test_class_names_are_text(client: Any) -> None:
    html = client()("GET", "/").body.decode()
    assert "<li>&lt;b&gt;owl&lt;/b&gt;</li>" in html
    assert "<b>owl</b>" not in html


def test_it_says_how_good_the_model_is(client: Any) -> None:
    html = client()("GET", "/").body.decode()
    assert all(fact in html for fact in ("3 classes", "75.0%", "1,200 test images"))


@pytest.mark.parametrize("token", [None, "secret"])
def test_it_knows_whether_to_ask_for_a_token_but_not_the_token(
    token: str | None, client: Any
) -> None:
    html = client(token=token)("GET", "/").body.decode()
    assert f'data-needs-token="{str(token is not None).lower()}"' in html
    assert "secret" not in html
