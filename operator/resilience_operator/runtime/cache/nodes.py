"""Node watch for the signal `zone-lost`. Used only where the operator may list nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from resilience_operator.decision.model.observation import Observation
from resilience_operator.kube.cache.nodes import Node, Placement, project_node
from resilience_operator.kube.cache.reflector import Reflector
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import NODES
from resilience_operator.runtime.containment import start
from resilience_operator.signals import reasons
from resilience_operator.signals import zone_lost as zones

COALESCE_WINDOW = 0.2
"""Seconds within which node changes are coalesced into one notification."""

MAX_AGE = 180.0
"""Seconds without contact with the API server after which the node cache is not used."""


class ZoneMonitor:
    """Counts lost zones. watch: whether nodes may be listed. on_change: called when a zone may be lost or recovered."""

    def __init__(self, kube: KubeClient, *, watch: bool, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._nodes: Reflector[Node] | None = None
        self._cache: dict[Placement, Observation] = {}
        self._notify_pending = False
        self.tasks: tuple[asyncio.Task[Any], ...] = ()
        if watch:
            self._nodes = Reflector(kube, NODES, project_node, on_change=self._changed)

    @property
    def reflectors(self) -> Sequence[Reflector[Any]]:
        """The node reflector, if nodes are watched."""
        return () if self._nodes is None else (self._nodes,)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch until the block ends. Does not wait for the first list, which never succeeds without the RBAC right."""
        if self._nodes is None:
            yield
            return
        self.tasks = (start(self._nodes.run(), "watch nodes"),)
        try:
            yield
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    def observe(self, placement: Placement, now: float) -> Observation:
        """Count the zones lost to pods with that placement. now: seconds since the epoch."""
        if self._nodes is None:
            return Observation.unknown(
                now,
                reasons.NODES_NOT_WATCHED,
                "zone-lost: the operator looks at single namespaces and does not watch nodes; let it look at all, or "
                "grant it nodes and set watch_nodes",
            )
        contact = self._nodes.last_contact
        if not self._nodes.synced.is_set() or contact is None or time.monotonic() - contact > MAX_AGE:
            return Observation.unknown(
                now, reasons.NODES_NOT_LISTED, "zone-lost: the nodes are not known: see the operator's log and its role"
            )
        # Cached: many policies ask, and nodes seldom change.
        found = self._cache.get(placement)
        if found is None:
            found = self._cache[placement] = zones.lost_zones_observation(self._nodes.store, placement, now)
        return found._replace(at=now)

    def _changed(self, old: Node | None, new: Node | None) -> None:
        self._cache.clear()
        if old is not None and new is not None and (old.ready, old.zone) == (new.ready, new.zone):
            return
        if not self._notify_pending:
            # Nodes change in bursts: the first list, or a lost zone.
            self._notify_pending = True
            asyncio.get_running_loop().call_later(COALESCE_WINDOW, self._notify)

    def _notify(self) -> None:
        self._notify_pending = False
        self._on_change()
