"""How much longer does a training take where other processes want the cores too?

    python benchmarks/busy_machine.py [--runs 5] [--busy 0 1 2]

The same short training (size S of the fast network on made-up images of 32 × 32 pixels) in a fresh
process each time, beside 0, 1 and 2 processes that do nothing but count, for each way in which
OpenMP's threads can wait for each other. The ways take turns, so that a machine whose speed drifts
is fair to all; printed are medians, the spread, and the ratio to the library's own way alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

WAYS: dict[str, dict[str, str]] = {
    "library's own (300,000 spins)": {"GOMP_SPINCOUNT": "300000"},
    "tenfold's (1,000 spins)": {},
    "10,000 spins": {"GOMP_SPINCOUNT": "10000"},
    "100 spins": {"GOMP_SPINCOUNT": "100"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
_IMAGES, _STEPS, _BATCH = 5_000, 40, 125


def train_once() -> None:
    """Train, and print the seconds from the images in memory to the trained network."""
    import time

    import numpy as np

    from tenfold import ImageClassifier

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (_IMAGES, 32, 32, 3), np.uint8)
    labels = random.integers(0, 10, _IMAGES)
    classifier = ImageClassifier(
        epochs=_STEPS * _BATCH // _IMAGES,
        least_steps=1,
        batch_size=_BATCH,
        model_settings={"widths": [32, 128, 128]},
        low_resolution_share=0.0,  # every step costs the same
        validation_fraction=0.0,
        mirror_keeps_class=True,
        random_state=0,
    )
    started = time.perf_counter()
    classifier.fit(images, labels)
    print(json.dumps(time.perf_counter() - started))


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep processes at work that want a core each."""
    script = "while True: pass"
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def timed(way: dict[str, str]) -> float:
    """Give the seconds of one training in a process of its own."""
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    done = subprocess.run(
        [sys.executable, __file__, "--train"],
        env=plain | way,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout))


def main() -> None:
    """Time every way beside every number of busy processes, in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train_once()
        return
    seconds: dict[tuple[int, str], list[float]] = {}
    for run in range(options.runs):
        for count in options.busy:
            with busy_processes(count):
                for name, way in WAYS.items():
                    taken = timed(way)
                    seconds.setdefault((count, name), []).append(taken)
                    print(f"run {run + 1}, {count} busy, {name}: {taken:.1f} s", file=sys.stderr)
    base = statistics.median(seconds[min(options.busy), next(iter(WAYS))])
    print(f"{os.cpu_count()} cores, {options.runs} runs each, medians (lowest to highest)\n")
    print("| threads wait | " + " | ".join(f"{count} busy" for count in options.busy) + " |")
    print("|---|" + "---|" * len(options.busy))
    for name in WAYS:
        cells = []
        for count in options.busy:
            runs = seconds[count, name]
            middle = statistics.median(runs)
            spread = f"{min(runs):.1f} to {max(runs):.1f}"
            cells.append(f"{middle:.1f} s ({spread}), {middle / base:.2f} ×")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
