from __future__ import annotations

import pytest

from tenfold.core.progress import Progress, SilentProgress


def test_silent_progress_takes_everything_and_shows_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    progress: Progress = SilentProgress()
    progress.say("hello")
    with progress.task("Training", 10, done=3, unit="steps") as task:
        task.advance()
        task.advance(2, detail="loss 1")
    assert capfd.readouterr() == ("", "")


def test_silent_progress_lets_errors_through() -> None:
    with pytest.raises(KeyError), SilentProgress().task("Training", 1):
        raise KeyError
