"""Several tokens with names and rates, from a file that may hold anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import SettingsError
from tenfold.serving.tokens import Tokens, parse_tokens

ONE, TWO = "first-s3cret-first", "second-s3cret-second"


def header(token: str) -> bytes:
    return f"Bearer {token}".encode()


def found(tokens: Tokens, token: str, now: float = 0.0) -> str | None:
    caller = tokens.find(header(token), now)
    return None if caller is None else caller.name


class TestReading:
    def test_names_tokens_rates(self) -> None:
        text = f"\ufeff# who\r\n\r\nshop  {ONE}\t100/minute\r\n  lab {TWO}  \n"
        callers = parse_tokens(text.encode(), "tokens")
        shop, lab = callers[ONE.encode()], callers[TWO.encode()]
        assert (shop.name, shop.rate and (shop.rate.requests, shop.rate.unit)) == (
            "shop",
            (100, "minute"),
        )
        assert (lab.name, lab.rate) == ("lab", None)

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            (f"a {ONE}\nb\n", 2),
            (f"a {ONE} 5/minute more\n", 1),
            (f"a {ONE}\na {TWO}\n", 2),
            (f"a {ONE}\n\nb {ONE}\n", 3),
            (f"a {ONE} 5/fortnight\n", 1),
            (f"a {ONE} 0/second\n", 1),
            (f"a {ONE} -1/second\n", 1),
            (f"a {ONE} 99999999999/second\n", 1),
            (f"<b> {ONE}\n", 1),
            ("a short\n", 1),
            ("a s3cret-s3cret-s3cr\u00e9t\n", 1),
            ("a s3cret-s3cret\0s3cret\n", 1),
            (f"\x1b[2J {ONE}\n", 1),
        ],
    )
    def test_a_wrong_line_is_told_by_its_number_and_without_its_token(
        self, content: str, line: int
    ) -> None:
        with pytest.raises(SettingsError, match=rf"^tokens, line {line}: ") as caught:
            parse_tokens(content.encode(), "tokens")
        for word in (ONE, TWO, "\x1b", "short\n"):
            assert word not in str(caught.value)

    def test_bytes_that_are_no_text(self) -> None:
        with pytest.raises(SettingsError, match=r"^tokens, line 2: it is no UTF-8"):
            parse_tokens(f"a {ONE}\n".encode() + b"b \xff\xfe\n", "tokens")

    @pytest.mark.parametrize("content", ["", "\n \n# a comment\n"])
    def test_a_file_without_a_token_locks_everybody_out(self, content: str) -> None:
        with pytest.raises(SettingsError, match="nobody could use"):
            parse_tokens(content.encode(), "tokens")

    @given(st.binary(max_size=200))
    def test_any_bytes_are_taken_or_refused(self, content: bytes) -> None:
        try:
            assert parse_tokens(content, "tokens")
        except SettingsError as error:
            assert str(error).startswith("tokens")  # noqa: PT017 -- either is right

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path, tmp_path / "none", tmp_path / "pipe"):
            with pytest.raises(SettingsError, match="cannot be read"):
                Tokens.read(path)


class TestFinding:
    def test_who_shows_which(self, tmp_path: Path) -> None:
        path = tmp_path / "tokens"
        path.write_text(f"shop {ONE}\nlab {TWO}\n")
        tokens = Tokens.read(path)
        assert (found(tokens, ONE), found(tokens, TWO), found(tokens, ONE[:-1])) == (
            "shop",
            "lab",
            None,
        )
        for value in (b"", ONE.encode(), b"Basic " + ONE.encode(), b"Bearer", b"Bearer \xff"):
            assert tokens.find(value, 0.0) is None

    def test_a_changed_file_counts_and_a_damaged_one_does_not(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "tokens"
        path.write_text(f"shop {ONE} 1/day\n")
        tokens = Tokens.read(path)
        caller = tokens.find(header(ONE), 1e9)
        assert caller is not None
        assert (caller.wait_seconds(1e9), caller.wait_seconds(1e9) > 0) == (0.0, True)
        path.write_text(f"shop {TWO} 1/day\n")
        assert found(tokens, TWO, 1e9 + 0.5) is None, "it is not looked at for each request"
        assert (found(tokens, ONE, 1e9 + 2), found(tokens, TWO, 1e9 + 2)) == (None, "shop")
        again = tokens.find(header(TWO), 1e9 + 2)
        assert again is caller, "another token is no new allowance"
        path.write_text("shop\n")
        assert found(tokens, TWO, 1e9 + 4) == "shop"
        assert found(tokens, TWO, 1e9 + 6) == "shop"
        assert [one.getMessage().count("line 1") for one in caplog.records] == [1], "told once"
        path.unlink()
        assert found(tokens, TWO, 1e9 + 8) == "shop"


class TestRates:
    def test_so_many_at_once_then_one_by_one(self) -> None:
        callers = parse_tokens(f"shop {ONE} 60/minute\n".encode(), "tokens")
        (caller,) = callers.values()
        now = 1e9
        assert [caller.wait_seconds(now) for _ in range(60)] == [0.0] * 60
        assert caller.wait_seconds(now) == pytest.approx(1)
        assert caller.wait_seconds(now + 0.25) == pytest.approx(0.75)
        assert caller.wait_seconds(now + 1.001) == 0
        assert caller.wait_seconds(now + 1.001) == pytest.approx(1, abs=0.01)
        later = [caller.wait_seconds(now + 1e6) for _ in range(61)]
        assert (later[:60], later[60] > 0) == ([0.0] * 60, True), "no more is saved up"
