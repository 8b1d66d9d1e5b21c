"""Namespace patterns: which namespaces may use a metric source or a plugin's action."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

EVERYWHERE = ("*",)
"""Matches every namespace."""

Namespaces = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[-a-z0-9*]{1,63}$")], ...],
    Field(
        min_length=1,
        description="Namespaces whose policies may use it; * stands for any characters, as in team-*. To policies "
        "elsewhere it does not exist. Default: all namespaces.",
    ),
]


def allows(patterns: Iterable[str], namespace: str) -> bool:
    """Whether a namespace matches one of the patterns."""
    return any(fnmatchcase(namespace, pattern) for pattern in patterns)
