"""Coordinates the shards among replicas on one Lease, by the rules of `shard_membership`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from resilience_operator.kube.client.client import KubeClient, KubeObject
from resilience_operator.kube.client.paths import LEASES
from resilience_operator.kube.coordination.leader_election import write_lease
from resilience_operator.kube.coordination.shard_membership import MEMBERS, Members, ShardMembership, annotation
from resilience_operator.resilience import AlreadyExists, CallError, Conflict, Deadline, NotFound
from resilience_operator.resilience.retry import spread

log = logging.getLogger(__name__)

TRIES = 5
"""Attempts per renewal: all replicas write the same Lease, so concurrent writes conflict."""
SOON = 0.1
"""Seconds until the next attempt while work in a shard must end before its release."""


class ShardCoordinator:
    """Holds this replica's share of the shards while `run` runs.

    busy: whether work is in progress in a shard. on_gained: called with the newly acquired shards.
    on_lost: called when membership is lost or uncertain. It should end the process, because work in progress must not
    continue. None of them may block.
    """

    def __init__(
        self,
        kube: KubeClient,
        *,
        namespace: str,
        name: str,
        membership: ShardMembership,
        busy: Callable[[int], bool],
        on_gained: Callable[[frozenset[int]], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.membership = membership
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._busy = busy
        self._on_gained = on_gained
        self._on_lost = on_lost

    async def run(self) -> None:
        """Take part until cancelled or until membership is lost; then return.

        On cancellation it leaves, so that the others do not wait for its expiry. The caller must end all writing work
        before it cancels.
        """
        try:
            while await self._renew():  # noqa: ASYNC110 (it polls the API server)
                await asyncio.sleep(self._pause())
            log.error("this replica lost its shard membership: %s", self._state())
            self._on_lost()
        except asyncio.CancelledError:
            await self._leave()
            raise
        finally:
            self.membership.leave()

    async def _renew(self) -> bool:
        """Read the lease and, if due, write it. Returns False if membership is lost."""
        membership = self.membership
        deadline = Deadline.after(membership.timing.retry)
        for _ in range(TRIES):
            # Checked before the renewal: a replica that slept past its deadline is not a member, even if still listed.
            if membership.lost:
                return False
            try:
                membership.observe(await self._read(deadline))
                if membership.lost:
                    return False
                members = membership.propose(self._busy)
                if members is None:
                    return True
                sent_at = time.monotonic()
                gained = membership.confirm(await self._write(members, deadline), sent_at)
            except (Conflict, AlreadyExists):
                continue
            except CallError as error:
                log.warning("the lease cannot be read or written: %s", error)
                return True
            except Exception:
                log.exception("the lease is invalid")
                return True
            if gained:
                log.info("shards gained: %s; %s", sorted(gained), self._state())
                self._on_gained(gained)
            return True
        log.info("other replicas wrote the lease first, %d times", TRIES)
        return True

    async def _leave(self) -> None:
        membership = self.membership
        membership.leave()  # first, so that nothing is written from now on, even if leaving fails
        deadline = Deadline.after(membership.timing.retry)
        for _ in range(TRIES):
            try:
                # Read again: a cancelled write may have succeeded, and may have made us a member.
                membership.observe(await self._read(deadline))
                members = membership.without_self()
                if members is not None:
                    await self._write(members, deadline)
                    log.info("the shards are released")
                return
            except Conflict:
                continue
            except CallError as error:
                log.warning("the shards could not be released and will expire: %s", error)
                return

    async def _read(self, deadline: Deadline) -> KubeObject | None:
        try:
            return await self._kube.get(LEASES.item(self._namespace, self._name), deadline=deadline)
        except NotFound:
            return None

    async def _write(self, members: Members, deadline: Deadline) -> KubeObject:
        return await write_lease(
            self._kube,
            self._namespace,
            self._name,
            seen=self.membership.seen,
            spec=self.membership.spec(members, datetime.now(UTC)),
            annotations={MEMBERS: annotation(members)},
            deadline=deadline,
        )

    def _pause(self) -> float:
        if self.membership.draining:
            return SOON
        # Reads are twice as frequent as renewals, so that released shards are soon acquired. The next expiry of a
        # member also ends the pause.
        interval = spread(self.membership.timing.retry / 2, 0.25)
        return max(SOON, min(interval, self.membership.next_expiry() + SOON))

    def _state(self) -> str:
        seen, members = self.membership.seen, self.membership.members
        if not members:
            return f"the lease is held by {(seen.holder if seen else '') or 'nobody'}"
        return "; ".join(f"{name}: {len(member.shards)}" for name, member in sorted(members.items()))
