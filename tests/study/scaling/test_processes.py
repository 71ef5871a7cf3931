"""Tasks in processes: each done once, and nobody left behind."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tenfold.core.errors import TrainingError
from tenfold.study.scaling.processes import MOST_DEATHS, WorkerFunction, WorkerPool

# A task's number says what becomes of it: 0 to 9 are done, 10 kills its process the first time, 20
# every time, 30 stops everything, 40 takes for ever. The pool's request is a folder's name.
WORKER = """
import json, os, sys, time
from pathlib import Path
def worker(request):
    folder = Path(json.loads(request.read_text()))
    return lambda task: do(folder, task)
def do(folder, task):
    with (folder / "log").open("a") as log:
        log.write(f"{task} {os.getpid()} {os.environ['OMP_NUM_THREADS']}\\n")
    print("not an answer")
    if task == 10 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), 9)
    if task == 20:
        print("no memory left", file=sys.stderr, flush=True)
        os._exit(3)
    if task == 30:
        return "the loss is nan"
    if task == 40:
        time.sleep(1000)
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkerPool:
    (tmp_path / "pool_test_worker.py").write_text(WORKER)
    (tmp_path / "request.json").write_text(json.dumps(str(tmp_path)))
    here = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), here])))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pool_test_worker", raising=False)
    worker: WorkerFunction = importlib.import_module("pool_test_worker").worker
    return WorkerPool(worker, tmp_path / "request.json", 2, 3, tmp_path / "messages.log")


def run(pool: WorkerPool, *tasks: int, **rest: Any) -> tuple[list[int], dict[int, str]]:
    left = iter(tasks)
    done: list[int] = []
    lost: dict[int, str] = {}
    pool.run(lambda: next(left, None), on_done=done.append, on_lost=lost.__setitem__, **rest)
    return sorted(done), lost


def log(tmp_path: Path) -> list[list[str]]:
    path = tmp_path / "log"
    return [line.split() for line in path.read_text().splitlines()] if path.is_file() else []


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


def test_every_task_is_done_once_by_capped_processes(pool: WorkerPool, tmp_path: Path) -> None:
    assert run(pool, *range(6)) == (list(range(6)), {})
    lines = log(tmp_path)
    assert sorted(int(task) for task, _, _ in lines) == list(range(6))
    assert {threads for _, _, threads in lines} == {"3"}
    assert len({process for _, process, _ in lines}) <= 2


def test_no_task_starts_no_process(pool: WorkerPool, tmp_path: Path) -> None:
    assert run(pool) == ([], {})
    assert not (tmp_path / "messages.log").exists()


def test_a_task_whose_process_died_is_done_by_another(pool: WorkerPool, tmp_path: Path) -> None:
    assert run(pool, 1, 10, 2) == ([1, 2, 10], {})
    assert len([line for line in log(tmp_path) if line[0] == "10"]) == 2


def test_a_task_that_always_kills_its_process_is_given_up(pool: WorkerPool, tmp_path: Path) -> None:
    done, lost = run(pool, 20, 1)
    assert done == [1]
    assert list(lost) == [20]
    assert "ended 3 times (exit code 3; out of memory?)" in lost[20]
    assert lost[20].endswith("Its last message: no memory left")
    assert len([line for line in log(tmp_path) if line[0] == "20"]) == MOST_DEATHS


def test_a_task_s_message_stops_everything(pool: WorkerPool) -> None:
    with pytest.raises(TrainingError, match="the loss is nan"):
        run(pool, 30, 40)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
class TestNobodyIsLeftBehind:
    def test_when_it_is_interrupted(self, pool: WorkerPool, tmp_path: Path) -> None:
        def interrupt() -> None:
            if len(log(tmp_path)) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(pool, 40, 40, on_look=interrupt)
        for _, process, _ in log(tmp_path):
            wait_for_end(int(process))

    def test_when_the_parent_is_killed(self, pool: WorkerPool, tmp_path: Path) -> None:
        code = (
            "from pathlib import Path\nfrom pool_test_worker import worker\n"
            "from tenfold.study.scaling.processes import WorkerPool\n"
            f"folder = Path({str(tmp_path)!r})\n"
            "pool = WorkerPool(worker, folder / 'request.json', 2, 1, folder / 'm')\n"
            "tasks = iter([40, 40])\n"
            "pool.run(lambda: next(tasks, None), on_done=print, on_lost=print)\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", code])
        while len(log(tmp_path)) < 2:
            assert parent.poll() is None
            time.sleep(0.02)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        for _, process, _ in log(tmp_path):
            wait_for_end(int(process))
