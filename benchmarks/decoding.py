"""How fast photographs are decoded and made small, and how far the pixels lie from the best.

Ways of making a JPEG small are taken in turns, image by image, in one process on one core; the
median of several rounds counts. "Best" is the whole picture, decoded and shrunk by Lanczos.

    python benchmarks/decoding.py                    # photographs that are drawn here
    python benchmarks/decoding.py photos/ --sides 160,224 --images 40
"""

from __future__ import annotations

import argparse
import importlib
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import numpy.typing as npt
from PIL import Image

from tenfold.data.images.decoding import decode_image
from tenfold.data.images.pillow import resize_to_cover

Pixels = npt.NDArray[np.uint8]
Way = Callable[[bytes, int], Pixels]
ROUNDS = 5


def as_tenfold(content: bytes, side: int) -> Pixels:
    """Decode as training, prediction and serving do."""
    return decode_image(io.BytesIO(content), (side, side, 3), is_resized=True)


def by_pillow(filter_: Image.Resampling, least: float | None) -> Way:
    """Decode at the smallest scale with `least` times the wanted side; None for all of it."""

    def decode(content: bytes, side: int) -> Pixels:
        image = Image.open(io.BytesIO(content))
        box: tuple[float, float, float, float] = (0, 0, *image.size)
        if least is not None:
            drafted = image.draft(None, (int(least * side), int(least * side)))
            box = box if drafted is None else drafted[1]
        picture = image if image.mode == "RGB" else image.convert("RGB")
        width, height = box[2], box[3]
        used = min(width, height)
        left, top = (width - used) / 2, (height - used) / 2
        centre = (left, top, left + used, top + used)
        return np.asarray(picture.resize((side, side), filter_, box=centre))

    return decode


def by_simplejpeg(least: float) -> Way:
    """Decode with libjpeg-turbo's scales of N/8 and resize as tenfold does."""
    simplejpeg = importlib.import_module("simplejpeg")

    def decode(content: bytes, side: int) -> Pixels:
        wanted = int(least * side)
        pixels = simplejpeg.decode_jpeg(content, "RGB", min_height=wanted, min_width=wanted)
        return np.asarray(resize_to_cover(Image.fromarray(pixels), side, side))

    return decode


def ways() -> Iterator[tuple[str, Way]]:
    """Give what is compared; the best first."""
    kinds = Image.Resampling
    yield "whole, Lanczos (best)", by_pillow(kinds.LANCZOS, None)
    yield "whole, bicubic", by_pillow(kinds.BICUBIC, None)
    yield "whole, Hamming", by_pillow(kinds.HAMMING, None)
    yield "2 times, Lanczos", by_pillow(kinds.LANCZOS, 2)
    for least in (1.25, 1):
        for kind in (kinds.LANCZOS, kinds.BICUBIC, kinds.HAMMING):
            yield f"{least} times, {kind.name.capitalize()}", by_pillow(kind, least)
    try:
        yield "simplejpeg, 1 times", by_simplejpeg(1)
    except ImportError:
        print("simplejpeg is not installed and left out")
    yield "tenfold", as_tenfold


def drawn(count: int, size: tuple[int, int], **options: object) -> list[bytes]:
    """Draw scenes with edges, slopes and a camera's noise, as JPEG."""
    contents = []
    for seed in range(count):
        generator = np.random.default_rng(seed)
        coarse = generator.integers(0, 256, (12, 16, 3), np.uint8)
        blurred = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        edges = Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)
        scene = np.asarray(Image.blend(blurred, edges, 0.3)).astype(np.float32)
        scene += generator.normal(0, 6, scene.shape[:2])[..., None].astype(np.float32)
        content = io.BytesIO()
        picture = Image.fromarray(scene.clip(0, 255).astype(np.uint8))
        picture.save(content, "JPEG", quality=85, **options)
        contents.append(content.getvalue())
    return contents


def compare(name: str, contents: list[bytes], side: int) -> None:
    """Print milliseconds, images a second and distances of every way."""
    chosen = dict(ways())
    seconds: dict[str, list[float]] = {way: [] for way in chosen}
    distances: dict[str, list[npt.NDArray[np.int64]]] = {way: [] for way in chosen}
    for content in contents:
        rounds: dict[str, list[float]] = {way: [] for way in chosen}
        best: npt.NDArray[np.int64] | None = None
        for turn in range(ROUNDS):
            for way, decode in chosen.items():
                start = process_time()
                pixels = decode(content, side)
                rounds[way].append(process_time() - start)
                if turn == 0:
                    values = pixels.astype(np.int64)
                    best = values if best is None else best
                    distances[way].append(np.abs(values - best))
        for way in chosen:
            seconds[way].append(median(rounds[way]))
    print(f"\n{name} to {side} px, {len(contents)} images, {ROUNDS} rounds")
    print(f"{'':24} {'ms':>7} {'images/s':>9} {'mean':>6} {'99%':>5} {'root mean square':>17}")
    for way in chosen:
        mean = sum(seconds[way]) / len(contents)
        far = np.stack(distances[way])
        square = float(np.sqrt((far**2).mean()))
        print(
            f"{way:24} {mean * 1000:7.2f} {1 / mean:9.0f} {far.mean():6.2f} "
            f"{np.percentile(far, 99):5.0f} {square:17.2f}"
        )


def main() -> None:
    """Compare on photographs in a folder, or on drawn ones."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--sides", default="160")
    options = parser.parse_args()
    sides = [int(side) for side in options.sides.split(",")]
    if options.folder is not None:
        paths = sorted(path for path in options.folder.rglob("*.jpg"))
        random.Random(0).shuffle(paths)
        sets = {options.folder.name: [path.read_bytes() for path in paths[: options.images]]}
    else:
        sets = {
            "640 × 480": drawn(options.images, (640, 480)),
            "640 × 480, progressive": drawn(options.images, (640, 480), progressive=True),
            "4000 × 3000": drawn(max(1, options.images // 10), (4000, 3000)),
        }
    for name, contents in sets.items():
        for side in sides:
            compare(name, contents, side)


if __name__ == "__main__":
    main()
