"""Measure what is found of near-duplicates that were planted, and what else is found.

    python benchmarks/planted_duplicates.py FOLDER [--of-each 40] [--size-px 160] [--known FILE]
                                            [--sheet FILE.png] [--mode RGB]

FOLDER holds images at any depth. Of each kind of `CHANGES`, copies of some of its images are
changed and added: the originals count as training images, the copies as test images. All go
through what the audit does, with the features of EfficientNet-Lite0 with ImageNet weights.

A pair that was found and not planted is wrong unless ``--known`` names it: a file of one pair of
file names a line, which show the same shot. ``--sheet`` draws such pairs, and the closest of those
that are only alike, to be looked at.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from tenfold.core.progress import SilentProgress
from tenfold.data.image_pairs import ImagePairs
from tenfold.data.images.pillow import resize_to_cover
from tenfold.data.near_duplicates import NetworkFeatures, find_near_duplicates
from tenfold.data.splits import exact_groups
from tenfold.models.backbones import build_backbone

Change = Callable[[Image.Image, np.random.Generator], Image.Image]
Pixels = npt.NDArray[np.uint8]


def reencoded(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Compress as JPEG, quality 30 to 90."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(rng.integers(30, 91)))
    return Image.open(stream).convert(image.mode)


def resized(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Shrink to 0.3 to 0.9 of the size, but not below 24 pixels."""
    factor = max(rng.uniform(0.3, 0.9), 24 / min(image.size))
    size = (round(image.width * factor), round(image.height * factor))
    return image.resize(size, Image.Resampling.BICUBIC)


def cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut 3 to 15% of width and of height away, anywhere."""
    width, height = (round(side * (1 - rng.uniform(0.03, 0.15))) for side in image.size)
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def mirrored(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Mirror from left to right."""
    del rng
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def rotated(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turn by 1 to 5 degrees; half of them show dark corners, half are cut to the inside."""
    degrees = rng.uniform(1, 5) * rng.choice([-1, 1])
    result = image.rotate(degrees, Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        return result
    loss = np.sin(np.radians(abs(degrees)))
    x, y = loss * image.height / 2, loss * image.width / 2
    return result.crop((round(x), round(y), round(image.width - x), round(image.height - y)))


def brightened(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change brightness and contrast by a factor of 0.7 to 1.4."""
    brighter = ImageEnhance.Brightness(image).enhance(rng.uniform(0.7, 1.4))
    return ImageEnhance.Contrast(brighter).enhance(rng.uniform(0.7, 1.4))


def captioned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Lay a strip with text over the lower 8 to 12% (where the square that is cut out ends)."""
    result = image.copy()
    side = min(image.size)
    bottom = (image.height + side) // 2
    height = round(side * rng.uniform(0.08, 0.12))
    draw = ImageDraw.Draw(result)
    dark, light = ("black", "white") if rng.random() < 0.5 else ("white", "black")
    draw.rectangle((0, bottom - height, image.width, image.height), fill=dark)
    left = (image.width - side) // 2 + side // 20
    draw.text((left, bottom - height), "SOLD 2019 shop no. 4", fill=light, font_size=0.8 * height)
    return result


def combined(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Crop, brighten, sometimes mirror or resize, and compress."""
    result = brightened(cropped(image, rng), rng)
    result = mirrored(result, rng) if rng.random() < 0.4 else result
    result = resized(result, rng) if rng.random() < 0.5 else result
    return reencoded(result, rng)


CHANGES: dict[str, Change] = {
    change.__name__: change
    for change in (
        reencoded,
        resized,
        cropped,
        mirrored,
        rotated,
        brightened,
        captioned,
        combined,
    )
}
SHEET_PAIRS = 100


def square(image: Image.Image, size_px: int) -> Pixels:
    """Give what a study makes of a picture, uint8, shape (size_px, size_px, C)."""
    pixels = np.asarray(resize_to_cover(image, size_px, size_px))
    return pixels.reshape(size_px, size_px, -1)


def planted(
    files: Sequence[Path], of_each: int, size_px: int, mode: str
) -> tuple[Pixels, Pixels, npt.NDArray[np.int64], list[str]]:
    """Give all images, changed copies of some, where these come from, and their kinds."""
    rng = np.random.default_rng(5)
    count = min(of_each * len(CHANGES), len(files))
    origin = rng.choice(len(files), count, replace=False)
    kinds = [list(CHANGES)[place % len(CHANGES)] for place in range(count)]
    place_of = {file: place for place, file in enumerate(origin.tolist())}
    images, copies = [], np.empty((count, size_px, size_px, len(mode)), np.uint8)
    for number, file in enumerate(files):
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened).convert(mode)
        images.append(square(image, size_px))
        if (place := place_of.get(number)) is not None:
            changed = CHANGES[kinds[place]](image, np.random.default_rng((9, number)))
            copies[place] = square(changed, size_px)
    return np.stack(images), copies, origin, kinds


