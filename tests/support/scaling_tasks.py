"""Tasks that do as they are told, for tests of the places where tasks run."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import numpy as np

from tenfold.core.errors import DataError
from tenfold.core.files import write_bytes
from tenfold.study.scaling.packing import Values, pack
from tenfold.study.scaling.work import Common, Desk, DoTask


def do_as_told(common: Common) -> DoTask:
    """Get ready to do what each task's ``order`` says; ``log`` names a folder to note it in."""
    log = Path(common.values["log"])

    def do(inputs: Values, desk: Desk) -> bytes:
        order = inputs["order"]
        threads = os.environ.get("OMP_NUM_THREADS", "")
        with (log / "log").open("a") as file:
            file.write(f"{order} {os.getpid()} {threads}\n")
        return ORDERS[order](inputs, desk, common)

    return do


def sleep(common: Common) -> DoTask:
    """Get ready to sleep as many seconds as each task says; for benchmarks."""

    def do(inputs: Values, desk: Desk) -> bytes:
        time.sleep(inputs["seconds"])
        return b"slept"

    return do


def log_lines(folder: Path) -> list[list[str]]:
    """Give what tasks noted: order, process, threads."""
    path = folder / "log"
    return [line.split() for line in path.read_text().splitlines()] if path.is_file() else []


class Holder:
    """As an actor, takes a node's core."""

    def is_there(self) -> bool:
        return True


def _done(inputs: Values, desk: Desk, common: Common) -> bytes:
    print("not an answer")
    return b"done"


def _exit(inputs: Values, desk: Desk, common: Common) -> bytes:
    print("no memory left", file=sys.stderr, flush=True)
    os._exit(3)


def _die_once(inputs: Values, desk: Desk, common: Common) -> bytes:
    """Keep a file, ask whether it is there for the driver, and die; then say what was kept."""
    kept = desk.folder / f"{inputs['name']}_kept"
    if kept.is_file():
        content = kept.read_bytes()
        kept.unlink()
        write_bytes(desk.folder / f"{inputs['name']}_end", b"the end")
        return content
    write_bytes(kept, b"the middle")
    while not desk.ask({"is_there": kept.name})["is_there"]:
        time.sleep(0.02)
    os.kill(os.getpid(), 9)
    raise AssertionError


def _fail(inputs: Values, desk: Desk, common: Common) -> bytes:
    raise DataError("the loss is nan")


def _break(inputs: Values, desk: Desk, common: Common) -> bytes:
    raise ZeroDivisionError("a mistake of ours")


def _wait(inputs: Values, desk: Desk, common: Common) -> bytes:
    time.sleep(1000)
    return b""


def _nap(inputs: Values, desk: Desk, common: Common) -> bytes:
    time.sleep(1.5)
    return b""


def _hog(inputs: Values, desk: Desk, common: Common) -> bytes:
    """Take more and more memory, up to 3 GiB."""
    taken = [np.ones(2**24, np.uint8) for _ in range(3 * 2**6)]
    time.sleep(20)
    return str(len(taken)).encode()


def _digest(inputs: Values, desk: Desk, common: Common) -> bytes:
    """Read all that was sent, a piece at a time."""
    digest = hashlib.sha256()
    for path in sorted(common.folders["data"].iterdir()):
        with path.open("rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
    return digest.hexdigest().encode()


def _until_told(inputs: Values, desk: Desk, common: Common) -> bytes:
    """Ask the driver again and again whether it is enough."""
    while not desk.ask({})["is_enough"]:
        time.sleep(0.1)
    return b""


def _compute(inputs: Values, desk: Desk, common: Common) -> bytes:
    """Use all that a task is given, and all that it can do."""
    read = (common.folders["data"] / "sub" / "numbers.npy").read_bytes()
    numbers = inputs["numbers"] * common.values["factor"]
    with desk.progress.task("Computing", 2) as bar:
        bar.advance()
    answer = desk.ask({"total": int(numbers.sum()), "numbers": numbers})
    write_bytes(desk.folder / f"{inputs['name']}_file", inputs["content"])
    return pack({"numbers": numbers + np.asarray(answer["more"]), "read": read})


ORDERS = {
    "done": _done,
    "exit": _exit,
    "die-once": _die_once,
    "fail": _fail,
    "break": _break,
    "wait": _wait,
    "nap": _nap,
    "hog": _hog,
    "digest": _digest,
    "until-told": _until_told,
    "compute": _compute,
}
