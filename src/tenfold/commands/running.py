"""What several commands do: run a study, read a data set, write a picture."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenfold.core.progress import Progress
    from tenfold.data.dataset import ImageDataset
    from tenfold.report.figures.canvas import Draw
    from tenfold.study.recipe import StudySettings
    from tenfold.study.request import ResolvedRequest, StudyRequest


def run_study(
    request: StudyRequest,
    *,
    device: str,
    is_update: bool,
    is_offline: bool,
    is_quiet: bool,
    jobs: int = 1,
) -> ResolvedRequest:
    """Run the stages that were asked for, with a line on standard error for each.

    Parameters
    ----------
    request
        What to run, and with which settings.
    device
        Name of the device.
    is_update
        Whether new settings may replace those of an existing run folder.
    is_offline
        Whether downloads are forbidden.
    is_quiet
        Whether errors alone are said.
    jobs
        Processes of a search.

    Raises
    ------
    TenfoldError
        Whatever goes wrong, with a message for people.
    """
    from tenfold.study.study import Study
    from tenfold.terminal import TerminalProgress

    progress = TerminalProgress(is_quiet=is_quiet)
    started_at = _process_start()
    resolved = request.resolve()
    progress.say(resolved.sentence)
    progress.say(f"Run folder: {resolved.out}")
    if request.budget and not request.stages and not resolved.settings.cross_validate.is_enabled:
        progress.say(
            "Cross-validation is left out, as every fold would take the budget again. For it: "
            f"tenfold cross-validate --out {shlex.quote(str(resolved.out))}"
        )
    study = Study(
        resolved.settings,
        resolved.out,
        device=device,
        progress=progress,
        update=is_update,
        is_offline=is_offline,
        corrections=resolved.corrections,
        jobs=jobs,
        started_at=started_at,
    )
    for outcome in study.run(*request.stages, runs=request.runs):
        progress.say(outcome.sentence())
    return resolved


def read_data(
    data: str | None, settings: StudySettings, *, is_offline: bool, progress: Progress
) -> ImageDataset:
    """Find a data set as ``--data`` names it, say which it is, and read it as the settings ask."""
    from tenfold.data.sources.finding import find_source

    source, path, sentence = find_source(data)
    progress.say(sentence)
    return source.load(path, settings.source_options(is_offline=is_offline), progress)


def write_picture(path: Path, draw: Draw, *, name: str, description: str) -> None:
    """Write a figure as an SVG file of its own."""
    from tenfold.core.files import write_text
    from tenfold.report.figures.canvas import standalone_svg, svg_text

    write_text(path, standalone_svg(svg_text(draw), name=name, description=description))


def _process_start() -> float:
    """Give the moment at which this process began, on `time.monotonic`'s clock.

    Libraries are imported before a command runs, which takes seconds from a cold disk. Where the
    system does not tell (outside of Linux), the moment of the call.
    """
    now = time.monotonic()
    try:
        # The 22nd field, counted behind the name, which may hold anything (man proc).
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begun = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return now - max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - begun)
    except (OSError, ValueError, IndexError, AttributeError):
        return now
