"""What is said where OpenTelemetry's variables are set and its packages are not installed."""

from __future__ import annotations

import sys

import pytest

from tenfold.cli.operations import parse_operations


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER"])
def test_without_the_extra_the_server_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    for name in list(sys.modules):
        if name.startswith("opentelemetry.exporter"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    is_place = variable.endswith("ENDPOINT")
    monkeypatch.setenv(variable, "http://me:s3cret@collector" if is_place else "otlp")
    assert parse_operations(None, None, None, "").spans is None
    said = capsys.readouterr()
    assert "pip install 'tenfold[otel]'" in said.err
    assert "s3cret" not in said.err
    assert said.out == ""


def test_without_a_variable_nothing_is_imported_or_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert parse_operations(None, None, None, "").spans is None
    assert capsys.readouterr().err == ""
