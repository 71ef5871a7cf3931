"""Which versions of which packages something was made with."""

from __future__ import annotations

import platform
from importlib import metadata

_RECORDED_PACKAGES = (
    "tenfold",
    "torch",
    "numpy",
    "scikit-learn",
    "scipy",
    "optuna",
    "pydantic",
    "safetensors",
    "pillow",
    "matplotlib",
)


def recorded_versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that results depend on, by name."""
    versions = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
