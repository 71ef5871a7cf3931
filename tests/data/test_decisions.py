from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tenfold.data.decisions import DecidedMeanwhileError, Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "review" / "ann.jsonl")


def test_a_decision_is_there_for_another_process(journal: Journal) -> None:
    journal.decide("train/0", "cat", "relabel", "dög")
    journal.decide("train/1", "dög", "drop")
    found = Journal(journal.path).decisions()
    assert {name: (one.verdict, one.label) for name, one in found.items()} == {
        "train/0": ("relabel", "dög"),
        "train/1": ("drop", None),
    }


def test_undo_gives_what_was_before(journal: Journal) -> None:
    journal.decide("train/0", "cat", "keep", "cat")
    second = journal.decide("train/0", "cat", "drop")
    name, before = journal.undo(second.number)
    assert (name, before and before.verdict) == ("train/0", "keep")
    assert before is not None
    assert journal.undo(before.number) == ("train/0", None)
    assert journal.decisions() == Journal(journal.path).decisions() == {}
    assert journal.standing() == []
    for number in (second.number, 0, 99):
        with pytest.raises(DecidedMeanwhileError):
            journal.undo(number)


def test_two_tabs_do_not_overrule_each_other_unseen(journal: Journal) -> None:
    other = Journal(journal.path)
    first = journal.decide("train/0", "cat", "keep", "cat", expects=None)
    with pytest.raises(DecidedMeanwhileError) as caught:
        other.decide("train/0", "cat", "drop", expects=None)
    assert caught.value.current == first
    other.decide("train/0", "cat", "drop", expects=first.number)
    with pytest.raises(DecidedMeanwhileError):
        journal.undo(first.number)
    assert journal.decisions()["train/0"].verdict == "drop"


@pytest.mark.parametrize("kept_bytes", [1, 40, -1])
def test_a_line_that_a_kill_cut_off(journal: Journal, kept_bytes: int) -> None:
    journal.decide("train/0", "cat", "drop")
    whole = journal.path.read_bytes()
    journal.decide("train/1", "dög", "drop")
    last = journal.path.read_bytes()[len(whole) :]
    journal.path.write_bytes(whole + last[:kept_bytes])
    again = Journal(journal.path)
    assert list(again.decisions()) == ["train/0"]
    again.decide("train/3", "cat", "keep", "cat")
    after = Journal(journal.path)
    # What lacks its line end alone is whole once the next line begins.
    assert {"train/0", "train/3"} <= after.decisions().keys()
    assert after.decisions() == again.decisions()
    assert after.unreadable_lines == (kept_bytes != -1)


WRITER = """
import sys
from pathlib import Path
from tenfold.data.decisions import Journal
journal = Journal(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    journal.decide(f"train/{number}", "cat", "drop")
    print(number, flush=True)
"""


def writer(path: Path, first: int, last: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(first), str(last)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.slow
def test_two_writers_and_a_kill(journal: Journal) -> None:
    killed, other = writer(journal.path, 0, 100_000), writer(journal.path, 200_000, 200_030)
    assert killed.stdout is not None
    told = [int(killed.stdout.readline()) for _ in range(20)]
    killed.send_signal(signal.SIGKILL)
    told += [int(line) for line in killed.stdout.read().split("\n")[:-1]]
    others, _ = other.communicate(timeout=60)
    killed.communicate(timeout=60)
    expected = {f"train/{number}" for number in [*told, *map(int, others.split())]}
    found = Journal(journal.path)
    assert expected <= found.decisions().keys()
    assert len(found.decisions()) <= len(expected) + 1
    assert found.unreadable_lines <= 1
    start = time.monotonic()
    journal.decide("train/5", "cat", "keep", "cat")
    assert time.monotonic() - start < 15  # the lock went with its holder
