"""Which place a user asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tenfold.core.errors import SettingsError
from tenfold.core.progress import Progress
from tenfold.study.scaling.here import Here
from tenfold.study.scaling.processes import Processes
from tenfold.study.scaling.sharing import SharedPlace
from tenfold.study.scaling.torchrun import Launch
from tenfold.study.scaling.work import Place


@dataclass(frozen=True)
class PlaceRequest:
    """Where independent work is to run, as a user says it.

    Parameters
    ----------
    on
        ``ray`` or HOST:PORT of a Ray cluster; None for this machine.
    jobs
        Processes on this machine.
    cores_per_task, gpus_per_task
        On a cluster; None for what suits it.
    workers
        Of each training; None where trainings are not shared.
    """

    on: str | None = None
    jobs: int = 1
    cores_per_task: int | None = None
    gpus_per_task: int | None = None
    workers: int | None = None

    @contextmanager
    def open(self, *, device: str, progress: Progress) -> Iterator[Place]:
        """Give the place, ready for work.

        Parameters
        ----------
        device
            Name of the device that was asked for.
        progress
            Who is told.

        Raises
        ------
        SettingsError
            If what was asked for does not go together, or the cluster's versions differ.
        TrainingError
            If there is no such cluster.
        """
        if self.on is None:
            if self.cores_per_task is not None or self.gpus_per_task is not None:
                raise SettingsError(
                    "--cores-per-task and --gpus-per-task are for a cluster. Name one with --on; "
                    "on this machine --jobs processes share all cores."
                )
            if self.workers is not None and (launch := Launch.found()) is not None:
                with launch.opened(Here() if self.jobs == 1 else Processes(self.jobs)) as opened:
                    yield opened
                return
            place: Place = Here() if self.jobs == 1 else Processes(self.jobs)
            yield place if self.workers is None else SharedPlace.here(place, self.workers)
            return
        if self.jobs != 1:
            raise SettingsError(
                "--jobs is for this machine; on a cluster as many tasks run as fit. Leave out "
                "--jobs, or --on."
            )
        # Ray takes a second to import, which only those should wait for who use it.
        from tenfold.study.scaling.ray_cluster import RayCluster

        with RayCluster(
            self.on, progress, self.cores_per_task, self.gpus_per_task, device
        ) as cluster:
            if self.workers is None:
                yield cluster
            else:
                yield SharedPlace(cluster, cluster.for_workers(), self.workers, cluster.host)
