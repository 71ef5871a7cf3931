"""What is done to a training image: policies, changes and mixings, joined by name.

A name is taken apart without torch: settings are checked before anything heavy is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class AugmentationPolicy(Protocol):
    """A random change of images that keeps their class.

    A policy draws nothing itself: it is a function of the images and of uniform random numbers,
    row by row, so a result does not depend on the batch that an image is in.
    """

    @property
    def uniforms_per_sample(self) -> int:
        """Give how many random numbers an image takes."""

    @property
    def alternating_draws(self) -> tuple[int, ...]:
        """Give the places of the numbers that are drawn once for an image, not every epoch.

        In every second epoch such a number is moved on by one half, so that a coin which it tosses
        shows both sides in turn (alternating flip, arXiv 2404.00498, section 3.6).
        """

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say in one sentence what the policy does, with its ranges.

        Parameters
        ----------
        mirror_keeps_class
            As for the call.
        """

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Augment a batch.

        Parameters
        ----------
        images
            uint8, shape (B, C, H, W), channels last in memory; not changed.
        uniforms
            float, shape (B, uniforms_per_sample), 0 included, 1 excluded, on the images' device.
        mirror_keeps_class
            Whether a mirrored image still shows its class; if not, nothing is flipped.

        Returns
        -------
        Tensor
            uint8 or float32 on the scale 0 to 255, of the images' shape, channels last in memory.
        """


@runtime_checkable
class PicturePolicy(AugmentationPolicy, Protocol):
    """A policy that cuts what it shows out of whole pictures, of any size each.

    A part of a photograph has more of its pixels than the same part of a small square of it.
    """

    def cut(
        self,
        pictures: Sequence[Tensor],
        uniforms: Tensor,
        *,
        size: tuple[int, int],
        mirror_keeps_class: bool,
    ) -> Tensor:
        """Augment pictures.

        Parameters
        ----------
        pictures
            uint8, shape (H, W, C) each, as large as they are.
        uniforms, mirror_keeps_class
            As for the call.
        size
            Height and width of what is shown, in pixels.

        Returns
        -------
        Tensor
            uint8 or float32 on the scale 0 to 255, shape (B, C, *size), channels last in memory.
        """


POLICIES: Registry[AugmentationPolicy] = Registry(
    "tenfold.data.augmentation_policies", "POLICIES", kind="augmentation policy"
)
"""All augmentation policies by name."""

CHANGES: Registry[AugmentationPolicy] = Registry(
    "tenfold.data.augmentation_changes", "CHANGES", kind="augmentation policy"
)
"""Changes that are joined to a policy, by name: they leave every part of the image in its place."""


class Mixing(Protocol):
    """A random mixture of an image and a partner, which shows the classes of both in part.

    Like a policy it draws nothing itself: it is a function of the images, their partners and of
    uniform random numbers, row by row.
    """

    @property
    def uniforms_per_sample(self) -> int:
        """Give how many random numbers an image takes."""

    def describe(self) -> str:
        """Say in one sentence how images are mixed."""

    def __call__(self, images: Tensor, partners: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Parameters
        ----------
        images, partners
            uint8 or float32 on the scale 0 to 255, both of one type, shape (B, C, H, W), channels
            last in memory; not changed.
        uniforms
            float32, shape (B, uniforms_per_sample), 0 included, 1 excluded.

        Returns
        -------
        mixed
            uint8 or float32, the images' shape, channels last in memory.
        share
            float32, shape (B,), 0 to 1: how much of a mixture is the image, the rest its partner.
        """


MIXINGS: Registry[Mixing] = Registry("tenfold.data.augmentation_changes", "MIXINGS", kind="mixing")
"""All mixings by name."""

DEFAULT_POLICY = "crop-flip"
"""Policy below the changes and mixings where none is named."""

COMPOSITIONS = {"strong": ("colour", "cutout")}
"""Names that stand for several changes."""


@dataclass(frozen=True)
class AugmentationParts:
    """The names of an augmentation's parts.

    Parameters
    ----------
    policy
        Moves the images.
    changes
        Change the moved images, in this order.
    mixings
        Mix what comes out with another image.
    """

    policy: str
    changes: tuple[str, ...] = ()
    mixings: tuple[str, ...] = ()


def augmentation_names() -> tuple[str, ...]:
    """Give all names that may be joined, sorted."""
    return tuple(sorted((*POLICIES, *CHANGES, *MIXINGS, *COMPOSITIONS)))


def parse_augmentation(name: str) -> AugmentationParts:
    """Take an augmentation's name apart.

    Parameters
    ----------
    name
        For example ``"crop-flip"``, ``"strong"`` or ``"report+cutout+mixup"``. At most one part is
        a policy (it moves the images; `DEFAULT_POLICY` where none is named).

    Raises
    ------
    UnknownNameError
        If a part does not exist; the message suggests the nearest.
    SettingsError
        If two parts are policies, or a part is named twice.
    """
    policies: list[str] = []
    changes: list[str] = []
    mixings: list[str] = []
    for part in (part.strip() for part in name.split("+")):
        if part in POLICIES:
            policies.append(part)
        elif part in CHANGES or part in COMPOSITIONS:
            changes += COMPOSITIONS.get(part, (part,))
        elif part in MIXINGS:
            mixings.append(part)
        else:
            raise UnknownNameError("augmentation policy", part, augmentation_names())
    if len(policies) > 1:
        raise SettingsError(
            f"The augmentation {name!r} names {' and '.join(policies)}, but images are moved in "
            f"one way only. Keep one of {', '.join(POLICIES)}, and join others to it, for example "
            f"{policies[0]}+cutout."
        )
    if repeated := [one for one in (*changes, *mixings) if (*changes, *mixings).count(one) > 1]:
        raise SettingsError(
            f"The augmentation {name!r} has {repeated[0]} twice"
            f"{_origin(repeated[0])}. Name it once."
        )
    return AugmentationParts((policies or [DEFAULT_POLICY])[0], tuple(changes), tuple(mixings))


