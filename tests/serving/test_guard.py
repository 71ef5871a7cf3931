"""Tokens as people set them."""

from __future__ import annotations

import pytest

from tenfold.core.errors import SettingsError
from tenfold.serving.guard import TOKEN_VARIABLE, read_token


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


def test_none() -> None:
    assert read_token(None) is None


@pytest.mark.parametrize(
    "given", ["open sesame", "open sesame\n", "\topen sesame\r\n", " open sesame"]
)
def test_what_files_add_does_not_count(given: str) -> None:
    assert read_token(given) == "open sesame"


@pytest.mark.parametrize("given", ["", " ", "\n", "\r\n"])
def test_an_empty_one_is_not_none(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="The token is empty"):
        read_token(given)
    monkeypatch.setenv(TOKEN_VARIABLE, given)
    with pytest.raises(SettingsError, match="The token is empty"):
        read_token(None)


@pytest.mark.parametrize("given", ["schlüssel", "a\nb", "a\0b", "ключ", "a\x7f"])
def test_what_no_header_carries(given: str) -> None:
    with pytest.raises(SettingsError, match="cannot be sent in a header") as caught:
        read_token(given)
    assert given not in str(caught.value)
