"""Where this replica acts. Several may run and all of them watch; who writes is settled by one Lease.

Without shards, its holder acts on every policy. With shards, the replicas share the namespaces
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
from resilience_operator.kube.coordination.leader_election import LeaderElector
from resilience_operator.kube.coordination.shard_assignment import shard_of
from resilience_operator.kube.coordination.shard_coordinator import ShardCoordinator
from resilience_operator.runtime.config import Config
from resilience_operator.runtime.containment import start
from resilience_operator.runtime.telemetry.metrics import LEADER, SHARDS_HELD

log = logging.getLogger(__name__)

NamespaceFilter = Callable[[str], bool]
"""A part of the namespaces: whether one is in it."""


class Ownership(Protocol):
    """Whether this replica acts on the policies of a namespace, asked right before anything is begun there."""

    def owns(self, namespace: str) -> bool:
        """True while no other replica can be acting there."""
        ...


class ReplicaCoordinator:
    """Takes part in the election, where there is one.

    ready: returns when this replica could act; shards are only taken from then on. busy: whether something is under
    way in one of these namespaces, which are then not given away yet. on_gained: called when this replica begins to
    act there. on_lost: called when it no longer can be sure to; the process is then to end, since what it had begun
    may not go on.
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
        identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        if config.shards > 1:
            self._sharing = ShardCoordinator(
                kube,
                namespace=config.lease_namespace,
                name=config.lease_name,
                identity=identity,
                shards=config.shards,
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
                on_started=self._started,
                on_lost=on_lost,
            )
        self.tasks: tuple[asyncio.Task[Any], ...] = ()
        SHARDS_HELD.set_function(self._shards_held)
        LEADER.set_function(lambda: float(self._shards_held() > 0))

    def owns(self, namespace: str) -> bool:
        """Whether this replica acts in a namespace, and is to go on doing so."""
        if self._sharing is not None:
            return self._sharing.roster.may_start(shard_of(namespace, self._shards))
        return self._elector is None or self._elector.is_leader()

    def may_write(self, namespace: str) -> bool:
        """Whether what this replica has begun in a namespace may still be written. The fence of `Kube.fenced`."""
        if self._sharing is not None:
            return self._sharing.roster.may_write(shard_of(namespace, self._shards))
        return self.owns(namespace)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take part until the block ends; what is held is then given back."""
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
        return len(self._sharing.roster.held) if self._sharing is not None else float(self.owns(""))

    def _within(self, shards: frozenset[int]) -> NamespaceFilter:
        return lambda namespace: shard_of(namespace, self._shards) in shards
