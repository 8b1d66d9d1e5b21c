"""Coordinates the shards among replicas on one Lease, by the rules of `shard_membership`."""

from __future__ import annotations

import asyncio
import logging
import random as _random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from resilience_operator.kube.client.client import KubeClient, KubeObject
from resilience_operator.kube.client.paths import LEASES
from resilience_operator.kube.coordination.leader_election import ElectionTiming, write_lease
from resilience_operator.kube.coordination.shard_membership import MEMBERS, Members, ShardMembership, annotation
from resilience_operator.resilience import AlreadyExists, CallError, Clock, Conflict, Deadline, NotFound
from resilience_operator.resilience.retry import Random, Sleep

log = logging.getLogger(__name__)

TRIES = 5
"""Writes of one turn: every replica writes the one Lease, so now and then two do at the same time."""
SOON = 0.1
"""Seconds until the next look while something in a shard is to end before it is given away."""


class ShardCoordinator:
    """Holds this replica's share of the shards while `run` runs.

    busy: whether something is under way in a shard. on_gained: called with the shards that are held from now on.
    on_lost: called when this replica can no longer be sure to be a member, which should end the process: what it had
    begun may not go on. None of them may block.
    """

    def __init__(
        self,
        kube: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        shards: int,
        busy: Callable[[int], bool],
        on_gained: Callable[[frozenset[int]], None],
        on_lost: Callable[[], None],
        timing: ElectionTiming | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        random: Random = _random.random,
    ) -> None:
        self.roster = ShardMembership(identity, shards, timing or ElectionTiming(), clock)
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._busy = busy
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._clock = clock
        self._sleep = sleep
        self._random = random

    async def run(self) -> None:
        """Takes part until it is cancelled, or until membership is lost; then it returns.

        Cancelled it leaves, so that the others need not wait its time out: whoever cancels it has ended all work
        that writes before.
        """
        try:
            while await self._renew():
                await self._sleep(self._pause())
            log.error("no longer among those that share the shards: %s", self._state())
            self._on_lost()
        except asyncio.CancelledError:
            await self._leave()
            raise
        finally:
            self.roster.leave()

    async def _renew(self) -> bool:
        """One look and, where it is time to, one write. False when membership is lost."""
        roster = self.roster
        deadline = Deadline.after(roster.timing.retry, self._clock)
        for _ in range(TRIES):
            # Asked before the renewal: whoever slept past its deadline is no member, though nobody struck it off.
            if roster.lost:
                return False
            try:
                roster.observe(await self._read(deadline))
                if roster.lost:
                    return False
                members = roster.propose(self._busy)
                if members is None:
                    return True
                sent_at = self._clock()
                gained = roster.confirm(await self._write(members, deadline), sent_at)
            except (Conflict, AlreadyExists):
                continue
            except CallError as error:
                log.warning("the lease cannot be read or written: %s", error)
                return True
            except Exception:
                log.exception("the lease cannot be understood")
                return True
            if gained:
                log.info("shards gained: %s; %s", sorted(gained), self._state())
                self._on_gained(gained)
            return True
        log.info("others were faster to write the lease, %d times", TRIES)
        return True

    async def _leave(self) -> None:
        roster = self.roster
        roster.leave()  # first: from here on nothing may be written, whatever becomes of the lease
        deadline = Deadline.after(roster.timing.retry, self._clock)
        for _ in range(TRIES):
            try:
                # Read anew: a write that was cancelled on its way may have arrived, also one that made us a member.
                roster.observe(await self._read(deadline))
                members = roster.without_self()
                if members is not None:
                    await self._write(members, deadline)
                    log.info("the shards are given back")
                return
            except Conflict:
                continue
            except CallError as error:
                log.warning("the shards could not be given back, their time runs out by itself: %s", error)
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
            seen=self.roster.seen,
            spec=self.roster.spec(members, datetime.now(UTC)),
            annotations={MEMBERS: annotation(members)},
            deadline=deadline,
        )

    def _pause(self) -> float:
        if self.roster.draining:
            return SOON
        # Twice as often as it is renewed, so that what a replica gave back is soon taken; and exactly when somebody's
        # time is over.
        look = self.roster.timing.retry / 2 * (0.75 + 0.5 * self._random())
        return max(SOON, min(look, self.roster.next_expiry() + SOON))

    def _state(self) -> str:
        seen, members = self.roster.seen, self.roster.members
        if not members:
            return f"the lease is held by {(seen.holder if seen else '') or 'nobody'}"
        return "; ".join(f"{name}: {len(member.shards)}" for name, member in sorted(members.items()))
