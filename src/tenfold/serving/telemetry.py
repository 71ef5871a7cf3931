"""Whether spans are exported, as OpenTelemetry's environment variables say.

They are its own (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/),
so that whoever runs many services sets one thing for all of them.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tenfold.core.errors import SettingsError, need

if TYPE_CHECKING:
    from tenfold.serving.spans import Spans

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTER = "OTEL_TRACES_EXPORTER"
_HTTP = "http/protobuf"
_DEFAULT_PLACE = "http://localhost:4318"


def open_spans(environment: Mapping[str, str] = os.environ) -> Spans | None:
    """Give what exports spans; None if nobody wants it.

    Raises
    ------
    SettingsError
        If they are wanted and cannot be exported; whoever serves says so and goes on without.
    """
    place = _wanted_place(environment)
    if place is None:
        return None
    try:
        exporting = need("opentelemetry.exporter.otlp.proto.http.trace_exporter", extra="otel")
        sdk = need("opentelemetry.sdk.trace.export", extra="otel")
    except SettingsError as error:
        raise SettingsError(f"Spans are not exported to {place}. {error}") from None
    from tenfold.serving.spans import Spans, ToldOnce

    # It tells each failure of each batch, which `ToldOnce` does once.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    try:
        exporter = exporting.OTLPSpanExporter()
    except Exception as error:  # of values of its variables; which ones, is not documented
        raise SettingsError(
            f"Spans are not exported to {place}: {error}. See the environment variables OTEL_..."
        ) from error
    return Spans(sdk.BatchSpanProcessor(ToldOnce(exporter, place)))


def _wanted_place(environment: Mapping[str, str]) -> str | None:
    """Give where to export, for messages; the exporter reads the variables itself."""

    def given(*names: str) -> str:
        return next((text for name in names if (text := environment.get(name, "").strip())), "")

    exporter = given(_EXPORTER).lower()
    if given("OTEL_SDK_DISABLED").lower() == "true" or exporter == "none":
        return None
    place = given(*_ENDPOINTS)
    if not exporter and not place:
        return None
    if exporter not in ("", "otlp"):
        raise SettingsError(
            f"Spans are not exported: {_EXPORTER} is {exporter!r}; otlp and none are understood."
        )
    protocol = given(*_PROTOCOLS)
    if protocol not in ("", _HTTP):
        raise SettingsError(
            f"Spans are not exported: {_PROTOCOLS[1]} is {protocol!r}, and only {_HTTP} is spoken "
            "here. Set it so, and the endpoint to the collector's port for HTTP (4318)."
        )
    return re.sub("//[^/@]*@", "//", place or _DEFAULT_PLACE)  # a password is not for messages
