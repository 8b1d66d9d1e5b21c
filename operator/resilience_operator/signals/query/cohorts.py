"""Into how many crowds policies are divided that share their questions, and which namespace is in which.

A crowd has one beat and questions of its own. One is the cheapest. Where it is large, some of a part of its size that
take turns are answered, judged and acted on in a part of the time, each for as many questions more.
"""

from __future__ import annotations

import zlib

COHORTS = 4
"""Crowds, where there is more than one."""

LARGE = 1_000
"""Policies from which a crowd is divided."""

SMALL = 800
"""Policies below which it is one again: further down, so that one more or less does not change it each time."""


MAX_NAMESPACES = 500
"""More namespaces than these are asked about without a matcher, all in one question."""


class Cohorts:
    """The division as it is now. count: how many crowds."""

    def __init__(self) -> None:
        self.count = 1

    def resize(self, policies: int, namespaces: int) -> None:
        """Divide for so many. Where each question is about all namespaces, there is but one crowd."""
        if policies < SMALL or namespaces > MAX_NAMESPACES:
            self.count = 1
        elif policies >= LARGE:
            self.count = COHORTS

    def index_of(self, namespace: str) -> int:
        """The number of its crowd, from 0."""
        return zlib.crc32(namespace.encode()) % self.count if self.count > 1 else 0
