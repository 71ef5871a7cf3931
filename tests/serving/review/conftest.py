"""A tiny study with wrong labels, a pair in conflict, and an audit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CLASSES = ("dark", "gray", "<b>light</b>")


@pytest.fixture(scope="session")
def audited_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a study up to its model; nobody writes there."""
    from tenfold.study.recipe import load_recipe
    from tenfold.study.study import Study

    folder = tmp_path_factory.mktemp("review")
    generator = np.random.default_rng(5)
    for brightness, name in enumerate(("dark", "gray", "light")):
        for number in range(16):
            # Every eighth is under the label of the next class.
            shown = (brightness + (number % 8 == 7)) % 3
            pixels = generator.integers(80 * shown, 80 * shown + 60, (12, 16, 3), np.uint8)
            place = folder / "images" / ("test" if number % 4 == 3 else "train") / name
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"{number:02}.png")
    train = folder / "images" / "train"
    shutil.copy(train / "dark" / "00.png", train / "gray" / "99.png")
    settings = load_recipe("cnn").with_changes(
        {
            "data.source": "folder",
            "data.location": str(folder / "images"),
            "explore.samples_per_class": 2,
            "explore.augmented_samples": 2,
            "model.conv_layers": 1,
            "model.filters": [4],
            "model.units": 8,
            "training.epochs": 8,
            "training.batch_size": 8,
            "training.precision": "float32",
            "tune.is_enabled": False,
            "cross_validate.folds": 2,
            "cross_validate.protocols": ["fresh"],
            "evaluate.robustness_images": 0,
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenfold.training.device.available_cores", lambda: 1)
        list(Study(settings, folder / "run").run("audit", "model"))
    return folder / "run"


@pytest.fixture
def reviewed(audited_run: Path, tmp_path: Path) -> Path:
    """Give a copy of the study, to decide about."""
    return Path(shutil.copytree(audited_run, tmp_path / "run"))


@pytest.fixture
def with_issues() -> Callable[[Path, int], None]:
    """Give a function that lets a study's audit list so many test labels, one image many times."""

    def change(run: Path, count: int) -> None:
        path = run / "audit" / "record.json"
        record: dict[str, Any] = json.loads(path.read_text())
        issue = {"id": "test/0", "given": 0, "suggested": 1, "score": 0.1}
        images = sum(json.loads((run / "acquire" / "record.json").read_text())["test_counts"])
        record["labels"] = [one for one in record["labels"] if one["split"] == "train"]
        issues = [{**issue, "id": f"test/{place % images}"} for place in range(count)]
        record["labels"].append(
            {
                "split": "test",
                "probabilities": "the trained model",
                "images": count,
                "flagged": count,
                "issues": issues,
            }
        )
        path.write_text(json.dumps(record))

    return change