@torch.inference_mode()
def features(images: Pixels) -> npt.NDArray[np.float32]:
    """Give EfficientNet-Lite0's features, float32, shape (N, D)."""
    backbone: object = build_backbone("efficientnet-lite0", pooled_maps=None, image_size_px=None)
    assert isinstance(backbone, torch.nn.Module)
    backbone.load_pretrained()  # type: ignore[operator]
    backbone.eval()
    mean, deviation = (
        torch.tensor(getattr(backbone, name)).view(1, 3, 1, 1)
        for name in ("mean", "standard_deviation")
    )
    parts = []
    for start in range(0, len(images), 32):
        block = torch.from_numpy(images[start : start + 32].copy()).permute(0, 3, 1, 2).float()
        block = block.expand(-1, 3, -1, -1)
        if block.shape[2] < 128:
            block = torch.nn.functional.interpolate(block, (128, 128), mode="bicubic")
        parts.append(backbone.features((block - mean) / deviation).numpy())  # type: ignore[operator]
    return np.concatenate(parts)


def draw_sheet(images: Pixels, pairs: ImagePairs, file: Path) -> None:
    """Draw pairs side by side, four in a row, each under its numbers and agreement."""
    side, columns = images.shape[1], 4
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (columns * (2 * side + 8), max(rows, 1) * (side + 14)), "gray")
    draw = ImageDraw.Draw(sheet)
    for place in range(len(pairs)):
        first, second = int(pairs.first[place]), int(pairs.second[place])
        left = place % columns * (2 * side + 8)
        top = place // columns * (side + 14)
        draw.text((left, top), f"{first} {second} {pairs.agreement[place]:.2f}")
        for step, number in enumerate((first, second)):
            sheet.paste(Image.fromarray(images[number].squeeze()), (left + step * side, top + 13))
    sheet.save(file)


def main() -> None:
    """Plant, search, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--of-each", type=int, default=40)
    parser.add_argument("--size-px", type=int, default=160)
    parser.add_argument("--mode", choices=("RGB", "L"), default="RGB")
    parser.add_argument("--known", type=Path)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    suffixes = {".jpg", ".jpeg", ".png"}
    files = sorted(f for f in options.folder.rglob("*") if f.suffix.lower() in suffixes)
    originals, copies, origin, kinds = planted(
        files, options.of_each, options.size_px, options.mode
    )
    images = np.concatenate([originals, copies])
    seen = NetworkFeatures(features(images), features(copies[:, :, ::-1]))
    started = time.perf_counter()
    found = find_near_duplicates(
        (originals, copies),
        seen,
        exact_groups(images),
        np.zeros(len(images), np.int64),
        least_agreement=0.8,
        progress=SilentProgress(),
    )
    seconds = time.perf_counter() - started
    names = [file.name for file in files]
    names += [names[place] for place in origin.tolist()]  # A copy is the same shot as its original.
    lines = options.known.read_text().splitlines() if options.known else []
    known = {frozenset(line.split()) for line in lines if line.strip()}
    right = np.array(
        [
            names[first] == names[second] or frozenset((names[first], names[second])) in known
            for first, second in zip(found.same.first, found.same.second, strict=True)
        ],
        bool,
    )
    same, alike = (
        set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
        for pairs in (found.same, found.alike)
    )
    truth = [(int(first), len(files) + place) for place, first in enumerate(origin)]
    print(f"{len(images):,} images, {found.compared:,} pairs compared, {seconds:.1f} s")
    print(f"least agreement {found.least_agreement:.3f}; {len(same)} same, {len(alike)} alike")
    for kind in CHANGES:
        own = [pair for pair, name in zip(truth, kinds, strict=True) if name == kind]
        shares = [sum(pair in of for pair in own) for of in (same, alike)]
        print(f"{kind:12} same {shares[0]:3}  alike {shares[1]:3}  of {len(own)}")
    print(f"recall {sum(pair in same for pair in truth) / len(truth):.3f}")
    print(f"precision {right.mean() if len(right) else 1:.3f}: {(~right).sum()} not known")
    if options.sheet:
        closest = found.alike.take(np.argsort(-found.alike.agreement)[:SHEET_PAIRS])
        draw_sheet(images, ImagePairs.joined(found.same.take(~right), closest), options.sheet)


if __name__ == "__main__":
    main()
