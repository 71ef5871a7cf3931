"""Tasks in processes: each done once, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaling_tasks import do_as_told, log_lines
from tenfold.study.scaling.processes import Processes
from tenfold.study.scaling.work import MOST_DEATHS, Driver, Task, Work
from tenfold.training.device import Device


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(do_as_told, tmp_path / "work", {"log": str(tmp_path)}, device=Device("cpu", "", 7))


def run(work: Work, *orders: str, jobs: int = 2) -> tuple[list[str], dict[str, str]]:
    """Give what was done and what was lost."""
    left = [Task(f"{place} {order}", {"order": order}) for place, order in enumerate(orders)][::-1]
    done: list[str] = []
    lost: dict[str, str] = {}
    driver = Driver(
        next_task=lambda: left.pop() if left else None,
        left=lambda: len(left),
        on_done=lambda task, _result: done.append(task.name),
        on_lost=lambda task, reason: lost.update({task.name: reason}),
    )
    Processes(jobs).run(work, driver)
    return sorted(done), lost


def wait_for_end(process: int) -> None:
    for _ in range(500):
        try:
            status = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return
        if status.rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.02)
    raise AssertionError(f"{process} is still there")


def test_every_task_is_done_once_by_capped_processes(work: Work, tmp_path: Path) -> None:
    names = [f"{place} done" for place in range(6)]
    assert run(work, *["done"] * 6) == (names, {})
    lines = log_lines(tmp_path)
    assert len(lines) == 6
    assert {threads for _, _, threads in lines} == {"3"}  # of seven, by two processes
    assert len({process for _, process, _ in lines}) <= 2


def test_no_task_starts_no_process(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert run(work) == ([], {})


def test_a_task_that_always_kills_its_process_is_given_up(work: Work, tmp_path: Path) -> None:
    done, lost = run(work, "exit", "done")
    assert done == ["1 done"]
    assert list(lost) == ["0 exit"]
    assert "ended 3 times (exit code 3; out of memory?)" in lost["0 exit"]
    assert lost["0 exit"].endswith("Its last message: no memory left")
    assert len([line for line in log_lines(tmp_path) if line[0] == "exit"]) == MOST_DEATHS


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
class TestNobodyIsLeftBehind:
    def test_when_it_is_interrupted(self, work: Work, tmp_path: Path) -> None:
        def interrupt(_state: str) -> None:
            if len(log_lines(tmp_path)) == 2:
                raise KeyboardInterrupt

        left = [Task(str(place), {"order": "wait"}) for place in range(2)]
        driver = Driver(
            next_task=lambda: left.pop() if left else None,
            left=lambda: len(left),
            on_done=print,
            on_lost=print,
            on_look=interrupt,
        )
        with pytest.raises(KeyboardInterrupt):
            Processes(2).run(work, driver)
        for _, process, _ in log_lines(tmp_path):
            wait_for_end(int(process))

    def test_when_the_parent_is_killed(self, work: Work, tmp_path: Path) -> None:
        code = (
            "from pathlib import Path\nfrom scaling_tasks import do_as_told\n"
            "from tenfold.study.scaling.processes import Processes\n"
            "from tenfold.study.scaling.work import Task, Work, run_tasks\n"
            f"work = Work(do_as_told, Path({str(work.folder)!r}), {{'log': {str(tmp_path)!r}}})\n"
            "tasks = [Task(str(place), {'order': 'wait'}) for place in range(2)]\n"
            "run_tasks(Processes(2), work, tasks, print)\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ))
        while len(log_lines(tmp_path)) < 2:
            assert parent.poll() is None
            time.sleep(0.02)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        for _, process, _ in log_lines(tmp_path):
            wait_for_end(int(process))
