"""Recorded versions."""

from __future__ import annotations

import platform
from importlib.metadata import version

from tenfold.core.run_folder import recorded_versions


def test_python_and_what_results_depend_on_are_there() -> None:
    versions = recorded_versions()
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == version("torch")
    assert {"tenfold", "numpy", "pillow"} <= set(versions)
