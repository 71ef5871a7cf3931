"""What every registered augmentation policy has to keep."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tenfold.core.errors import UnknownNameError
from tenfold.data.augmentation.policy import POLICIES, AugmentationPolicy
from tenfold.data.sample_randomness import sample_uniforms

SHAPES = [(8, 8, 1), (8, 8, 3), (32, 32, 1), (32, 32, 3), (6, 11, 3), (12, 5, 1), (1, 1, 3)]


@pytest.fixture(params=POLICIES.names())
def policy(request: pytest.FixtureRequest) -> AugmentationPolicy:
    return POLICIES[request.param]


@pytest.fixture(params=SHAPES, ids=str)
def images(request: pytest.FixtureRequest) -> Tensor:
    return random_images(9, request.param)


def random_images(count: int, shape: tuple[int, int, int]) -> Tensor:
    """Give noise, uint8, shape (count, C, H, W), channels last in memory."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
    return rows.permute(0, 3, 1, 2)


def uniforms_for(policy: AugmentationPolicy, count: int, *, epoch: int = 0) -> Tensor:
    """Give the numbers of the samples 0 to count - 1."""
    indices = torch.arange(count).numpy()
    return torch.from_numpy(sample_uniforms(0, epoch, indices, policy.uniforms_per_sample)).float()


def test_the_issue_s_policies_are_there() -> None:
    assert {"none", "crop-flip", "report"} <= set(POLICIES.names())


def test_an_unknown_policy_suggests_the_near_one() -> None:
    with pytest.raises(UnknownNameError, match=r"no augmentation policy.*Did you mean 'crop-flip'"):
        POLICIES["crop_flip"]


@pytest.mark.parametrize("name", POLICIES.names())
def test_a_policy_knows_the_name_it_is_registered_under(name: str) -> None:
    assert POLICIES[name].name == name


def test_the_description_is_one_sentence_and_says_whether_it_flips(
    policy: AugmentationPolicy,
) -> None:
    for mirror_keeps_class in (True, False):
        sentence = policy.describe(mirror_keeps_class)
        assert sentence.endswith(".")
        assert ". " not in sentence
    if policy.name != "none":
        assert "flipped horizontally" in policy.describe(True)
        assert "never flipped" in policy.describe(False)


def test_shape_type_range_and_memory_order_are_kept(
    policy: AugmentationPolicy, images: Tensor
) -> None:
    result = policy(images, uniforms_for(policy, len(images)), mirror_keeps_class=True)
    assert result.shape == images.shape
    assert result.dtype in (torch.uint8, torch.float32)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert result.min() >= 0
    assert result.max() <= 255


def test_the_input_is_not_changed(policy: AugmentationPolicy, images: Tensor) -> None:
    uniforms = uniforms_for(policy, len(images))
    images_before, uniforms_before = images.clone(), uniforms.clone()
    result = policy(images, uniforms, mirror_keeps_class=True)
    assert torch.equal(images, images_before)
    assert torch.equal(uniforms, uniforms_before)
    assert result.shape == images.shape


def test_an_image_does_not_depend_on_its_batch(policy: AugmentationPolicy, images: Tensor) -> None:
    uniforms = uniforms_for(policy, len(images))
    whole = policy(images, uniforms, mirror_keeps_class=True)
    for index in range(len(images)):
        one = slice(index, index + 1)
        alone = policy(images[one], uniforms[one], mirror_keeps_class=True)
        assert torch.equal(alone, whole[one])
    order = torch.tensor([8, 3, 0, 1, 7, 2])
    shuffled = images.permute(0, 2, 3, 1)[order].permute(0, 3, 1, 2)
    assert torch.equal(policy(shuffled, uniforms[order], mirror_keeps_class=True), whole[order])


def test_extreme_numbers_are_in_range(policy: AugmentationPolicy) -> None:
    images = random_images(2, (8, 8, 3))
    largest = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0))
    uniforms = torch.stack(
        (torch.zeros(policy.uniforms_per_sample), largest.expand(policy.uniforms_per_sample))
    )
    result = policy(images, uniforms, mirror_keeps_class=True)
    assert result.shape == images.shape


def test_an_image_of_one_colour_stays_as_it_is(policy: AugmentationPolicy) -> None:
    images = torch.full((50, 16, 16, 3), 255, dtype=torch.uint8).permute(0, 3, 1, 2)
    result = policy(images, uniforms_for(policy, 50), mirror_keeps_class=True)
    torch.testing.assert_close(result.float(), images.float(), rtol=0, atol=1e-3)


def right_edge(count: int) -> Tensor:
    """Give images whose right fifth is white: mirrored, their left fifth is."""
    images = torch.zeros(count, 20, 20, 3, dtype=torch.uint8)
    images[:, :, 16:] = 255
    return images.permute(0, 3, 1, 2)


def share_of_mirrored(policy: AugmentationPolicy, *, mirror_keeps_class: bool) -> float:
    """Say which share of 400 images is brighter on the left."""
    images = right_edge(400)
    result = policy(images, uniforms_for(policy, 400), mirror_keeps_class=mirror_keeps_class)
    brightness = result.float().mean((1, 2))  # (400, W)
    is_mirrored = brightness[:, :10].sum(1) > brightness[:, 10:].sum(1)
    return float(is_mirrored.float().mean())


def test_half_of_the_images_are_mirrored(policy: AugmentationPolicy) -> None:
    share = share_of_mirrored(policy, mirror_keeps_class=True)
    # Four standard errors of a half of 400.
    assert share == 0 if policy.name == "none" else abs(share - 0.5) < 0.1


def test_nothing_is_mirrored_where_that_changes_the_class(policy: AugmentationPolicy) -> None:
    assert share_of_mirrored(policy, mirror_keeps_class=False) == 0


def test_epochs_show_an_image_differently(policy: AugmentationPolicy) -> None:
    if policy.uniforms_per_sample == 0:
        pytest.skip("not random")
    images = random_images(20, (16, 16, 3))
    first, second = (
        policy(images, uniforms_for(policy, 20, epoch=epoch), mirror_keeps_class=True)
        for epoch in (0, 1)
    )
    same = (first == second).flatten(1).all(1)
    assert same.float().mean() < 0.3
