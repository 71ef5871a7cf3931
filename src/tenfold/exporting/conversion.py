"""What other packages say while they convert a model: kept from the user, errors said in words.

torch's exporter prints the whole graph when a layer cannot be converted, and warns of its own
insides; ONNX Runtime logs, its quantiser prints. Part of it is written by C++, past Python's
streams.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tenfold.core.errors import ExportError, SettingsError

_MOST_LETTERS = 160
_PART_OF_A_GRAPH = re.compile(r"%[\w.]+ :|%\d|graph\(")
_OUTPUTS = (1, 2)
"""File descriptors of standard output and standard error."""


@contextmanager
def conversion(what: str, advice: str) -> Iterator[None]:
    """Keep what is printed in the block from the user, and make what is raised an ExportError.

    Its message begins with `what`, for example "The model 'cnn' cannot be written as a graph", and
    ends with the sentence `advice`. A missing package is left as it is.
    """
    try:
        with silence():
            yield
    except (ExportError, SettingsError):
        raise
    except Exception as error:  # three packages, each with a tree of errors of its own
        raise ExportError(f"{what} ({_in_words(error)}). {advice}") from error


@contextmanager
def silence() -> Iterator[None]:
    """Drop what is printed, warned and logged in the block, by whatever writes it."""
    logged = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            _dropped_descriptors(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logged)


@contextmanager
def _dropped_descriptors() -> Iterator[None]:
    """Let the process's standard output and standard error lead nowhere."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    kept: dict[int, int] = {}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for place in _OUTPUTS:
            with contextlib.suppress(OSError):  # closed, as in a service
                kept[place] = os.dup(place)
                os.dup2(nowhere, place)
        yield
    finally:
        os.close(nowhere)
        for place, original in kept.items():
            os.dup2(original, place)
            os.close(original)


def _in_words(error: Exception) -> str:
    """Give an error's kind and its first line, unless that is a part of a graph."""
    kind = type(error).__name__
    line = " ".join(str(error).strip().partition("\n")[0].split())
    if not line or _PART_OF_A_GRAPH.search(line):
        return kind
    line = line if len(line) <= _MOST_LETTERS else f"{line[:_MOST_LETTERS].rstrip()}…"
    return f"{kind}: {line.rstrip('.')}"
