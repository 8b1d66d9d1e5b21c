"""Divides policies with shared queries into cohorts, by namespace.

A cohort has its own phase offset and its own queries. One cohort is the cheapest. With many policies, several cohorts
are evaluated one after the other: each gets its answers, decisions and actions sooner, at the cost of more queries.
"""

from __future__ import annotations

import zlib

COHORTS = 4
"""Number of cohorts if there is more than one."""

LARGE = 1_000
"""Number of policies from which they are divided."""

SMALL = 800
"""Number of policies below which there is one cohort again. The gap to `LARGE` is hysteresis."""


MAX_NAMESPACES = 500
"""With more namespaces than this, a grouped query has no namespace matcher and covers all of them."""


class Cohorts:
    """The current division. count: number of cohorts."""

    def __init__(self) -> None:
        self.count = 1

    def resize(self, policies: int, namespaces: int) -> None:
        """Choose the number of cohorts. If queries cover all namespaces, there is only one."""
        if policies < SMALL or namespaces > MAX_NAMESPACES:
            self.count = 1
        elif policies >= LARGE:
            self.count = COHORTS

    def index_of(self, namespace: str) -> int:
        """The index of a namespace's cohort, from 0."""
        return zlib.crc32(namespace.encode()) % self.count if self.count > 1 else 0
