"""Read an augmentation's name: parts joined by ``+``. Nothing heavy is imported for it."""

from __future__ import annotations

from dataclasses import dataclass

from tenfold.core.errors import SettingsError, UnknownNameError
from tenfold.data.augmentation.mixing import MIXINGS
from tenfold.data.augmentation.policy import CHANGES, POLICIES

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
