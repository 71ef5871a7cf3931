"""Do studies end with the same results, whatever is killed while they run on a cluster?

    python benchmarks/cluster_kills.py [--kills 100] [--kinds worker node driver] [--seed 0]

Starts a Ray cluster of two nodes of one core on this machine's loopback, and on it, again and
again, a search of eight trials and two folds, while a random one of a worker, the second node and
the driver is killed (``kill -9``) at random moments. A killed node is started anew, a killed driver
by the same command. Each finished study is compared with one that nothing disturbed: the trials'
numbers, values and states, and the folds' weights and predictions byte for byte.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from ray_kills import KINDS, Killer, command, make_study, results
from ray_nodes import RayNodes


def main() -> None:
    """Kill until it is enough, and print how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--most-a-study", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--network", type=int, default=9, help="the addresses are 127.0.NETWORK.*")
    arguments = parser.parse_args()
    started, equal, studies = time.monotonic(), 0, 0

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:7.1f} s  {what}", flush=True)

    with tempfile.TemporaryDirectory() as name, RayNodes(arguments.network) as nodes:
        folder = Path(name)
        settings = make_study(folder / "images", trials=arguments.trials, epochs=arguments.epochs)
        here = command(folder / "here", settings)
        subprocess.run([*here, "--jobs", "2"], check=True)
        expected = results(folder / "here")
        say("the undisturbed study is done")
        generator = random.Random(arguments.seed)
        killer = Killer(nodes, generator, say=say)
        while (left := arguments.kills - len(killer.killed)) > 0:
            studies += 1
            nodes.start(nodes.second)
            out = folder / f"study-{studies}"
            on_cluster = "--on", nodes.address, "--cores-per-task", "1"
            kinds = generator.choices(arguments.kinds, k=min(left, arguments.most_a_study))
            killer.run(command(out, settings, *on_cluster), kinds)
            is_equal = results(out) == expected
            equal += is_equal
            say(f"study {studies} is done: {'equal' if is_equal else 'ANOTHER RESULT'}")
    counts = ", ".join(f"{kind} {count}" for kind, count in Counter(killer.killed).items())
    print(
        f"{len(killer.killed)} kills ({counts}), {studies} studies, {equal} with the same results"
    )
    sys.exit(equal != studies)


if __name__ == "__main__":
    main()
