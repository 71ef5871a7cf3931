"""An augmentation put together from its parts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tenfold.data.augmentation.either_mixing import EitherMixing
from tenfold.data.augmentation.mixing import MIXINGS, Mixing
from tenfold.data.augmentation.names import parse_augmentation
from tenfold.data.augmentation.policy import CHANGES, POLICIES, AugmentationPolicy


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
    def name(self) -> str:
        """Give the parts' names joined by ``+``."""
        return "+".join(part.name for part in self.parts)

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
        policy = ComposedPolicy((policy, *(CHANGES[change] for change in names.changes)))
    mixings = tuple(MIXINGS[mixing] for mixing in names.mixings)
    if len(mixings) > 1:
        return Augmentation(policy, EitherMixing(mixings))
    return Augmentation(policy, mixings[0] if mixings else None)
