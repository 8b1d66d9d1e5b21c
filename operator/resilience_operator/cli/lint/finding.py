"""A finding in a valid policy, before it has a file and a line."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """path: within the policy. warning: the policy works, and hardly as meant; otherwise an error."""

    path: str
    message: str
    warning: bool = False
