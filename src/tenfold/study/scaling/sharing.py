"""A place where several workers share each training."""

from __future__ import annotations

from dataclasses import dataclass

from tenfold.study.scaling.processes import Processes
from tenfold.study.scaling.work import Driver, Place, Work

THIS_MACHINE = "127.0.0.1"


@dataclass(frozen=True)
class SharedPlace:
    """A place, and where the workers of a training run.

    Parameters
    ----------
    place
        Where independent work runs.
    crew
        Where workers run, all at a time if it has room.
    workers
        How many they are.
    host
        The address at which workers reach this process.
    """

    place: Place
    crew: Place
    workers: int
    host: str = THIS_MACHINE

    @classmethod
    def here(cls, place: Place, workers: int) -> SharedPlace:
        """Give a place whose trainings are shared by processes of this machine."""
        return cls(place, Processes(workers), workers)

    @property
    def jobs(self) -> int:
        """Give how many independent tasks run at a time."""
        return self.place.jobs

    def run(self, work: Work, driver: Driver) -> None:
        """Do independent tasks; see `tenfold.study.scaling.work.Place.run`."""
        self.place.run(work, driver)
