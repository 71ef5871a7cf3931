"""Which stages a study has: told by the text of the stages' files, none of which is imported.

The command line lists stages before anything heavy is loaded, and the report, which lies in a layer
below them, shows them. What stands here is derived; a stage declares itself in its file.
"""

from __future__ import annotations

from typing import Any

from tenfold.core.registry import Registry

STAGE_FILES: Registry[Any] = Registry("tenfold.study.stages", "STAGE", kind="stage")
"""All stages by name; see `tenfold.study.stages.stage.Stage` for what one is."""


def stage_order() -> tuple[str, ...]:
    """Give all stage names in the order of a whole study."""
    positions = STAGE_FILES.declared("position")
    return tuple(sorted(positions, key=lambda name: positions[name]))


def shown_stages() -> tuple[str, ...]:
    """Give the stages that the report shows, in order: all but itself."""
    return tuple(name for name in stage_order() if name != "report")


def training_stages() -> tuple[str, ...]:
    """Give the stages that train networks, in order."""
    trains = STAGE_FILES.declared("is_training")
    return tuple(name for name in stage_order() if trains.get(name))


def stage_help() -> dict[str, str]:
    """Give the line of help of each stage's command, in order."""
    summaries = STAGE_FILES.declared("summary")
    lines = {name: summaries[name] for name in stage_order()}
    return {name: f"{line[0].upper()}{line[1:]}." for name, line in lines.items()}
