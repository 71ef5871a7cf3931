"""What commands print: every line goes through here, so that no name can steer the terminal."""

from __future__ import annotations

import sys

from tenfold.core.text import escaped


def echo(message: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print some lines with every character to be seen; see `core.text.escaped`.

    Parameters
    ----------
    message
        Text of any lines.
    err
        Print to standard error.
    nl
        End the line.
    """
    # Not click's: it writes UTF-8 to a stream that is ASCII.
    stream = sys.stderr if err else sys.stdout
    stream.write(escaped(message, keep="\n\t") + ("\n" if nl else ""))
    stream.flush()
