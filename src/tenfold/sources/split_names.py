"""Which part of a data set a folder's name stands for."""

from __future__ import annotations

import re
from typing import Literal

Role = Literal["train", "validation", "test"]

# fmt: off
_WORDS: dict[Role, tuple[str, ...]] = {
    "train": ("training", "train", "trn", "trainval", "trainvalid", "traindev"),
    "validation": (
        "validation", "validate", "validating", "valid", "vali", "val",
        "development", "devel", "dev",
    ),
    "test": (
        "testing", "tests", "test", "tst", "evaluation", "evaluate", "evaluating", "eval",
        "holdout", "heldout", "unseen",
    ),
}
# fmt: on
_SHORT: dict[Role, tuple[str, ...]] = {"train": ("tr",), "validation": ("va",), "test": ("te",)}
"""Too short to mean a split where nothing else speaks for it."""
_FILLING = (
    "(?:sets?|datasets?|data|images?|imgs?|pictures?|pics?|photos?|samples?|splits?|subset|part|"
    "folder|dir|classes)"
)
_PATTERNS = {
    role: re.compile(rf"[0-9]{{0,4}}{_FILLING}*(?:{'|'.join(words)}){_FILLING}*[0-9]{{0,4}}")
    for role, words in _WORDS.items()
}
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def role_of(name: str) -> Role | None:
    """Give the split that a folder's name stands for by itself; None for any other name.

    In any case, with any separators: ``Training``, ``test_set``, ``valid``, ``images-train``,
    ``train2017``.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return next((role for role, known in _PATTERNS.items() if known.fullmatch(plain)), None)


def possible_role(name: str) -> Role | None:
    """Give the split that a name may stand for, as ``seg_train``, ``PublicTest`` or ``tr`` do.

    What lies in the folder has to speak for it, too.
    """
    tokens = {token.lower() for token in _TOKEN.findall(name)}
    roles: list[Role] = [role for role in _WORDS if tokens & {*_WORDS[role], *_SHORT[role]}]
    return role_of(name) or (roles[0] if len(roles) == 1 else None)


def without_role(name: str) -> str:
    """Give what is left of a name without the split in it: ``cat`` of ``cat_train``."""
    words = {word for role in _WORDS for word in (*_WORDS[role], *_SHORT[role])}
    kept = _TOKEN.sub(lambda found: "" if found[0].lower() in words else found[0], name)
    return kept.strip(" _-.")
