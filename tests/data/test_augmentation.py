"""What every change, every mixing and every composition of them has to keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tenfold.core.errors import SettingsError
from tenfold.core.randomness import sample_uniforms
from tenfold.data.augmentation import (
    CHANGES,
    COMPOSITIONS,
    MIXINGS,
    POLICIES,
    Augmentation,
    AugmentationParts,
    augmentation_named,
    augmentation_names,
    parse_augmentation,
)
from tenfold.data.augmentation_changes import (
    BlurChange,
    CutmixMixing,
    CutoutChange,
    NoiseChange,
)

NAMES = (*augmentation_names(), "report+colour+cutout", "none+mixup", "strong+mixup+cutmix")
SHAPES = [(8, 8, 1), (32, 32, 3), (6, 11, 3), (1, 1, 3)]


@pytest.fixture(params=NAMES)
def augmentation(request: pytest.FixtureRequest) -> Augmentation:
    return augmentation_named(request.param)


def random_images(count: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    """Give noise, uint8, shape (count, C, H, W), channels last in memory."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
    return rows.permute(0, 3, 1, 2)


def numbers(count: int, draws: int, *, stream: str = "augmentation") -> Tensor:
    indices = np.arange(count)
    return torch.from_numpy(sample_uniforms(0, 0, indices, draws, stream=stream)).float()


def applied(
    augmentation: Augmentation, images: Tensor, chosen: Tensor | slice, *, mirror: bool = True
) -> tuple[Tensor, Tensor]:
    """Augment and mix images with others; give what comes out and the share of the image."""
    count = len(images)
    uniforms = numbers(count, augmentation.policy.uniforms_per_sample)[chosen]
    others = random_images(count, tuple(images.permute(0, 2, 3, 1).shape[1:]), seed=1)
    shown, partners = (
        augmentation.policy(
            one.permute(0, 2, 3, 1)[chosen].permute(0, 3, 1, 2), uniforms, mirror_keeps_class=mirror
        )
        for one in (images, others)
    )
    if augmentation.mixing is None:
        return shown, torch.ones(len(shown))
    draws = augmentation.mixing.uniforms_per_sample
    return augmentation.mixing(shown, partners, numbers(count, draws, stream="mixing")[chosen])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shape_type_range_order_and_input_are_kept(
    augmentation: Augmentation, shape: tuple[int, int, int]
) -> None:
    images = random_images(9, shape)
    before = images.clone()
    result, share = applied(augmentation, images, slice(None))
    assert torch.equal(images, before)
    assert result.shape == images.shape
    assert result.dtype in (torch.uint8, torch.float32)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= result.min() <= result.max() <= 255
    assert share.shape == (9,)
    assert 0 <= share.min() <= share.max() <= 1


def test_an_image_does_not_depend_on_its_batch(augmentation: Augmentation) -> None:
    images = random_images(9, (12, 10, 3))
    whole, shares = applied(augmentation, images, slice(None))
    for chosen in ([4], [8, 3, 0, 1, 7, 2]):
        some, some_shares = applied(augmentation, images, torch.tensor(chosen))
        torch.testing.assert_close(some, whole[chosen], rtol=0, atol=1e-4)
        torch.testing.assert_close(some_shares, shares[chosen], rtol=0, atol=0)


def test_nothing_is_mirrored_where_that_changes_the_class(augmentation: Augmentation) -> None:
    assert "never flipped" in augmentation.describe(False) or (
        augmentation.policy is POLICIES["none"]
    )
    images = torch.zeros(200, 20, 20, 3, dtype=torch.uint8)
    images[:, :, 16:] = 255  # the right fifth is white
    shown = augmentation.policy(
        images.permute(0, 3, 1, 2),
        numbers(200, augmentation.policy.uniforms_per_sample),
        mirror_keeps_class=False,
    )
    brightness = shown.float().mean((1, 2))  # (200, W)
    assert (brightness[:, :10].sum(1) <= brightness[:, 10:].sum(1)).float().mean() > 0.9


def test_the_name_says_what_is_done() -> None:
    assert parse_augmentation("crop-flip+cutout+mixup") == AugmentationParts(
        "crop-flip", ("cutout",), ("mixup",)
    )
    assert parse_augmentation("strong") == AugmentationParts("crop-flip", ("colour", "cutout"))
    assert parse_augmentation("none + cutmix") == AugmentationParts("none", (), ("cutmix",))
    for name in POLICIES:
        assert augmentation_named(name) == Augmentation(POLICIES[name])


