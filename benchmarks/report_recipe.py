"""Time one epoch of the original report's network here and in Keras, interleaved.

    python benchmarks/report_recipe.py CIFAR10_FOLDER [--epochs 5]

CIFAR10_FOLDER is CIFAR-10's binary version, unpacked. Keras runs in an environment of its own,
which this script makes on its first run (TensorFlow, CPU build). Each side is one process that
trains an epoch when it is told to, and waits while the other one does; the first epoch of each
warms up and is not counted. Prints every epoch's seconds, the medians, and the ratio pair by pair.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
KERAS_ENVIRONMENT = HERE / ".keras-venv"
KERAS_PACKAGES = ("tensorflow-cpu==2.21.0", "keras==3.15.1")


class Side:
    """One of the two processes."""

    def __init__(self, python: Path | str, script: str, folder: Path, epochs: int) -> None:
        self._script = script
        self._process = subprocess.Popen(
            [str(python), str(HERE / script), str(folder), str(epochs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.description = self._read().removeprefix("ready ")

    def epoch(self) -> tuple[float, float]:
        """Train one epoch; give its seconds and the validation accuracy after it."""
        stdin: IO[str] | None = self._process.stdin
        assert stdin is not None
        stdin.write("\n")
        stdin.flush()
        seconds, accuracy = self._read().split()
        return float(seconds), float(accuracy)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            sys.exit(f"{self._script} ended without an answer.")
        return line


def keras_python() -> Path:
    """Give the interpreter of Keras' environment, made if it is not there."""
    python = KERAS_ENVIRONMENT / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(KERAS_ENVIRONMENT)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *KERAS_PACKAGES], check=True)
    return python


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=5, help="counted epochs a side")
    arguments = parser.parse_args()
    epochs = arguments.epochs + 1
    sides = {
        "tenfold": Side(sys.executable, "tenfold_report_network.py", arguments.folder, epochs),
        "Keras": Side(keras_python(), "keras_report_network.py", arguments.folder, epochs),
    }
    print(f"{platform.platform()}, {os.cpu_count()} cores")
    for name, side in sides.items():
        print(f"{name}: {side.description}")
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for epoch in range(epochs):
        for name, side in sides.items():
            taken, accuracy = side.epoch()
            counted = "" if epoch else "  (warm-up, not counted)"
            print(f"{name:8} {taken:7.2f} s  validation accuracy {accuracy:.4f}{counted}")
            if epoch:
                seconds[name].append(taken)
    for side in sides.values():
        side.close()
    for name, values in seconds.items():
        print(
            f"{name:8} median {statistics.median(values):6.2f} s an epoch "
            f"({min(values):.2f} to {max(values):.2f}, {len(values)} epochs)"
        )
    ratios = [ours / theirs for ours, theirs in zip(*seconds.values(), strict=True)]
    print(
        f"tenfold / Keras: median {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
