"""Records: frozen dataclasses that are stored as JSON and read back, checked."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError

from tenfold.core.errors import RunFolderError
from tenfold.core.files import MOST_TEXT_BYTES, read_regular_file, write_json, write_text


class Record(BaseModel):
    """A frozen set of named values that a stage writes as JSON and others read."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    def write(self, path: Path) -> None:
        """Write the record as JSON, atomically; a path that is no UTF-8 as `write_json` does."""
        try:
            text = self.model_dump_json(indent=2)
        except PydanticSerializationError:
            write_json(path, self.model_dump(mode="json"))
        else:
            write_text(path, text + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record.

        Raises
        ------
        RunFolderError
            If the file is missing or is not such a record.
        """
        try:
            return cls._parsed(read_regular_file(path, MOST_TEXT_BYTES))
        except FileNotFoundError:
            raise RunFolderError(
                f"{path} is missing. Run the same command again to make it."
            ) from None
        except OSError as error:
            raise RunFolderError(f"{path} cannot be read: {error.strerror or error}.") from None
        except ValidationError as error:
            raise RunFolderError(
                f"{path} is not a {cls.__name__} of this version of tenfold "
                f"({error.error_count()} errors, the first: {error.errors()[0]['msg']}). "
                "It was changed by hand or written by another version; use another --out."
            ) from None

    @classmethod
    def _parsed(cls, content: bytes) -> Self:
        if rb"\ud" in content:
            # A path that is no UTF-8; pydantic reads no lone surrogates.
            with suppress(ValueError, RecursionError):
                return cls.model_validate(json.loads(content))
        return cls.model_validate_json(content)


class Interval(Record):
    """The ends of an interval; its level and method stand in the record that holds it."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Say whether `value` lies in the interval, its ends included."""
        return self.low <= value <= self.high


ReferenceValue = float | str | tuple[float, ...]


class Reference(Record):
    """One figure of the original and where ours is found."""

    label: str
    """What it is, for people: "Test accuracy"."""
    measure: str
    """Name of our measure, for example ``evaluate.accuracy``; see `tenfold.report.reproduction`."""
    value: ReferenceValue
    where: str = ""
    """Where the original states it: "Table 2"."""
    note: str = ""
    """What a reader must know to compare the two."""
