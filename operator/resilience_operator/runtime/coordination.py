"""Replica coordination: one Lease determines which replica acts on which namespaces. All replicas watch.

Without shards, the lease holder acts on every policy. With shards, the replicas share the namespaces
(`kube.coordination.shard_membership`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.coordination.leader_election import ElectionTiming, LeaderElector
from resilience_operator.kube.coordination.shard_assignment import shard_of
from resilience_operator.kube.coordination.shard_coordinator import ShardCoordinator
from resilience_operator.kube.coordination.shard_membership import ShardMembership
from resilience_operator.runtime.config import Config
from resilience_operator.runtime.containment import start
from resilience_operator.runtime.telemetry.metrics import LEADER, SHARDS_HELD

log = logging.getLogger(__name__)

NamespaceFilter = Callable[[str], bool]
"""Returns True for the namespaces of a subset."""


class Ownership(Protocol):
    """Whether this replica acts on the policies of a namespace. Checked immediately before any work starts there."""

    def owns(self, namespace: str) -> bool:
        """Return True while no other replica can act in this namespace."""
        ...


class ReplicaCoordinator:
    """Takes part in leader election or sharding, if enabled.

    ready: awaited before the first shard is acquired. busy: returns True while work is in progress in these namespaces;
    they are not handed over until it ends. on_gained: called when this replica acquires namespaces. on_lost: called
    when ownership is no longer certain; the process must then exit, because work in progress must not continue.
    """

    def __init__(
        self,
        kube: KubeClient,
        config: Config,
        *,
        ready: Callable[[], Awaitable[None]],
        busy: Callable[[NamespaceFilter], bool],
        on_gained: Callable[[NamespaceFilter], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._ready = ready
        self._busy = busy
        self._on_gained = on_gained
        self._shards = config.shards
        self._elector: LeaderElector | None = None
        self._sharing: ShardCoordinator | None = None
        timing = ElectionTiming.of(config.lease_seconds)
        identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        if config.shards > 1:
            self._sharing = ShardCoordinator(
                kube,
                namespace=config.lease_namespace,
                name=config.lease_name,
                membership=ShardMembership(identity, config.shards, timing),
                busy=lambda shard: self._busy(self._within(frozenset((shard,)))),
                on_gained=lambda shards: self._on_gained(self._within(shards)),
                on_lost=on_lost,
            )
        elif config.leader_election:
            self._elector = LeaderElector(
                kube,
                namespace=config.lease_namespace,
                name=config.lease_name,
                identity=identity,
                timing=timing,
                on_started=self._started,
                on_lost=on_lost,
            )
        self.tasks: tuple[asyncio.Task[Any], ...] = ()
        SHARDS_HELD.set_function(self._shards_held)
        LEADER.set_function(lambda: float(self._shards_held() > 0))

    def owns(self, namespace: str) -> bool:
        """Return True if this replica acts in a namespace and may start new work there."""
        if self._sharing is not None:
            return self._sharing.membership.may_start(shard_of(namespace, self._shards))
        return self._elector is None or self._elector.is_leader()

    def may_write(self, namespace: str) -> bool:
        """Return True if work in progress in a namespace may still be written. Used by `KubeClient.with_fence`."""
        if self._sharing is not None:
            return self._sharing.membership.may_write(shard_of(namespace, self._shards))
        return self.owns(namespace)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take part until the block ends; then release the lease or shards."""
        if self._sharing is not None:
            task = start(self._share(self._sharing), "sharing")
        elif self._elector is not None:
            task = start(self._elector.run(), "election")
        else:
            self._started()
            yield
            return
        self.tasks = (task,)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _share(self, sharing: ShardCoordinator) -> None:
        await self._ready()
        await sharing.run()

    def _started(self) -> None:
        self._on_gained(lambda _: True)

    def _shards_held(self) -> float:
        return len(self._sharing.membership.held) if self._sharing is not None else float(self.owns(""))

    def _within(self, shards: frozenset[int]) -> NamespaceFilter:
        return lambda namespace: shard_of(namespace, self._shards) in shards
