"""Which replica holds which shard: the rules, pure. `shard_coordinator` does the I/O.

One Lease serves all replicas: that of the leader election. Its holder is one replica (`leader_election`), or a
number of shards, `8 shards`: all replicas that were told this number then renew it together, and its annotation is the
roster of the members among them: a beat that grows with each renewal, and the shards held.

    t0                   renew_deadline (6 s)         lease_duration (10 s)
    ├── a member may write ──┤── it no longer may ───────┤── others may strike it off and take its shards

- Every change replaces the whole roster under the Lease's resourceVersion. So a shard has one holder at any time, and a
  member that was struck off cannot renew: its late renewal meets another version.
- A member counts from *before* it sent its own last renewal that succeeded, and may write no longer `renew_deadline`
  later. An observer counts `lease_duration` from when *it* first saw the member's last beat, so from that moment or
  later. Each on its own monotonic clock, with the margin of `kube.coordination.leader_election`.
- A member that was struck off, or whose time ran out, never becomes one again: its process ends.
- Replicas with another number of shards, and those without shards, are to these as candidates are to a leader: they
  wait until the Lease is released (by the last member that leaves) or unchanged for `lease_duration`. So two replicas
  that divide the policies differently never write at the same time.
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
"""The annotation that holds the roster, as JSON: `{"pod-a_1f": {"beat": 17, "shards": [0, 3]}}`."""


@dataclass(frozen=True, slots=True)
class Member:
    """beat: grows with each renewal. shards: those it holds, in the order in which it took them."""

    beat: int = 0
    shards: tuple[int, ...] = ()


Members = Mapping[str, Member]
_MEMBERS: TypeAdapter[dict[str, Member]] = TypeAdapter(dict[str, Member])


class ShardMembership:
    """One replica's view of the Lease, and what it may do by it.

    identity: unlike any other process', also of an earlier run under the same name.
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
        self._beat = 0
        self._renewed_at = -math.inf
        self._held: frozenset[int] = frozenset()
        self._giving: frozenset[int] = frozenset()

    @property
    def held(self) -> frozenset[int]:
        """The shards in which this replica may write at this very moment."""
        return self._held if self._lease.is_leader() else frozenset()

    def may_write(self, shard: int) -> bool:
        """Whether this replica may write in a shard at this very moment."""
        return shard in self._held and self._lease.is_leader()

    def may_start(self, shard: int) -> bool:
        """Whether it holds a shard and is not about to give it away: whether to begin anything there."""
        return shard not in self._giving and self.may_write(shard)

    @property
    def draining(self) -> frozenset[int]:
        """Shards to be given away as soon as nothing is under way in them."""
        return self._giving & self._held

    @property
    def lost(self) -> bool:
        """Whether this replica was a member and can no longer be sure to be."""
        return self._joined and (not self._lease.is_leader() or self.identity not in self._members)

    @property
    def seen(self) -> Observed | None:
        """The Lease as last observed."""
        return self._lease.seen

    @property
    def members(self) -> Members:
        """The roster as last observed; empty where the Lease is not held by this number of shards."""
        return self._members

    def observe(self, lease: KubeObject | None) -> None:
        """Takes in the Lease as it was read, None where there is none."""
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
        """The roster to be written now; None: there is nothing to write, or it is not for us to.

        busy: whether something is under way in a shard, which is then not given away yet. From here on nothing may be
        begun in the shards that are `giving`, and nothing written in those that are left out of the answer.
        """
        if not self._lease.can_acquire():
            return None
        now = self._clock()
        living = {name: m for name, m in self._members.items() if name == self.identity or now <= self._expiry(name)}
        me = living.get(self.identity, Member())
        # A shard given away by a write whose answer was lost is no longer ours, though we were not told.
        self._held &= frozenset(me.shards)
        holdings = {name: m.shards for name, m in living.items()} | {self.identity: me.shards}
        share = rebalance(self.identity, self.shards, holdings)
        self._giving = frozenset(share.release)
        given = {shard for shard in share.release if not busy(shard)}
        self._held -= given
        shards = (*(s for s in me.shards if s not in given), *share.acquire)
        roster = living | {self.identity: replace(me, shards=shards)}
        if roster == self._members and now - self._renewed_at < self.timing.retry:
            return None
        # No two writes carry the same beat, whatever became of them: one that was struck off before it knew that it had
        # joined, and joins again, would else be taken for the one that was silent since.
        self._beat += 1
        return roster | {self.identity: Member(self._beat, shards)}

    def confirm(self, lease: KubeObject, sent_at: float) -> frozenset[int]:
        """`turn`'s answer was written; the shards that are held since. sent_at: the clock before it was sent."""
        self.observe(lease)
        self._lease.won(lease, sent_at)
        self._joined, self._renewed_at = True, sent_at
        before, self._held = self._held, frozenset(self._members[self.identity].shards)
        return self._held - before

    def leave(self) -> None:
        """From now on nothing may be written."""
        self._lease.lost()
        self._held = frozenset()

    def without_self(self) -> Members | None:
        """The roster to be written by who leaves; None where it is not in it. An empty one releases the Lease."""
        if self.identity not in self._members:
            return None
        return {name: member for name, member in self._members.items() if name != self.identity}

    def spec(self, members: Members, now: datetime) -> KubeObject:
        """The Lease's `spec` beside a roster. now: the wall clock, for people alone."""
        return self._lease.spec(now, release=not members)

    def next_expiry(self) -> float:
        """Seconds until the Lease or a member may have run out, infinite when nobody's time is running."""
        seen = self._lease.seen
        if seen is None:
            return math.inf
        if seen.holder != self._lease.identity:
            return seen.changed_at + seen.duration - self._clock() if seen.holder else 0.0
        others = (self._expiry(name) for name in self._members if name != self.identity)
        return min(others, default=math.inf) - self._clock()

    def _expiry(self, name: str) -> float:
        # Another version of this program may act for longer than we would.
        duration = self._lease.seen.duration if self._lease.seen else self.timing.lease_duration
        return self._seen_at[name] + duration


def annotation(members: Members) -> str:
    """The roster as it stands in the annotation."""
    return _MEMBERS.dump_json(dict(members)).decode()


def _read(lease: KubeObject, shards: int) -> Members:
    """The roster in a Lease. One that cannot be read counts as one member that holds all, until its time is over."""
    text = ((lease.get("metadata") or {}).get("annotations") or {}).get(MEMBERS)
    try:
        return _MEMBERS.validate_json(text or "")
    except ValidationError:
        return {"unreadable": Member(shards=tuple(range(shards)))}
