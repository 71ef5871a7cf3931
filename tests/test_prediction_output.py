"""Predictions written down."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tenfold.serving.prediction import CsvOutput, JsonOutput, Predicted, TableOutput

CLASSES = ("cat", "a class with a very long name", '<owl>,\n"x"')
GOOD = Predicted("photos/1.jpg", np.array([0.25, 0.05, 0.7], np.float32))
BAD = Predicted("photos/2.jpg", None, "truncated")
STRANGE = Predicted("caf\udce9\x1b[31m.jpg", np.array([1, 0, 0], np.float32))


def test_the_table_has_a_line_an_image_with_equal_columns() -> None:
    lines: list[str] = []
    table = TableOutput(CLASSES, 2, lines.append)
    for result in (GOOD, BAD, Predicted("b", np.array([0.5, 0.5, 0], np.float32))):
        table.add(result)
    assert len(lines) == 2
    assert lines[0].endswith("photos/1.jpg")
    assert "70.0%" in lines[0]
    assert lines[0].count("%") == 2
    assert lines[0].index("photos") == lines[1].index("   b") + 3


def test_names_cannot_control_the_terminal() -> None:
    lines: list[str] = []
    TableOutput(CLASSES, 3, lines.append).add(STRANGE)
    lines[0].encode("utf-8")
    assert "\x1b" not in lines[0]
    assert "\n" not in lines[0]


def test_json_is_one_line_an_image() -> None:
    lines: list[str] = []
    output = JsonOutput(CLASSES, 9, lines.append)
    for result in (GOOD, BAD, STRANGE):
        output.add(result)
    good, bad, strange = (json.loads(line) for line in lines)
    assert good == {
        "image": "photos/1.jpg",
        "class": CLASSES[2],
        "probability": 0.7,
        "top": [
            {"class": CLASSES[2], "probability": 0.7},
            {"class": "cat", "probability": 0.25},
            {"class": CLASSES[1], "probability": 0.05},
        ],
    }
    assert bad == {"image": "photos/2.jpg", "error": "truncated"}
    assert strange["image"] == "caf\\xe9\x1b[31m.jpg"
    assert "".join(lines).encode()


def test_csv_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.csv"
    with CsvOutput.to_file(path, CLASSES, 2) as output:
        for result in (GOOD, BAD, STRANGE):
            output.add(result)
        assert not path.exists()
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "image",
        "error",
        "class_1",
        "probability_1",
        "class_2",
        "probability_2",
    ]
    assert rows[0]["class_1"] == CLASSES[2]
    assert float(rows[0]["probability_2"]) == 0.25
    assert rows[1] == {
        "image": "photos/2.jpg",
        "error": "truncated",
        "class_1": "",
        "probability_1": "",
        "class_2": "",
        "probability_2": "",
    }


def test_a_csv_that_was_cut_off_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), CsvOutput.to_file(tmp_path / "a.csv", CLASSES, 2):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
