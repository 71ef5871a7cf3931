"""How do time and memory of a study grow with the number of images?

    python benchmarks/many_images.py [--counts 10000 50000 200000] [--photographs FOLDER]
                                     [--work FOLDER] [-- tenfold's options for run ...]
    python benchmarks/many_images.py --arrays --counts 1000000 --stages explore

Half of the images are made-up 64 × 64 PNG files; half are JPEG files of 64 to 160 px, cropped from
photographs of --photographs (any folder with images in it; without it from made-up ones). With
--arrays they are 16 × 16 px in one .npz file instead. Each count is a study of its own in fresh
processes: first `tenfold acquire`, then one command for each further stage. Printed are each
stage's seconds as its manifest has them and the peak memory of its process and all that it
started, anonymous and file-mapped pages added up ten times a second. Processor seconds are the
user's and the system's of both, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

CLASSES = 10
_IMAGES = 16
_STAGES = ("acquire", "explore", "train", "evaluate", "audit", "model", "report")
_FIELDS = ("RssAnon:", "RssFile:")


def main() -> None:
    """Make the images, run the stages, print a table."""
    given = _arguments()
    print("| images | stage | seconds | processor seconds | peak memory, MiB |")
    print("|---|---|---|---|---|")
    for count in given.counts:
        with tempfile.TemporaryDirectory(dir=given.work) as folder:
            data = Path(folder) / ("images.npz" if given.arrays else "images")
            if given.arrays:
                make_arrays(data, count)
            else:
                make_images(data, count, _photographs(given.photographs))
            for stage in given.stages:
                out = Path(folder) / "run"
                before = _processor_seconds()
                peak = _measured(stage, data, out, given.options)
                used = _processor_seconds() - before
                seconds = json.loads((out / stage / "manifest.json").read_text())["seconds"]
                print(
                    f"| {count:,} | {stage} | {seconds:.1f} | {used:.1f} | {peak / 2**20:,.0f} |",
                    flush=True,
                )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 50_000, 200_000])
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--work", type=Path, help="where images and run folders are made")
    parser.add_argument("--arrays", action="store_true")
    parser.add_argument("--stages", nargs="+", default=_STAGES)
    parser.add_argument("options", nargs="*", help="after --: options of tenfold's commands")
    return parser.parse_args()


def _photographs(folder: Path | None) -> list[npt.NDArray[np.uint8]]:
    if folder is None:
        return [_made_up(np.random.default_rng(seed), seed, 320) for seed in range(100)]
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in {".jpg", ".jpeg", ".png"}]
    return [np.asarray(Image.open(file).convert("RGB")) for file in files[:400]]


def _made_up(random: np.random.Generator, label: int, side: int) -> npt.NDArray[np.uint8]:
    """Give a smooth random picture in its class's tint."""
    coarse = random.integers(0, 200, (8, 8, 3), np.uint8)
    coarse[..., label % 3] += np.uint8(5 * label % 50)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def make_images(
    folder: Path, count: int, photographs: list[npt.NDArray[np.uint8]], *, start: int = 0
) -> None:
    """Write half of the images as made-up PNG and half as crops of photographs."""
    for label in range(CLASSES):
        (folder / f"class-{label}").mkdir(parents=True, exist_ok=True)
    for number in range(start, count):
        random = np.random.default_rng(number)
        label = number % CLASSES
        path = folder / f"class-{label}" / f"{number:07}"
        if number % 2 == (number // CLASSES) % 2:
            picture = Image.fromarray(_made_up(random, label, 64))
            picture.save(path.with_suffix(".png"), compress_level=1)
            continue
        whole = photographs[(number * 7 + label) % len(photographs)]
        height, width = (int(random.integers(64, min(160, side) + 1)) for side in whole.shape[:2])
        top = int(random.integers(0, whole.shape[0] - height + 1))
        left = int(random.integers(0, whole.shape[1] - width + 1))
        picture = Image.fromarray(whole[top : top + height, left : left + width])
        picture.save(path.with_suffix(".jpg"), quality=90)


def make_arrays(path: Path, count: int) -> None:
    """Write made-up arrays as one file."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % CLASSES
    images = random.integers(0, 200, (count, _IMAGES, _IMAGES, 3), np.uint8)
    images[..., 0] += (labels * 5).astype(np.uint8)[:, None, None]
    np.savez(path, x_train=images, y_train=labels)


def _measured(stage: str, data: Path, out: Path, options: list[str]) -> int:
    """Run one stage and give the peak memory of its processes in bytes."""
    command = [sys.executable, "-m", "tenfold", stage, "--out", str(out), "--quiet"]
    if stage == "acquire":
        command += ["--data", str(data), *options]
    process = subprocess.Popen(command)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_resident_bytes, _tree(process.pid))))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(process.returncode)
    return peak


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tree(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                status = Path(entry.path, "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(status.rpartition(")")[2].split()[1])
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def _resident_bytes(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(_FIELDS))


if __name__ == "__main__":
    main()
