"""Run whole studies of given data sets with several recipes, and print what each gave and took.

    python benchmarks/photographs.py DATA [DATA ...] [--recipes choice fast transfer 5m]
                                     [--runs RUNS_FOLDER] [--folds] [--timeout SECONDS]

DATA is what ``tenfold run --data`` takes: a path or a source's name. Each recipe is a command line
of its own in a fresh run folder: ``choice`` names no recipe, so tenfold chooses; ``fast`` and
``transfer`` are named; ``5m`` and other times are ``--budget 5m`` without a recipe, and
``transfer-5m`` names both. All are without cross-validation, unless ``--folds`` is given. Anything
after ``--`` is passed on, for example ``-- --set evaluate.robustness_images=0``.

Each command is a row in ``benchmarks/results/photographs.json``, kept at once; a second call goes
on from there (``--again`` measures anew), and ``--table`` only prints. Memory is the largest sum
of the resident pages of the command and all its children, asked of Linux ten times a second; pages
that they share count for each. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import tenfold
from tenfold.core.machine import available_cores, in_gib, total_memory
from tenfold.core.records.evaluation import EvaluateRecord
from tenfold.core.run_folder import Manifest, read_settings
from tenfold.core.stages import stage_order

RESULTS = Path(__file__).parent / "results" / "photographs.json"
RECIPES = ("choice", "fast", "transfer", "30s", "5m")
_SPAN = re.compile(r"\d+(\.\d+)?[smh]")
_LOOKS_PER_SECOND = 10
_PAGE_BYTES = resource.getpagesize()

Row = dict[str, Any]


def main() -> None:
    """Measure what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="+", help="paths or names, as tenfold run --data takes them")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--runs", type=Path, help="where run folders stay; default: thrown away")
    parser.add_argument("--folds", action="store_true", help="cross-validate too")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds a command may take")
    parser.add_argument("--again", action="store_true", help="measure rows that are there anew")
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    own, further = _without_rest(sys.argv[1:])
    arguments = parser.parse_args(own)
    rows: list[Row] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    with tempfile.TemporaryDirectory() as scratch:
        for data in [] if arguments.table else arguments.data:
            for recipe in arguments.recipes:
                key = {
                    "data": data,
                    "recipe": recipe,
                    "has_folds": arguments.folds,
                    "further": further,
                }
                old = [row for row in rows if key.items() <= row.items()]
                if old and not arguments.again:
                    continue
                place = arguments.runs or Path(scratch)
                row = key | run(key, place, arguments.timeout)
                rows = [other for other in rows if other not in old] + [row]
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(rows, indent=1))
                print(row, flush=True)
    print(tables([row for row in rows if row["data"] in arguments.data]))


def _without_rest(words: list[str]) -> tuple[list[str], list[str]]:
    """Give the words before ``--`` and those after it."""
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end + 1 :]


def options_of(recipe: str) -> list[str]:
    """Give the options that a recipe's name here stands for.

    >>> options_of("choice"), options_of("5m"), options_of("transfer-5m")
    ([], ['--budget', '5m'], ['--recipe', 'transfer', '--budget', '5m'])
    """
    name, dash, last = recipe.rpartition("-")
    if _SPAN.fullmatch(last):
        return [*options_of(name if dash else "choice"), "--budget", last]
    return [] if recipe == "choice" else ["--recipe", recipe]


