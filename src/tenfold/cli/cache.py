"""The command that shows and clears what was fetched."""

from __future__ import annotations

from typing import Annotated

import typer

from tenfold.cli.options import DebugOption, echo
from tenfold.core.text import counted, printable


def cache(
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove",
            metavar="KEY",
            help="Remove this one; old: those that a newer version has replaced; all: everything. "
            "May be repeated.",
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """List what was fetched from addresses and mirrors, or remove it.

    Studies whose data are read (stage acquire) do not need it any more.
    """
    del debug
    from tenfold.data.sources.cached import cached, remove_cached
    from tenfold.data.sources.cifar10_files import cache_folder

    there = remove_cached(remove) if remove else cached()
    for one in there:
        old = "  old: a newer version is there" if one.is_old else ""
        echo(
            f"{one.key:33}  {one.size_bytes / 1e6:10,.1f} MB  {one.changed_at:%Y-%m-%d %H:%M}  "
            f"{printable(one.origin)}{old}"
        )
    size = sum(one.size_bytes for one in there) / 1e6
    total = f"{counted(len(there), 'thing')} of {size:,.1f} MB"
    if not there:
        echo(f"Nothing {'to remove ' if remove else ''}in the cache {cache_folder()}.")
    elif remove:
        echo(f"Removed {total} from {cache_folder()}.")
    else:
        echo(f"{total} in {cache_folder()}.")
