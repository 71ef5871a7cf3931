"""The errors that a user sees: one tree, each saying what to do next.

::

    TenfoldError
    ├── SettingsError          a setting, recipe, name or argument is not valid
    │   └── UnknownNameError   a name that is not registered (suggests the nearest)
    ├── DataError              the data set cannot be read as asked
    │   ├── ChecksumError      a file is not the one it should be
    │   ├── DownloadError      no mirror gave the file
    │   └── UnsafePickleError  a pickle asks for more than plain arrays
    ├── ImageShapeError        images and model do not fit each other
    ├── WeightsError           pretrained weights are missing or do not fit
    ├── DeviceError            the device asked for is not there
    ├── ModelFolderError       a model folder cannot be used: damaged, changed, of a newer version
    ├── ExportError            an exported file would not give what the model gives
    ├── TrackingError          what others keep their experiments in does not take a study
    ├── TrainingError          training cannot go on (diverged, nothing to learn from)
    │   └── ClusterLostError   the cluster that worked is gone
    ├── RunFolderError         the run folder is not usable as asked
    │   └── RunFolderBusyError another process is working in it
    └── StorageError           the disk is full, read-only or not permitted

A message says what was wrong, what arrived, what is allowed and what to do next. The command line
prints it without a trace and exits with code 2.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class TenfoldError(Exception):
    """Base of every error that tenfold raises on purpose."""


class SettingsError(TenfoldError, ValueError):
    """A setting, recipe or argument is not valid."""


class UnknownNameError(SettingsError, KeyError):
    """A name that is not registered.

    Parameters
    ----------
    kind
        What was looked up, in the field's word: "model", "recipe", "setting".
    name
        The name that arrived.
    known
        The names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(unknown_name_message(kind, name, self.known))

    def __str__(self) -> str:
        # KeyError shows the repr of its argument; we want the sentence.
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, tuple[str, ...]]]:
        # BaseException would call __init__ with the message alone in another process.
        return (type(self), (self.kind, self.name, self.known))


class DataError(TenfoldError, ValueError):
    """The data set cannot be read as asked."""


class ChecksumError(DataError):
    """A file is not the one that it should be."""


class DownloadError(DataError):
    """No mirror gave the file."""


class UnsafePickleError(DataError):
    """A pickle asks for more than the plain arrays that its format needs; nothing of it was run."""


class ImageShapeError(TenfoldError, ValueError):
    """Images and model do not fit each other."""


class WeightsError(TenfoldError, RuntimeError):
    """Pretrained weights are missing, damaged or do not fit the network."""


class DeviceError(TenfoldError, RuntimeError):
    """The device asked for is not there."""


class ModelFolderError(TenfoldError, RuntimeError):
    """A model folder cannot be used: it is damaged, was changed, or is of a newer version."""


class ExportError(TenfoldError, RuntimeError):
    """A model cannot be exported, or the exported file would not give what the model gives."""


class TrackingError(TenfoldError, RuntimeError):
    """A tracking server or its database cannot be reached, or does not take what is logged."""


class TrainingError(TenfoldError, RuntimeError):
    """Training cannot go on."""


class ClusterLostError(TrainingError):
    """The cluster that worked is gone; what is finished is kept."""


class RunFolderError(TenfoldError, RuntimeError):
    """The run folder is not usable as asked."""


class RunFolderBusyError(RunFolderError):
    """Another process is working in this run folder."""


class StorageError(TenfoldError, OSError):
    """The disk is full, read-only, or the place is not permitted."""


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """Give up to three known names that look like `name`, the nearest first."""
    lowered = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)
    return [lowered[match] for match in matches]


def unknown_name_message(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that `name` is unknown, which names are near, and which exist."""
    known = sorted(known)
    message = f"There is no {kind} named {name!r}."
    if near := nearest_names(name, known):
        message += f" Did you mean {' or '.join(repr(match) for match in near)}?"
    return f"{message} Known: {', '.join(known) if known else 'none'}."


def need(module: str, *, extra: str) -> ModuleType:
    """Import a module that an extra installs.

    Parameters
    ----------
    module
        Its full name.
    extra
        The extra's name in tenfold's ``pyproject.toml``.

    Raises
    ------
    SettingsError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise SettingsError(
            f"This needs the package {package}, which is not installed ({error}). Install it: "
            f"pip install 'tenfold[{extra}]'"
        ) from None
