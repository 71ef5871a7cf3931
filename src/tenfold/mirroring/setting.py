"""What a user may say of mirroring."""

from __future__ import annotations

from typing import Literal

MirrorSetting = bool | Literal["auto"]
"""``auto``: measured; True or False: whether a mirrored image still shows its class."""
