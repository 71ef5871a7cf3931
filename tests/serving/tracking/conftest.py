"""A small real study up to its model, with a report's files, for all tests of tracking."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from real_study import write_images
from tenfold.core.run_folder import MANIFEST, Manifest
from tenfold.study.recipe import load_recipe
from tenfold.study.study import Study


@pytest.fixture(scope="session")
def made_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the run folder of a study; not to be changed."""
    folder = tmp_path_factory.mktemp("tracked")
    write_images(folder / "images")
    settings = load_recipe("cnn").with_changes(
        {
            "data.source": "folder",
            "data.location": str(folder / "images"),
            "data.mirror_keeps_class": True,
            "model.conv_layers": 1,
            "model.filters": [4],
            "model.units": 8,
            "training.epochs": 3,
            "training.batch_size": 8,
            "training.precision": "float32",
            "training.validation_fraction": 0.2,
            "evaluate.robustness_images": 0,
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenfold.training.device.available_cores", lambda: 1)
        list(Study(settings, folder / "soft-blobs").run("evaluate", "model"))
    return folder / "soft-blobs"


@pytest.fixture
def study(made_study: Path, tmp_path: Path) -> Path:
    """Give a copy of the study's run folder, all of it but the report."""
    return Path(shutil.copytree(made_study, tmp_path / "soft-blobs"))


@pytest.fixture
def whole_study(study: Path) -> Path:
    """Give the study with a page and a figure, which would take seconds to draw."""
    figures = study / "report" / "figures"
    figures.mkdir(parents=True)
    Image.new("RGB", (6, 4), (200, 10, 10)).save(figures / "confusion-matrix.png")
    (study / "report" / "report.html").write_text("<!doctype html><title>Page</title>", "utf-8")
    made = Manifest.read(study / "evaluate" / MANIFEST)
    files = {"report.html": "0" * 64, "figures/confusion-matrix.png": "1" * 64}
    changed = made.model_copy(update={"stage": "report", "inputs": {}, "files": files})
    changed.write(study / "report" / MANIFEST)
    return study