def run(key: Row, place: Path, timeout: float) -> Row:
    """Run one command line in a fresh run folder, and give what it gave and took."""
    out = place / f"{Path(key['data']).name}-{key['recipe']}-{time.time_ns()}"
    command = [sys.executable, "-m", "tenfold", "run", "--data", key["data"], "--out", str(out)]
    command += [*options_of(key["recipe"]), "--quiet"]
    command += [] if key["has_folds"] else ["--set", "cross_validate.is_enabled=false"]
    started = time.perf_counter()
    process = subprocess.Popen([*command, *key["further"]], stderr=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, resident_bytes(process.pid))
        if time.perf_counter() - started > timeout:
            process.kill()
        time.sleep(1 / _LOOKS_PER_SECOND)
    seconds = time.perf_counter() - started
    assert process.stderr is not None
    said = process.stderr.read().strip().splitlines()
    row: Row = {
        "seconds": round(seconds, 1),
        "peak_bytes": peak,
        "versions": versions(),
        "machine": machine(),
        "error": None if process.returncode == 0 else (said or [f"exit {process.returncode}"])[-1],
    }
    return row | (results(out) if (out / "settings.json").is_file() else {})


def results(out: Path) -> Row:
    """Give what a run folder holds: recipe, accuracy, and seconds of each stage."""
    settings = read_settings(out) or {}
    seconds = {
        stage: round(Manifest.read(out / stage / "manifest.json").seconds, 1)
        for stage in stage_order()
        if (out / stage / "manifest.json").is_file()
    }
    row: Row = {"ran": settings["recipe"]["name"], "stages": seconds}
    if "evaluate" in seconds:
        record = EvaluateRecord.read(out / "evaluate" / "record.json")
        interval = record.intervals.accuracy
        row |= {
            "accuracy": record.scores.accuracy,
            "interval": [interval.low, interval.high],
            "test_images": sum(one.total_cases for one in record.scores.classes),
        }
    return row


def resident_bytes(pid: int) -> int:
    """Give the resident memory of a process and all that it began, as far as they are there."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.name))
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        waiting += parents.get(one, [])
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            continue
    return total


def versions() -> str:
    """Give the versions that count."""
    return f"tenfold {tenfold.__version__}, torch {torch.__version__}, Python " + (
        platform.python_version()
    )


def machine() -> str:
    """Give the processor, its cores and the memory."""
    names = re.findall(r"model name\s*:\s*(.+)", _text(Path("/proc/cpuinfo")))
    memory = total_memory()
    there = "" if memory is None else f", {in_gib(memory)} of memory"
    return f"{names[0] if names else platform.processor()}, {available_cores()} cores{there}"


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def tables(rows: list[Row]) -> str:
    """Give one Markdown table a data set."""
    lines: list[str] = []
    for data in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == data]
        stages = [name for name in stage_order() if any(name in _stages(row) for row in own)]
        test_images = {row["test_images"] for row in own if "test_images" in row}
        about = f", {min(test_images):,} test images" if test_images else ""
        lines += [
            f"{os.path.basename(data.rstrip('/'))}{about}. One run each. "
            + "; ".join(sorted({f"{row['machine']}; {row['versions']}" for row in own})),
            "",
            f"| asked | ran | test accuracy (95% interval) | {' | '.join(stages)} | seconds in all "
            "| peak memory |",
            "|---" * (len(stages) + 5) + "|",
        ]
        lines += [_line(row, stages) for row in own]
        lines.append("")
    return "\n".join(lines)


def _stages(row: Row) -> dict[str, float]:
    stages: dict[str, float] = row.get("stages", {})
    return stages


def _line(row: Row, stages: list[str]) -> str:
    asked = " ".join(["tenfold run", *options_of(row["recipe"]), *row["further"]])
    accuracy = "–"
    if "accuracy" in row:
        low, high = row["interval"]
        accuracy = f"{row['accuracy']:.1%} ({low:.1%} to {high:.1%})"
    if row["error"]:
        accuracy += f", {row['error']}"
    cells = [f"{_stages(row)[name]:.1f}" if name in _stages(row) else "–" for name in stages]
    return (
        f"| `{asked}`{', folds' * row['has_folds']} | {row.get('ran', '–')} | {accuracy} | "
        f"{' | '.join(cells)} | {row['seconds']:.0f} | {row['peak_bytes'] / 2**30:.2f} GiB |"
    )


if __name__ == "__main__":
    main()