def _origin(change: str) -> str:
    """Say which compositions hold a change."""
    return "".join(
        f" ({composition} stands for {'+'.join(parts)})"
        for composition, parts in COMPOSITIONS.items()
        if change in parts
    )


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training image, alone and then with another.

    Parameters
    ----------
    policy
        Changes single images.
    mixing
        Mixes two of them and their labels; None for no mixing.
    """

    policy: AugmentationPolicy
    mixing: Mixing | None = None

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say what is done, a sentence a part."""
        mixed = "" if self.mixing is None else f" {self.mixing.describe()}"
        return self.policy.describe(mirror_keeps_class) + mixed


def augmentation_named(name: str) -> Augmentation:
    """Put an augmentation together by its name; see `parse_augmentation`.

    Raises
    ------
    SettingsError
        If the name is not valid.
    """
    names = parse_augmentation(name)
    policy = POLICIES[names.policy]
    if names.changes:
        is_cutting = isinstance(policy, PicturePolicy)
        composed = ComposedPicturePolicy if is_cutting else ComposedPolicy
        policy = composed((policy, *(CHANGES[change] for change in names.changes)))
    mixings = tuple(MIXINGS[mixing] for mixing in names.mixings)
    if len(mixings) > 1:
        return Augmentation(policy, EitherMixing(mixings))
    return Augmentation(policy, mixings[0] if mixings else None)


@dataclass(frozen=True)
class ComposedPolicy:
    """One policy after another, each with random numbers of its own.

    The first part's numbers come first, so that ``crop-flip+cutout`` moves every image as
    ``crop-flip`` alone does with the same seed.

    Parameters
    ----------
    parts
        In the order that they are applied in.
    """

    parts: tuple[AugmentationPolicy, ...]

    @property
    def uniforms_per_sample(self) -> int:
        """Give the numbers that all parts take."""
        return sum(part.uniforms_per_sample for part in self.parts)

    @property
    def alternating_draws(self) -> tuple[int, ...]:
        """Give the places of the parts' alternating numbers among all."""
        places: list[int] = []
        first = 0
        for part in self.parts:
            places += [first + place for place in part.alternating_draws]
            first += part.uniforms_per_sample
        return tuple(places)

    def describe(self, mirror_keeps_class: bool) -> str:
        """Say each part's sentence."""
        return " ".join(part.describe(mirror_keeps_class) for part in self.parts)

    def __call__(self, images: Tensor, uniforms: Tensor, *, mirror_keeps_class: bool) -> Tensor:
        """Augment a batch; see `AugmentationPolicy`."""
        first = 0
        for part in self.parts:
            own = uniforms[:, first : first + part.uniforms_per_sample]
            images = part(images, own, mirror_keeps_class=mirror_keeps_class)
            first += part.uniforms_per_sample
        return images


@dataclass(frozen=True)
class ComposedPicturePolicy(ComposedPolicy):
    """A composition whose first part cuts out of whole pictures; see `PicturePolicy`."""

    def cut(
        self,
        pictures: Sequence[Tensor],
        uniforms: Tensor,
        *,
        size: tuple[int, int],
        mirror_keeps_class: bool,
    ) -> Tensor:
        """Augment pictures; see `PicturePolicy`."""
        first, *others = self.parts
        assert isinstance(first, PicturePolicy)
        count = first.uniforms_per_sample
        images = first.cut(
            pictures, uniforms[:, :count], size=size, mirror_keeps_class=mirror_keeps_class
        )
        changes = ComposedPolicy(tuple(others))
        return changes(images, uniforms[:, count:], mirror_keeps_class=mirror_keeps_class)


@dataclass(frozen=True)
class EitherMixing:
    """Mixes each image in one of several ways, drawn with equal probability.

    Parameters
    ----------
    parts
        The ways, at least two.
    """

    parts: tuple[Mixing, ...]

    @property
    def uniforms_per_sample(self) -> int:
        """Give one number to choose by, and as many as the part that takes the most."""
        return 1 + max(part.uniforms_per_sample for part in self.parts)

    def describe(self) -> str:
        """Say each part's sentence."""
        ways = " ".join(part.describe() for part in self.parts)
        return f"Each image is mixed in one of {len(self.parts)} ways: {ways}"

    def __call__(self, images: Tensor, partners: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch; float32 out; see `Mixing`."""
        import torch

        chosen = (uniforms[:, 0] * len(self.parts)).long().clamp_(max=len(self.parts) - 1)
        mixed, share = self.parts[0](images, partners, uniforms[:, 1:])
        mixed = mixed.float()
        for place, part in enumerate(self.parts[1:], start=1):
            other, other_share = part(images, partners, uniforms[:, 1:])
            is_other = chosen == place
            mixed = torch.where(is_other[:, None, None, None], other.float(), mixed)
            share = torch.where(is_other, other_share, share)
        return mixed, share