def test_a_part_is_in_one_registry() -> None:
    names = augmentation_names()
    assert len(names) == len(set(names))
    assert {"none", "crop-flip", "report", "strong", "cutout", "mixup", "cutmix"} <= set(names)
    assert all(set(parts) <= set(CHANGES) for parts in COMPOSITIONS.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crop-flip+cutuot", "no augmentation policy named 'cutuot'. Did you mean 'cutout'"),
        ("crop-flip+", "no augmentation policy named ''"),
        ("", "no augmentation policy named ''"),
        ("crop-flip+report", "names crop-flip and report, but images are moved in one way only"),
        ("strong+cutout", r"has cutout twice \(strong stands for colour\+cutout\)"),
        ("mixup+mixup", "has mixup twice"),
    ],
)
def test_a_wrong_name_says_what_is_right(name: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_augmentation(name)


@given(st.lists(st.one_of(st.sampled_from(augmentation_names()), st.text(max_size=8)), max_size=4))
def test_any_text_is_read_or_refused(parts: list[str]) -> None:
    text = "+".join(parts)
    try:
        names = parse_augmentation(text)
    except SettingsError:
        return
    joined = "+".join((names.policy, *names.changes, *names.mixings))
    assert parse_augmentation(joined) == names


def test_a_composition_moves_images_as_the_policy_alone_does() -> None:
    images = random_images(20, (16, 16, 3))
    alone, _ = applied(augmentation_named("crop-flip"), images, slice(None))
    cut, _ = applied(augmentation_named("cutout"), images, slice(None))
    is_same = (alone == cut).float().mean()
    assert 0.7 < is_same < 1


def test_cutout_covers_the_share_it_says() -> None:
    images = random_images(1, (32, 32, 3)).expand(2000, -1, -1, -1)
    cut = CutoutChange()(images, numbers(2000, 2), mirror_keeps_class=True)
    changed = (cut != images).any(1)  # (2000, H, W)
    # Rows from centre - 8 to centre + 7, the centre in 0..31: 16 less what lies outside,
    # (1 + ... + 8) + (1 + ... + 7) rows over 32 centres.
    assert changed.any(2).sum(1).float().mean() == pytest.approx(16 - 64 / 32, abs=0.2)
    assert changed.any(2).sum(1).max() == 16
    middle = CutoutChange()(images[:1], torch.tensor([[0.5, 0.5]]), mirror_keeps_class=True)
    mean = images[0].double().mean((1, 2)).round().to(torch.uint8)
    assert torch.equal(middle[0, :, 16, 16], mean)


def test_colour_keeps_places_and_changes_gray_alike() -> None:
    change = CHANGES["colour"]
    gray = random_images(5, (8, 8, 1))
    same = torch.full((5, 3), 0.5)  # factors of 1
    torch.testing.assert_close(
        change(gray, same, mirror_keeps_class=True), gray.float(), rtol=0, atol=1e-3
    )
    as_colour = change(gray.expand(-1, 3, -1, -1), numbers(5, 3), mirror_keeps_class=True)
    torch.testing.assert_close(as_colour[:, 0], as_colour[:, 2], rtol=0, atol=1e-2)
    brighter = change(gray, torch.tensor([[0.75, 0.5, 0.5]]).expand(5, -1), mirror_keeps_class=True)
    torch.testing.assert_close(brighter, (gray * 1.2).clamp(max=255), rtol=0, atol=1e-3)


def test_noise_has_the_deviation_that_is_said_and_is_every_images_own() -> None:
    change = NoiseChange(image_share=0.5, largest_deviation=0.1)
    gray = torch.full((3, 3, 32, 32), 128, dtype=torch.uint8)
    gray = gray.contiguous(memory_format=torch.channels_last)
    uniforms = torch.tensor([[0.3, 0.4], [0.6, 0.75], [0.601, 0.75]])
    noise = change(gray, uniforms, mirror_keeps_class=True) - 128
    assert noise[0].abs().max() == 0
    assert noise[1].std() == pytest.approx(255 * 0.05, rel=0.05)
    assert noise[1].mean() == pytest.approx(0, abs=1)
    of_channels = noise[1:].flatten(2).flatten(0, 1)  # (images × channels, pixels)
    assert (of_channels.corrcoef() - torch.eye(6)).abs().max() < 0.15


def test_blur_weighs_neighbours_and_keeps_what_is_flat() -> None:
    change = BlurChange(image_share=0.5, largest_share=0.25)
    images = torch.zeros(3, 1, 7, 7).contiguous(memory_format=torch.channels_last)
    images[:2, :, 3, 3] = 160
    images[2] = 77
    blurred = change(images, torch.tensor([[0.5], [1.0], [1.0]]), mirror_keeps_class=True)
    assert torch.equal(blurred[0], images[0])
    weights = torch.tensor([1.0, 2.0, 1.0])
    torch.testing.assert_close(blurred[1, 0, 2:5, 2:5], 10 * weights[:, None] * weights)
    assert blurred[1].sum() == pytest.approx(160)
    torch.testing.assert_close(blurred[2], images[2])


def test_mixtures_are_of_the_share_that_is_said() -> None:
    black, white = torch.zeros(50, 3, 16, 16), torch.full((50, 3, 16, 16), 255.0)
    for name in MIXINGS:
        mixing = MIXINGS[name]
        mixed, share = mixing(white, black, numbers(50, mixing.uniforms_per_sample))
        torch.testing.assert_close(mixed.mean((1, 2, 3)) / 255, share, rtol=0, atol=1e-5)
        assert share.std() > 0.1


def test_cutmix_pastes_all_or_nothing_at_the_ends() -> None:
    black, white = torch.zeros(2, 3, 16, 16), torch.full((2, 3, 16, 16), 255.0)
    largest = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item()
    mixed, share = CutmixMixing()(white, black, torch.tensor([[0.0, 0.5, 0.5], [largest] * 3]))
    assert share.tolist() == [0, 1]
    assert mixed.mean((1, 2, 3)).tolist() == [0, 255]


def test_either_mixing_uses_each_way_half_the_time() -> None:
    mixing = augmentation_named("mixup+cutmix").mixing
    assert mixing is not None
    white, black = torch.full((400, 3, 16, 16), 255.0), torch.zeros(400, 3, 16, 16)
    mixed, share = mixing(white, black, numbers(400, mixing.uniforms_per_sample))
    is_blend = ((mixed > 0.01) & (mixed < 254.99)).flatten(1).any(1)
    assert is_blend.float().mean() == pytest.approx(0.5, abs=0.1)
    torch.testing.assert_close(mixed.mean((1, 2, 3)) / 255, share, rtol=0, atol=1e-5)
