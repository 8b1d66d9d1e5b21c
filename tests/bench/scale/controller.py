"""Plays the deployment controller and the kubelets: what is asked for is there, and ready, at once.

The real ones would need ten thousand pods, which cost the control plane more than the operator that is to be measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from tests.bench.scale import crowd
from tests.bench.scale.api import Api, Obj, for_all
from tests.bench.scale.crowd import Member

_ALL = "/apis/apps/v1/deployments"


class Controller:
    """Keeps the Deployments' status in step with their spec, and remembers when each was first scaled.

    scaled: the monotonic moment at which a Deployment was seen with more replicas than it began with, by number.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self.scaled: dict[int, float] = {}
        self._more = asyncio.Event()

    async def make(self, members: list[Member]) -> None:
        """Create Deployments that are rolled out."""
        await for_all(members, self._make)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Follow the Deployments until the block ends."""
        task = asyncio.create_task(self._follow(await self._api.version(_ALL)))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def until_scaled(self, numbers: set[int], seconds: float) -> None:
        """Return when all of them were scaled, or when time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not numbers <= self.scaled.keys():
                    self._more.clear()
                    await self._more.wait()

    async def _make(self, member: Member) -> None:
        owner = await self._api.call("POST", crowd.deployments(member.namespace), crowd.deployment(member))
        await self._api.call("POST", crowd.replica_sets(member.namespace), crowd.replica_set(member, owner))
        await self._tell(member, owner)

    async def _tell(self, member: Member, owner: Obj) -> None:
        pods = owner["spec"]["replicas"]
        path = f"{member.replica_set_path}/status"
        await self._api.call("PATCH", path, crowd.replica_set_status(pods, owner["metadata"]["generation"]))
        await self._api.call("PATCH", f"{member.path}/status", crowd.deployment_status(owner))

    async def _follow(self, version: str) -> None:
        async with asyncio.TaskGroup() as telling:
            async for event in self._api.watch(_ALL, version):
                owner = event["object"]
                if event["type"] != "MODIFIED" or not _stale(owner):
                    continue
                meta = owner["metadata"]
                member = Member(int(meta["labels"]["member"]), meta["namespace"], meta["name"])
                if owner["spec"]["replicas"] > 1 and member.number not in self.scaled:
                    self.scaled[member.number] = time.monotonic()
                    self._more.set()
                # Beside the watch: what is measured is when a change is seen.
                telling.create_task(self._tell(member, owner))


def _stale(owner: Mapping[str, Obj]) -> bool:
    observed = owner.get("status", {}).get("observedGeneration")
    return observed is not None and observed < owner["metadata"]["generation"]
