"""The secret that clients must show."""

from __future__ import annotations

import os
import re

from tenfold.core.errors import SettingsError

VARIABLE = "TENFOLD_TOKEN"
_TOKEN = re.compile(r"[!-~]([ -~]*[!-~])?")


def read_token(given: str | None) -> str | None:
    """Give the token that clients must show; None if nobody set one.

    Spaces and line ends around it, as files and secret stores add them, do not count.

    Parameters
    ----------
    given
        Of ``--token`` or its environment variable. typer gives None for a variable that is set but
        empty, so that one is looked at here.

    Raises
    ------
    SettingsError
        If it is set but empty, or cannot be sent in a header.
    """
    text = os.environ.get(VARIABLE) if given is None else given
    if text is None:
        return None
    token = text.strip()
    if not token:
        raise SettingsError(
            "The token is empty, so that everyone could use the server. Set --token or "
            f"{VARIABLE} to a secret, or leave both away to serve without one: unset {VARIABLE}"
        )
    if not _TOKEN.fullmatch(token):
        raise SettingsError(
            "The token has characters that cannot be sent in a header. Letters, digits and signs "
            "of ASCII are allowed; make one with: python -c 'import secrets; "
            "print(secrets.token_urlsafe())'"
        )
    return token
