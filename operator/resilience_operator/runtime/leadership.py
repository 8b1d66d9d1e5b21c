"""Which replica acts. Without leader election, this one always does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from resilience_operator.kube.client import Kube
from resilience_operator.runtime.config import Config
from resilience_operator.runtime.metrics import LEADER


class Leader:
    """Asked right before each write whether this replica may."""

    def __init__(self, kube: Kube, config: Config, *, on_lost: Callable[[], None]) -> None:
        del kube, on_lost
        if config.leader_election:
            raise NotImplementedError
        LEADER.set(1)

    def is_leader(self) -> bool:
        """Whether this replica may act."""
        return True

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        """Take part until the block ends."""
        yield
