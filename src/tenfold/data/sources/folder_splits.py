"""Which folders of a tree are splits and which are classes.

What is looked for, from the given folder down, decided by names and by what lies beneath them::

    DATA/cat/1.png                              one tree
    DATA/train/cat/1.png, DATA/test/cat/1.png   splits, in any case, or with `validation`
    DATA/cat/train/1.png, DATA/cat/test/1.png   the same, class first
    DATA/NAME/...                               any of these in a folder that is alone, or whose
                                                neighbours hold no data set
    DATA/train/train/cat/1.png                  a split whose folder is there twice

A folder is a split by what is in it as much as by its name: a class may be called "test" or
"train" (beside "bus"). What was decided is a note where it could have been decided otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from tenfold.core.errors import DataError, nearest_names
from tenfold.core.text import counted, shortlist
from tenfold.data.sources.folder_files import ScannedFolder

Role = Literal["train", "validation", "test"]
ClassFolders = dict[str, list[ScannedFolder]]
"""The folders of each class by its name; those without images included."""

_HELD_OUT: tuple[Role, ...] = ("validation", "test")
# Folders of these names hold classes rather than being one, if they have sub-folders.
GENERIC_NAMES = frozenset(
    {"images", "imgs", "image", "img", "data", "dataset", "datasets", "archive", "photos"}
    | {"pictures", "classes", "raw", "input"}
)


@dataclass(frozen=True)
class FolderLevel:
    """The classes of each split.

    Parameters
    ----------
    folder
        Where the classes, or the splits, lie side by side.
    classes
        Class folders of each split that there is; without splits all are of ``train``.
    names
        Name of each split's folder, several joined by " and "; empty without splits.
    unused
        Folders with images that are of no split.
    unlabelled
        Splits that are not used, as their images have no labels.
    notes
        What was decided that could have been decided otherwise.
    """

    folder: ScannedFolder
    classes: dict[Role, ClassFolders]
    names: dict[Role, str] = field(default_factory=dict)
    unused: tuple[ScannedFolder, ...] = ()
    unlabelled: tuple[ScannedFolder, ...] = ()
    notes: tuple[str, ...] = ()


def find_level(root: ScannedFolder) -> FolderLevel:
    """Find the classes and splits below a folder that has images.

    Raises
    ------
    DataError
        If there are splits without classes or without training images, or several data sets.
    """
    folder = root
    unused: tuple[ScannedFolder, ...] = ()
    while True:
        level = _splits_in(folder) or _class_first(folder) or _split_in_names(folder)
        if level is None:
            _check_splits(folder)
            inner = _inner(folder)
            if inner is not None:
                unused += tuple(other for other in folder.filled if other is not inner)
                folder = inner
                continue
            level = _one_tree(folder)
        if folder is not root:
            what = "splits and classes" if level.names else "classes"
            level = replace(level, notes=(f"The {what} are those in {folder.path}.", *level.notes))
        return replace(level, unused=unused + level.unused)


def _splits_in(folder: ScannedFolder) -> FolderLevel | None:
    """Give the splits that lie in a folder side by side; None if these are none."""
    there = folder.filled
    held_out = [one for one in there if possible_role(one.name) in _HELD_OUT]
    trains = [one for one in there if role_of(one.name) == "train" and one.filled]
    if not trains and held_out:
        trains = [one for one in there if possible_role(one.name) == "train" and one.filled]
    if not trains:
        return None
    within = _splits_in(trains[0]) if len(there) == 1 else None
    if within is not None and len(within.names) > 1:
        return None  # a data set that is called "train"
    classes: dict[Role, ClassFolders] = {
        "train": _by_class(_without_wrapper(one) for one in trains)
    }
    names: dict[Role, list[ScannedFolder]] = {"train": trains, "validation": [], "test": []}
    trained = classes["train"].items()
    known = {name for name, found in trained if any(one.image_count for one in found)}
    others = [one for one in there if one not in trains and one not in held_out]
    if not held_out and len(others) > 1 and not any(known & _names(one) for one in others):
        return None  # "train" beside "bus" and "car"
    notes: list[str] = []
    unlabelled: list[ScannedFolder] = []
    for one in held_out:
        role = possible_role(one.name)
        assert role is not None
        inner = _without_wrapper(one, known)
        if _has_classes(inner, known) and (role_of(one.name) or known & _names(inner)):
            names[role].append(one)
            found = classes.setdefault(role, {})
            for name, folders in _by_class([inner]).items():
                found.setdefault(name, []).extend(folders)
        elif role_of(one.name) or not one.filled:
            unlabelled.append(one)
            images = counted(one.image_count, "image")
            lie = "lies" if one.image_count == 1 else "lie"
            where = (
                f"{_shown(one.filled)}, which is no class of the training images."
                if one.filled
                else "no class folders, so they have no labels."
            )
            notes.append(f"{one.name}/ was not used: its {images} {lie} in {where}")
        else:
            others.append(one)
    if names["validation"] and not names["test"]:
        names["test"], names["validation"] = names["validation"], []
        classes["test"] = classes.pop("validation")
        notes.append(_validation_tests(_shown(names["test"])))
    notes += [
        f"{_shown(found)} were joined: they are the {role} images."
        for role, found in names.items()
        if len(found) > 1
    ]
    if others and not held_out:
        notes.append(
            f"{trains[0].name}/ was taken for the training images, not for a class, because it has "
            f"sub-folders. If it is a class, put its images into it directly."
        )
    return FolderLevel(
        folder,
        classes,
        {role: _shown(found) for role, found in names.items() if found},
        tuple(others),
        tuple(unlabelled),
        tuple(notes),
    )


def _class_first(folder: ScannedFolder) -> FolderLevel | None:
    """Give the splits of ``cat/train``, ``cat/test``, ``dog/train``; None if these are none."""
    split = [one for one in folder.filled if one.filled and all(map(role_of, _names(one)))]
    several = [one for one in split if len(set(map(role_of, _names(one)))) > 1]
    if len(several) < 2 or 2 * len(split) < len(folder.filled) or _share_sub_classes(several):
        return None
    classes: dict[Role, ClassFolders] = {}
    names: dict[Role, dict[str, None]] = {}
    notes = ["The splits lie in the class folders."]
    for one in folder.folders:
        if one not in split:
            classes.setdefault("train", {}).setdefault(one.name, []).append(one)
            if one.image_count:
                notes.append(f"{one.name}/ has no splits in it: its images are training images.")
            continue
        for part in one.filled:
            role = role_of(part.name)
            assert role is not None
            classes.setdefault(role, {}).setdefault(one.name, []).append(part)
            names.setdefault(role, {})[part.name] = None
    if "train" not in classes:
        return None
    if "validation" in classes and "test" not in classes:
        classes["test"], names["test"] = classes.pop("validation"), names.pop("validation")
        notes.append(_validation_tests(" and ".join(f"{name}/" for name in names["test"])))
    return FolderLevel(
        folder,
        classes,
        {role: " and ".join(f"{name}/" for name in found) for role, found in names.items()},
        notes=tuple(notes),
    )


def _split_in_names(folder: ScannedFolder) -> FolderLevel | None:
    """Give the splits of ``cat_train``, ``cat_test``, ``dog_train``; None if these are none."""
    classes: dict[Role, ClassFolders] = {}
    for one in folder.filled:
        role, rest = possible_role(one.name), without_role(one.name)
        if role is None or not rest:
            return None
        classes.setdefault(role, {}).setdefault(rest, []).append(one)
    trained = classes.get("train", {})
    is_untrained = any(found.keys() - trained.keys() for found in classes.values())
    if len(classes) < 2 or len(trained) < 2 or is_untrained:
        return None
    notes = ["The splits are in the names of the class folders."]
    if "test" not in classes:
        classes["test"] = classes.pop("validation")
        notes.append(_validation_tests("train"))
    return FolderLevel(folder, classes, {role: role for role in classes}, notes=tuple(notes))


def _validation_tests(shown: str) -> str:
    return f"There is no test split beside {shown}, so that is the test split."


def _share_sub_classes(several: Sequence[ScannedFolder]) -> bool:
    """Say whether the training folders in some folders have the same folders in them.

    Then these are several data sets of the same classes, not classes.
    """
    found = [
        {name for part in one.filled if role_of(part.name) == "train" for name in _names(part)}
        for one in several
    ]
    return bool(set.intersection(*found))


def _check_splits(folder: ScannedFolder) -> None:
    """Raise an error if a folder has nothing but splits, none of which can be trained on."""
    there = folder.filled
    if not there or not all(map(role_of, _names(folder))):
        return
    shown = _shown(there)
    names_train = any(role_of(one.name) == "train" for one in there)
    if names_train and len(there) == 1 and there[0].filled:
        return  # a data set that is called "train"
    if names_train or not any(one.filled for one in there):
        first = next((one for one in there if role_of(one.name) == "train"), there[0])
        raise DataError(
            f"{folder.path} has splits ({shown}), but the training images lie in no class folders, "
            "so they have no labels. Make one folder a class and move its images there: "
            f"{first.name}/cat/1.png. If these are the classes, name them otherwise."
        )
    raise DataError(
        f"{folder.path} has {shown} with sub-folders but no train/ with sub-folders. Name the "
        "folder of the training images train/, or, to have these images split by tenfold, give "
        f"it alone: --data {there[0].path}"
    )


def _inner(folder: ScannedFolder) -> ScannedFolder | None:
    """Give the one sub-folder that the data set lies in; None if it lies in `folder` itself."""
    there = folder.filled
    if len(there) == 1:
        return there[0] if there[0].filled else None
    with_splits = [one for one in there if _has_splits(one)]
    if len(with_splits) > 1:
        raise DataError(
            f"{folder.path} holds several data sets with splits of their own: "
            f"{_shown(with_splits)}. Give one of them: --data {with_splits[0].path}"
        )
    if with_splits:
        return with_splits[0]
    generic = [one for one in there if one.name.lower() in GENERIC_NAMES and len(one.filled) > 1]
    if len(generic) == 1 and 2 * generic[0].image_count > folder.image_count:
        return generic[0]
    return None


def _has_splits(folder: ScannedFolder) -> bool:
    """Say whether splits lie in a folder, or in one that is alone in it."""
    if _splits_in(folder) is not None:
        return True
    return len(folder.filled) == 1 and _has_splits(folder.filled[0])


def _one_tree(folder: ScannedFolder) -> FolderLevel:
    """Give the classes of a folder without splits."""
    there = folder.filled
    notes = [
        f"{one.name}/ was taken for a class, not for a split: "
        + (
            "its neighbours are no splits."
            if one.filled
            else "its images lie in it directly, not in class folders."
        )
        for one in there
        if role_of(one.name) is not None and len(there) > 1
    ]
    if len(there) > 1 and all(len(one.filled) > 1 and not one.images for one in there):
        within = sorted({name for one in there for name in _names(one)})
        notes.append(
            f"The classes are the folders in {folder.path}, not those below them "
            f"({shortlist(within, 8)}). If these are the classes, put them side by side in one "
            "folder."
        )
    return FolderLevel(folder, {"train": _by_class([folder])}, notes=tuple(notes))


def _without_wrapper(split: ScannedFolder, known: set[str] | None = None) -> ScannedFolder:
    """Give the folder in which a split's classes lie: ``train``, or ``train/train`` in it.

    `known` are the classes of the training images; None for these themselves.
    """
    while len(split.filled) == 1:
        inner = split.filled[0]
        within = _names(inner)
        is_wrapper = (
            len(within) > 1 if known is None else inner.name not in known and within & known
        )
        if not is_wrapper:
            break
        split = inner
    return split


def _has_classes(split: ScannedFolder, known: set[str]) -> bool:
    """Say whether class folders lie in a test or validation split.

    A single folder of another name is none: ``test/unknown``, ``test/images``.
    """
    there = split.filled
    if len(there) == 1 and there[0].name not in known:
        return bool(nearest_names(there[0].name, known))
    return bool(there)


def _by_class(folders: Iterable[ScannedFolder]) -> ClassFolders:
    """Give the folders in some folders by name; those in which only tenfold wrote are none."""
    found: ClassFolders = {}
    for folder in folders:
        for one in folder.folders:
            if one.image_count or not one.all_own():
                found.setdefault(one.name, []).append(one)
    return found


def _names(folder: ScannedFolder) -> set[str]:
    """Give the names of the folders with images in a folder."""
    return {one.name for one in folder.filled}


def _shown(folders: Sequence[ScannedFolder]) -> str:
    return " and ".join(f"{folder.name}/" for folder in folders)


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
