"""Shard membership: the rules by which replicas hold shards. Pure; `shard_coordinator` does the I/O.

All replicas share one Lease, that of the leader election. Its holder is one replica (`leader_election`) or a number of
shards, `8 shards`. All replicas that are configured with that number renew the Lease together. Its annotation lists the
members, each with a heartbeat counter that grows with each renewal and with the shards that it holds.

    t0                   renew_deadline (6 s)         lease_duration (10 s)
    ├── a member may write ──┤── it no longer may ───────┤── others may remove it and take its shards

- Each change replaces the whole member list, conditional on the Lease's resourceVersion. So a shard has one holder at
  any time, and a removed member cannot renew: its late renewal fails on the version.
- A member counts from *before* it sent its last successful renewal, and stops writing `renew_deadline` later. An
  observer counts `lease_duration` from when *it* first saw the member's last heartbeat, which is not earlier. Each uses
  its own monotonic clock, with the margin of `kube.coordination.leader_election`.
- A member that was removed, or whose time is over, never becomes a member again: its process ends.
- Replicas with another number of shards, or without shards, act like candidates beside a leader. They wait until the
  last member releases the Lease, or until it is unchanged for `lease_duration`. So replicas that divide the policies
  differently never write at the same time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from resilience_operator.kube.client.client import KubeObject
from resilience_operator.kube.coordination.leader_election import Election, ElectionTiming, Observed
from resilience_operator.kube.coordination.shard_assignment import rebalance
from resilience_operator.resilience import Clock

MEMBERS = "resilience-operator.io/members"
"""The annotation with the member list, as JSON: `{"pod-a_1f": {"beat": 17, "shards": [0, 3]}}`."""


@dataclass(frozen=True, slots=True)
class Member:
    """A replica in the list. beat: its heartbeat, grows with each renewal. shards: in the order of acquisition."""

    beat: int = 0
    shards: tuple[int, ...] = ()


Members = Mapping[str, Member]
_MEMBERS: TypeAdapter[dict[str, Member]] = TypeAdapter(dict[str, Member])


class ShardMembership:
    """One replica's view of the Lease, and its permission to write.

    identity: unique for each process, also among earlier runs of a pod with the same name.
    """

    def __init__(self, identity: str, shards: int, timing: ElectionTiming, clock: Clock = time.monotonic) -> None:
        self.identity = identity
        self.shards = shards
        self.timing = timing
        self._clock = clock
        self._lease = Election(f"{shards} shards", timing, clock)
        self._members: Members = {}
        self._seen_at: dict[str, float] = {}
        self._joined = False
        self._heartbeat = 0
        self._renewed_at = -math.inf
        self._held: frozenset[int] = frozenset()
        self._draining: frozenset[int] = frozenset()

    @property
    def held(self) -> frozenset[int]:
        """The shards in which this replica may write now."""
        return self._held if self._lease.is_leader() else frozenset()

    def may_write(self, shard: int) -> bool:
        """Whether this replica may write in a shard now."""
        return shard in self._held and self._lease.is_leader()

    def may_start(self, shard: int) -> bool:
        """Whether new work may start in a shard: the shard is held and not about to be released."""
        return shard not in self._draining and self.may_write(shard)

    @property
    def draining(self) -> frozenset[int]:
        """Shards to be released as soon as no work is in progress in them."""
        return self._draining & self._held

    @property
    def lost(self) -> bool:
        """Whether this replica was a member, and its membership is lost or uncertain."""
        return self._joined and (not self._lease.is_leader() or self.identity not in self._members)

    @property
    def seen(self) -> Observed | None:
        """The Lease as last observed."""
        return self._lease.seen

    @property
    def members(self) -> Members:
        """The members as last observed; empty if the Lease is not held by this number of shards."""
        return self._members

    def observe(self, lease: KubeObject | None) -> None:
        """Record the Lease as read; None if there is none."""
        before, now = self._members, self._clock()
        self._lease.observe(lease)
        seen = self._lease.seen
        ours = lease is not None and seen is not None and seen.holder == self._lease.identity
        self._members = _read(lease, self.shards) if ours and lease is not None else {}
        self._seen_at = {
            name: self._seen_at[name] if name in before and before[name].beat == member.beat else now
            for name, member in self._members.items()
        }

    def propose(self, busy: Callable[[int], bool]) -> Members | None:
        """Compute the members to write next; None if they are unchanged or this replica may not write them.

        busy: whether work is in progress in a shard, which is then not released yet. After this call no work may start
        in the shards that are `draining`, and nothing may be written in shards missing from the returned list.
        """
        if not self._lease.can_acquire():
            return None
        now = self._clock()
        living = {name: m for name, m in self._members.items() if name == self.identity or now <= self._expiry(name)}
        me = living.get(self.identity, Member())
        # A shard that a write released is no longer ours, even if the response to that write was lost.
        self._held &= frozenset(me.shards)
        holdings = {name: m.shards for name, m in living.items()} | {self.identity: me.shards}
        share = rebalance(self.identity, self.shards, holdings)
        self._draining = frozenset(share.release)
        given = {shard for shard in share.release if not busy(shard)}
        self._held -= given
        shards = (*(s for s in me.shards if s not in given), *share.acquire)
        members = living | {self.identity: replace(me, shards=shards)}
        if members == self._members and now - self._renewed_at < self.timing.retry:
            return None
        # Each write has a new heartbeat, even after a failed write. Otherwise a replica that was removed before it
        # learned that it had joined, and joins again, would appear silent since its first attempt.
        self._heartbeat += 1
        return members | {self.identity: Member(self._heartbeat, shards)}

    def confirm(self, lease: KubeObject, sent_at: float) -> frozenset[int]:
        """Record that the proposal was written. Returns the newly held shards. sent_at: the clock before sending."""
        self.observe(lease)
        self._lease.won(lease, sent_at)
        self._joined, self._renewed_at = True, sent_at
        before, self._held = self._held, frozenset(self._members[self.identity].shards)
        return self._held - before

    def leave(self) -> None:
        """Give up all shards: nothing may be written from now on."""
        self._lease.lost()
        self._held = frozenset()

    def without_self(self) -> Members | None:
        """The members without this replica, to write on leaving; None if it is not listed. Empty releases the Lease."""
        if self.identity not in self._members:
            return None
        return {name: member for name, member in self._members.items() if name != self.identity}

    def spec(self, members: Members, now: datetime) -> KubeObject:
        """The Lease's `spec` for these members. now: the wall clock, only for people."""
        return self._lease.spec(now, release=not members)

    def next_expiry(self) -> float:
        """Seconds until the Lease or a member may expire; infinite if none can."""
        seen = self._lease.seen
        if seen is None:
            return math.inf
        if seen.holder != self._lease.identity:
            return seen.changed_at + seen.duration - self._clock() if seen.holder else 0.0
        others = (self._expiry(name) for name in self._members if name != self.identity)
        return min(others, default=math.inf) - self._clock()

    def _expiry(self, name: str) -> float:
        # Another version of this program may use a longer lease duration.
        duration = self._lease.seen.duration if self._lease.seen else self.timing.lease_duration
        return self._seen_at[name] + duration


def annotation(members: Members) -> str:
    """The members as JSON for the annotation."""
    return _MEMBERS.dump_json(dict(members)).decode()


def _read(lease: KubeObject, shards: int) -> Members:
    """The members in a Lease. An invalid list counts as one member that holds all shards until it expires."""
    text = ((lease.get("metadata") or {}).get("annotations") or {}).get(MEMBERS)
    try:
        return _MEMBERS.validate_json(text or "")
    except ValidationError:
        return {"unreadable": Member(shards=tuple(range(shards)))}
