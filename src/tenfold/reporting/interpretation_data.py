"""What the pixel statistics and the class counts say, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenfold.core.records.acquire import AcquireRecord
from tenfold.core.records.explore import ClassStatistics, ExploreRecord
from tenfold.core.records.mirroring import MirrorRecord
from tenfold.metrics.imbalance import IMBALANCE_RATIO
from tenfold.reporting.formats import counted, in_sentence, join, percent, score

_LISTED = 4
"""A tie is spelled out up to this many classes."""


def balance_sentences(acquire: AcquireRecord) -> list[str]:
    """Say how evenly the training and the test images are spread over the classes."""
    sentences = [_balance("training", acquire.classes, acquire.train_counts)]
    if any(acquire.test_counts):
        sentences.append(_balance("test", acquire.classes, acquire.test_counts))
    return sentences


def mirror_sentence(keeps_class: bool, record: MirrorRecord | None) -> str:
    """Say whether images are mirrored in training, why, and how to have it otherwise."""
    done = "Images are mirrored left to right" if keeps_class else "Images are not mirrored"
    change = f"To change this: --set data.mirror_keeps_class={str(not keeps_class).lower()}."
    if record is None:
        return f"{done} when they are augmented. {change}"
    reason = {
        "measurement": "measured"
        if record.measured is not None
        else "which is likelier, but measuring leaves a doubt",
        "names": "as the names of the classes suggest; measuring leaves a doubt",
        "default": "as is right for most photographs; measuring leaves a doubt",
        "setting": "as the setting data.mirror_keeps_class says",
    }[record.decided_by]
    if record.decided_by == "setting" and record.measured not in (None, keeps_class):
        reason += ", though measuring says otherwise"
    return f"{done} when they are augmented, {reason}: {_mirror_evidence(record)} {change}"


def _mirror_evidence(record: MirrorRecord) -> str:
    """Say what a small classifier made of mirror images."""
    found = (
        f"a small classifier recognised {percent(record.plain_accuracy, 0)} of "
        f"{counted(record.images, 'training image')} that it had not seen and "
        f"{percent(record.mirrored_accuracy, 0)} of their mirror images, and having learned from "
        f"mirror images too, {percent(record.taught_accuracy, 0)} of the images."
    )
    if not record.pairs:
        return found
    listed = [f"{in_sentence(one)} and {in_sentence(other)}" for one, other in record.pairs]
    if len(listed) > _LISTED:
        listed = [*listed[: _LISTED - 1], f"{len(listed) - _LISTED + 1} pairs more"]
    return f"{'; '.join(listed)} look like each other's mirror images; {found}"


def brightness_sentences(record: ExploreRecord) -> list[str]:
    """Say which classes are the brightest and the darkest."""
    return _extremes(
        record,
        lambda statistics: statistics.mean,
        all_equal="All {count} classes are equally bright: their mean pixel values agree to three "
        "digits ({value}).",
        highest="The highest mean pixel {values} {belong} to {names}: {these} images are brighter "
        "in tone.",
        lowest="The lowest mean pixel {values} {belong} to {names}: {these} images are darker in "
        "tone.",
    )


def spread_sentences(record: ExploreRecord) -> list[str]:
    """Say in which classes pixel values vary most and least."""
    return _extremes(
        record,
        lambda statistics: statistics.standard_deviation,
        all_equal="Pixel values vary equally in all {count} classes: their standard deviations "
        "agree to three digits ({value}).",
        highest="Pixel values vary most in {names}, by standard deviation: contrast is high in "
        "{these} images.",
        lowest="Pixel values vary least in {names}: {these} images are more uniform.",
    )


def channel_sentences(record: ExploreRecord) -> list[str]:
    """Say which channel dominates, which varies most, and how bright the data are overall."""
    means, spreads, names = (
        record.channel_means,
        record.channel_standard_deviations,
        record.channel_names,
    )
    overall = sum(means) / len(means)
    tone = "dark" if overall < 0.35 else "bright" if overall > 0.65 else "moderate"
    lean = (
        ", a little on the dark side"
        if 0.35 <= overall < 0.49
        else ", a little on the bright side"
        if 0.51 < overall <= 0.65
        else ""
    )
    sentences = [
        f"Over all training images the mean pixel value is {score(overall)} on the scale 0 to 1: "
        f"{tone} tones prevail{lean}."
    ]
    if len(means) == 1:
        sentences.append(
            f"The images have one channel ({names[0]}), with a standard deviation of "
            f"{score(spreads[0])}."
        )
        return sentences
    strongest, weakest = _argmax(means), _argmin(means)
    if score(means[strongest]) == score(means[weakest]):
        sentences.append("No channel dominates: their means agree to three digits.")
    else:
        sentences.append(
            f"The {names[strongest]} channel dominates ({score(means[strongest])}); the "
            f"{names[weakest]} channel is the weakest ({score(means[weakest])})."
        )
    widest, narrowest = _argmax(spreads), _argmin(spreads)
    if score(spreads[widest]) == score(spreads[narrowest]):
        sentences.append("All channels vary equally, by standard deviation.")
    else:
        sentences.append(
            f"Values vary most in the {names[widest]} channel (standard deviation "
            f"{score(spreads[widest])}) and least in the {names[narrowest]} channel "
            f"({score(spreads[narrowest])})."
        )
    return sentences


def _balance(split: str, classes: Sequence[str], counts: Sequence[int]) -> str:
    total, largest, smallest = sum(counts), max(counts), min(counts)
    have = f"The {counted(total, f'{split} image')}"
    if largest == smallest:
        return (
            f"{have} are spread evenly: each of the {len(classes)} classes has "
            f"{counted(largest, 'image')}."
        )
    most, least = classes[counts.index(largest)], classes[counts.index(smallest)]
    if smallest == 0:
        empty = [
            in_sentence(name) for name, number in zip(classes, counts, strict=True) if not number
        ]
        shown = join(empty) if len(empty) <= _LISTED else f"{len(empty)} classes"
        return (
            f"{have} leave out {shown}; the largest class, {in_sentence(most)}, has "
            f"{counted(largest, 'image')}."
        )
    extent = (
        f"from {counted(smallest, 'image')} ({in_sentence(least)}, {percent(smallest / total)}) to "
        f"{counted(largest, 'image')} ({in_sentence(most)}, {percent(largest / total)})"
    )
    ratio = largest / smallest
    if ratio < IMBALANCE_RATIO:
        return f"{have} are spread almost evenly over the classes: {extent}."
    sentence = (
        f"{have} are spread unevenly over the classes: {extent}, a ratio of {ratio:.1f} to 1."
    )
    if split == "test":
        sentence += " Accuracy favours the large classes; the macro scores weigh all equally."
    return sentence


def _extremes(
    record: ExploreRecord,
    value_of: Callable[[ClassStatistics], float],
    *,
    all_equal: str,
    highest: str,
    lowest: str,
) -> list[str]:
    present = [statistics for statistics in record.classes if statistics.count > 0]
    if not present:
        return []
    ordered = sorted(present, key=lambda statistics: (-value_of(statistics), statistics.name))
    rounded = [score(value_of(statistics)) for statistics in ordered]
    if rounded[0] == rounded[-1]:
        if len(present) == 1:
            return [f"Only {in_sentence(present[0].name)} has images ({rounded[0]})."]
        return [all_equal.format(count=len(present), value=rounded[0])]
    # Two at each end, as the original does, where there are enough classes to choose from.
    wanted = 2 if len(ordered) >= 5 else 1
    top = [i for i, text in enumerate(rounded) if float(text) >= float(rounded[wanted - 1])]
    bottom = [i for i, text in enumerate(rounded) if float(text) <= float(rounded[-wanted])]
    top, bottom = (
        [i for i in top if i not in bottom] or top[:1],
        [i for i in bottom if i not in top],
    )
    return [
        _fill(highest, [(ordered[i].name, rounded[i]) for i in top]),
        _fill(lowest, [(ordered[i].name, rounded[i]) for i in reversed(bottom)]),
    ]


def _fill(template: str, classes: Sequence[tuple[str, str]]) -> str:
    listed = [f"{in_sentence(name)} ({value})" for name, value in classes]
    if len(listed) > _LISTED:
        listed = [*listed[: _LISTED - 1], f"{len(listed) - _LISTED + 1} more"]
    is_one = len(classes) == 1
    return template.format(
        names=join(listed),
        values="value" if is_one else "values",
        belong="belongs" if is_one else "belong",
        these="its" if is_one else "their",
    )


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda place: values[place])


def _argmin(values: Sequence[float]) -> int:
    return min(range(len(values)), key=lambda place: values[place])
