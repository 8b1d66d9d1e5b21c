"""Which replica acts. Several may run; all of them watch, and the one that holds the Lease writes."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from resilience_operator.kube.client import Kube
from resilience_operator.kube.leases import LeaderElector
from resilience_operator.runtime.config import Config
from resilience_operator.runtime.metrics import LEADER

log = logging.getLogger(__name__)


class Leadership(Protocol):
    """Whether this replica may write, asked right before each write."""

    def is_leader(self) -> bool:
        """True while no other replica can be acting."""
        ...


class Leader:
    """Takes part in the election, where there is one.

    on_started: called when this replica begins to lead. on_lost: called when it no longer can be sure to; the process
    is then to end, since what it had begun may not go on.
    """

    def __init__(
        self, kube: Kube, config: Config, *, on_started: Callable[[], None], on_lost: Callable[[], None]
    ) -> None:
        self._on_started = on_started
        self._elector: LeaderElector | None = None
        if config.leader_election:
            self._elector = LeaderElector(
                kube,
                namespace=config.lease_namespace,
                name=config.lease_name,
                identity=f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}",
                on_started=self._started,
                on_lost=on_lost,
            )

    def is_leader(self) -> bool:
        """Whether this replica may act."""
        return self._elector is None or self._elector.is_leader()

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        """Take part until the block ends; the lease is then released."""
        if self._elector is None:
            self._started()
            yield
            return
        task = asyncio.create_task(self._elector.run(), name="election")
        try:
            yield
        finally:
            LEADER.set(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _started(self) -> None:
        LEADER.set(1)
        self._on_started()
