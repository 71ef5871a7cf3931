"""What the names of classes say about mirroring: asked only where measuring leaves a doubt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

_SIDES = (("left", "right"), ("l", "r"), ("west", "east"), ("clockwise", "counterclockwise"))
_OTHER_SIDE = {one: other for pair in _SIDES for one, other in (pair, pair[::-1])}


def named_pairs(classes: Sequence[str]) -> list[tuple[int, int]]:
    """Give the classes whose names differ in nothing but the side: "turn left", "turn right"."""
    words = [re.findall(r"[^\W\d_]+|\d+", _split_humps(name).lower()) for name in classes]
    return [
        (first, second)
        for first, second in combinations(range(len(words)), 2)
        if words[first] != words[second]
        and len(words[first]) == len(words[second])
        and all(
            one == other or _OTHER_SIDE.get(one) == other
            for one, other in zip(words[first], words[second], strict=True)
        )
    ]


def are_characters(classes: Sequence[str]) -> bool:
    """Say whether every name is a single letter or digit: writing is not mirrored."""
    return all(len(name) == 1 and name.isalnum() for name in classes)


def _split_humps(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
