"""What every place promises, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling_tasks import do_as_told, log_lines
from tenfold.core.errors import DataError, TenfoldError
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.packing import Values, unpack
from tenfold.study.scaling.processes import Processes
from tenfold.study.scaling.work import Driver, Place, Task, Work, run_tasks


@pytest.fixture(
    params=["here", "processes", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow])],
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Give each place."""
    if request.param == "here":
        yield Here()
    elif request.param == "processes":
        yield Processes(2)
    else:
        yield request.getfixturevalue("ray_place")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    data = tmp_path / "data" / "sub"
    data.mkdir(parents=True)
    np.save(data / "numbers.npy", np.arange(5))
    return Work(
        do_as_told,
        tmp_path / "work",
        {"log": str(tmp_path), "factor": np.array([2, 3, 5])},
        {"data": tmp_path / "data"},
        seconds_between_files=0.05,
    )


def test_values_folders_files_and_answers_arrive(place: Place, work: Work, tmp_path: Path) -> None:
    count = 4
    tasks = [
        Task(
            f"task {n}",
            {
                "order": "compute",
                "name": f"t{n}",
                "numbers": np.arange(3) + n,
                "content": b"\0\xff",
            },
            files=f"t{n}_*",
        )
        for n in range(count)
    ]
    left, results, asked = tasks[::-1], {}, {}

    def answer(task: Task, question: Values) -> Values:
        asked[task.name] = question["total"]
        np.testing.assert_array_equal(question["numbers"].sum(), question["total"])
        return {"more": np.full(3, question["total"])}

    driver = Driver(
        next_task=lambda: left.pop() if left else None,
        left=lambda: len(left),
        on_done=lambda task, result: results.update({task.name: unpack(result)}),
        on_lost=lambda *lost: pytest.fail(str(lost)),
        on_ask=answer,
    )
    place.run(work, driver)
    assert sorted(results) == [task.name for task in tasks]
    for n in range(count):
        scaled = (np.arange(3) + n) * [2, 3, 5]
        found = results[f"task {n}"]
        np.testing.assert_array_equal(found["numbers"], scaled + scaled.sum())
        assert found["read"] == (tmp_path / "data" / "sub" / "numbers.npy").read_bytes()
        assert asked[f"task {n}"] == scaled.sum()
        assert (work.folder / f"t{n}_file").read_bytes() == b"\0\xff"


def test_a_task_s_own_error_ends_the_work(place: Place, work: Work) -> None:
    tasks = [Task("first", {"order": "fail"})]
    if not isinstance(place, Here):
        tasks.append(Task("second", {"order": "wait"}))
    with pytest.raises(DataError, match="the loss is nan"):
        run_tasks(place, work, tasks, lambda *_: None)


def test_a_mistake_of_ours_ends_the_work_too(place: Place, work: Work) -> None:
    with pytest.raises((TenfoldError, ZeroDivisionError), match="a mistake of ours"):
        run_tasks(place, work, [Task("first", {"order": "break"})], lambda *_: None)


def test_a_task_whose_process_died_goes_on_from_its_files(
    place: Place, work: Work, tmp_path: Path
) -> None:
    if isinstance(place, Here):
        pytest.skip("nothing is left where this process dies")
    results: dict[str, Any] = {}
    left = [
        Task("dies", {"order": "die-once", "name": "a"}, files="a_*"),
        Task("lives", {"order": "done"}),
    ]
    driver = Driver(
        next_task=lambda: left.pop() if left else None,
        left=lambda: len(left),
        on_done=lambda task, result: results.update({task.name: result}),
        on_lost=lambda *lost: pytest.fail(str(lost)),
        on_ask=lambda _task, asked: {"is_there": (work.folder / asked["is_there"]).is_file()},
    )
    place.run(work, driver)
    assert results == {"dies": b"the middle", "lives": b"done"}
    assert len([line for line in log_lines(tmp_path) if line[0] == "die-once"]) == 2
    left_files = [path.name for path in work.folder.iterdir() if path.name.startswith("a_")]
    assert left_files == ["a_end"]
