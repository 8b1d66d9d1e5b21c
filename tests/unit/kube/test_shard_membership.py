"""Replicas that share the shards, on clocks that the test moves, with every kind of fault.

The state machine runs replicas with 3 shards, with 4, and one without shards (`leader_election`), on one Lease. Their
reads are stale, their writes arrive late, answers are lost. Processes freeze, die and come back. Clocks run at
different speeds. Two never write in one namespace. Once it is quiet, each namespace has one writer.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from resilience_operator.kube.coordination.leader_election import Election, ElectionTiming
from resilience_operator.kube.coordination.shard_assignment import shard_of
from resilience_operator.kube.coordination.shard_membership import MEMBERS, Member, ShardMembership, annotation

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMESPACES = [f"team-{n}" for n in range(12)]
Obj = dict[str, Any]


@dataclass
class Server:
    """One Lease; a write onto another version than the one it was made from is refused."""

    lease: Obj | None = None
    version: int = 0

    def read(self) -> Obj | None:
        return copy.deepcopy(self.lease)

    def write(self, onto: str | None, spec: Obj, annotations: Obj) -> Obj | None:
        if onto != (str(self.version) if self.lease else None):
            return None
        self.version += 1
        old = self.lease or {"spec": {}, "metadata": {"annotations": {}}}
        self.lease = {
            "spec": old["spec"] | spec,
            "metadata": {
                "resourceVersion": str(self.version),
                "annotations": old["metadata"]["annotations"] | annotations,
            },
        }
        return self.read()


@dataclass
class Replica:
    """A process as the elector runs it, cut into the steps between which it may freeze.

    shards: 1 for one that takes part in the plain election. rate: how fast its clock runs.
    """

    name: str
    server: Server
    shards: int
    rate: float
    now: float
    lives: int = 0
    busy: bool = False
    snapshot: Obj | None = None
    sent: tuple[str | None, Obj, Obj, float, int] | None = None
    answer: tuple[Obj, float] | None = None
    rules: Any = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A new process, which knows nothing. What the last one sent is still on its way."""
        self.lives += 1
        identity = f"{self.name}_{self.lives}"
        self.rules = (
            ShardMembership(identity, self.shards, ElectionTiming(), self.clock)
            if self.shards > 1
            else Election(identity, ElectionTiming(), self.clock)
        )
        self.snapshot = self.answer = None

    def clock(self) -> float:
        return self.now

    def writes(self, namespace: str) -> bool:
        if self.shards > 1:
            return bool(self.rules.may_write(shard_of(namespace, self.shards)))
        return bool(self.rules.is_leader())

    @property
    def lost(self) -> bool:
        if self.shards > 1:
            return bool(self.rules.lost)
        return bool(self.rules.leads and not self.rules.is_leader())

    def read(self) -> None:
        self.snapshot = self.server.read()

    def decide(self) -> None:
        """Take in what was read and send what is to be written."""
        if self.lost:
            return self.start()
        self.rules.observe(self.snapshot)
        if self.lost:
            return self.start()
        version = self.rules.seen.version if self.rules.seen else None
        if self.shards > 1:
            members = self.rules.propose(lambda _: self.busy)
            if members is not None:
                text = {MEMBERS: annotation(members)}
                self.sent = (version, self.rules.spec(members, NOW), text, self.now, self.lives)
        elif self.rules.can_acquire():
            self.sent = (version, self.rules.spec(NOW), {}, self.now, self.lives)
        return None

    def arrive(self) -> None:
        """What was sent reaches the server."""
        if self.sent is not None:
            (version, spec, annotations, sent_at, life), self.sent = self.sent, None
            written = self.server.write(version, spec, annotations)
            self.answer = (written, sent_at) if written is not None and life == self.lives else None

    def hear(self) -> None:
        """The server's answer reaches the process."""
        if self.answer is not None:
            (lease, sent_at), self.answer = self.answer, None
            self.rules.confirm(lease, sent_at) if self.shards > 1 else self.rules.won(lease, sent_at)

    def turn(self) -> None:
        """All of it, undisturbed."""
        self.read()
        self.decide()
        self.arrive()
        self.hear()


replicas = st.integers(0, 4)


class Sharing(RuleBasedStateMachine):
    """See the module's docstring."""

    @initialize(rates=st.lists(st.floats(0.85, 1.1), min_size=5, max_size=5))
    def begin(self, rates: list[float]) -> None:
        self.server = Server()
        told = (("a", 3), ("b", 3), ("c", 3), ("d", 4), ("e", 1))
        self.replicas = [
            Replica(name, self.server, shards, rate, now=1000.0 * rate)
            for (name, shards), rate in zip(told, rates, strict=True)
        ]

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 2.0, 4.0, 6.0, 10.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.wait(seconds)

    @rule(n=replicas, steps=st.integers(0, 4), seconds=st.sampled_from([1, 3, 5, 6, 8, 11, 14]), heard=st.booleans())
    def it_freezes(self, n: int, steps: int, seconds: int, heard: bool) -> None:
        """At some point of a turn; the others go on meanwhile, and then it does."""
        turn = ("read", "decide", "arrive", "hear")
        for step in turn[:steps]:
            getattr(self.replicas[n], step)()
        for _ in range(2 * seconds):
            for other in self.replicas:
                if other is not self.replicas[n]:
                    other.turn()
                    self.one_writer_at_most()
            self.wait(0.5)
        if not heard:
            self.replicas[n].answer = None
        for step in turn[steps:] if heard else ():
            getattr(self.replicas[n], step)()
            self.one_writer_at_most()

    @rule(n=replicas)
    def whole_turn(self, n: int) -> None:
        self.replicas[n].turn()

    @rule(steps=st.lists(st.tuples(replicas, st.sampled_from(["read", "decide", "arrive", "hear"])), max_size=8))
    def single_steps(self, steps: list[tuple[int, str]]) -> None:
        for n, step in steps:
            getattr(self.replicas[n], step)()
            self.one_writer_at_most()

    @rule(n=replicas)
    def the_answer_is_lost(self, n: int) -> None:
        self.replicas[n].arrive()
        self.replicas[n].answer = None

    @rule(n=replicas)
    def it_is_killed(self, n: int) -> None:
        self.replicas[n].start()

    @rule(n=replicas, busy=st.booleans())
    def something_is_under_way(self, n: int, busy: bool) -> None:
        self.replicas[n].busy = busy

    @rule(n=st.integers(0, 3))
    def it_is_stopped(self, n: int) -> None:
        leave(self.replicas[n])
        self.replicas[n].start()

    @rule(seconds=st.integers(1, 20))
    def a_quiet_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second()

    @invariant()
    def one_writer_at_most(self) -> None:
        for namespace in NAMESPACES:
            writers = [r.name for r in getattr(self, "replicas", ()) if r.writes(namespace)]
            assert len(writers) <= 1, f"{writers} write in {namespace}"

    def teardown(self) -> None:
        """In the end all is quiet, and all is owned, fairly."""
        for replica in getattr(self, "replicas", ()):
            replica.busy = False
        for _ in range(30 if hasattr(self, "replicas") else 0):
            self.second()
        for namespace in NAMESPACES if hasattr(self, "replicas") else ():
            assert any(r.writes(namespace) for r in self.replicas), f"nobody writes in {namespace}"
        # One division is in force, and its shares are fair.
        held = [len(r.rules.held) for r in getattr(self, "replicas", ()) if r.shards == 3]
        assert held in ([], [1, 1, 1], [0, 0, 0]), held

    def second(self) -> None:
        for replica in self.replicas:
            replica.turn()
            self.one_writer_at_most()
        self.wait(1.0)
        self.one_writer_at_most()

    def wait(self, seconds: float) -> None:
        """For frozen ones too: the monotonic clock goes on, they only cannot look at it."""
        for replica in self.replicas:
            replica.now += seconds * replica.rate


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_one_that_joins_again_is_not_taken_for_the_one_that_was_silent() -> None:
    """Found by the machine above: struck off before it heard that it had joined, `b` came back with the same beat."""
    state = Sharing()
    state.begin(rates=[1.0] * 5)
    state.single_steps([(1, "decide"), (1, "arrive"), (0, "read"), (0, "decide"), (2, "read"), (2, "decide")])
    state.the_answer_is_lost(2)
    state.time_passes(12.0)
    state.teardown()


def shared(*names: str, shards: int = 4) -> list[Replica]:
    """Replicas on one Lease that have taken their shares."""
    server = Server()
    found = [Replica(name, server, shards, rate=1.0, now=1e3 * place) for place, name in enumerate(names)]
    for _ in range(3):
        take_turns(*found)
    return found


def take_turns(*replicas: Replica, seconds: float = 2.0) -> None:
    for replica in replicas:
        replica.turn()
    sleep(seconds, *replicas)


def sleep(seconds: float, *replicas: Replica) -> None:
    for replica in replicas:
        replica.now += seconds


def held(*replicas: Replica) -> list[int]:
    return [len(replica.rules.held) for replica in replicas]


def test_two_replicas_hold_half_each() -> None:
    assert held(*shared("one", "two")) == [2, 2]


@pytest.mark.parametrize(("silence", "writes", "taken"), [(5.9, 2, 2), (6.1, 0, 2), (9.9, 0, 2), (10.1, 0, 4)])
def test_the_margin(silence: float, writes: int, taken: int) -> None:
    one, two = shared("one", "two")
    one.turn()
    two.turn()  # sees it
    for part in (0.5, 0.5):
        sleep(silence * part, one, two)
        two.turn()
    assert held(one, two) == [writes, taken]


def test_what_is_busy_is_kept_until_it_is_not() -> None:
    (one,) = shared("one")
    two = Replica("two", one.server, 4, rate=1.0, now=0.0)
    one.busy = True
    two.turn()
    one.turn()
    assert one.rules.draining == {2, 3}
    assert [one.rules.may_write(2), one.rules.may_start(2), one.rules.may_start(0)] == [True, False, True]
    one.busy = False
    take_turns(one, two)
    assert (one.rules.held, two.rules.held) == ({0, 1}, {2, 3})
    assert not one.rules.draining


def test_what_was_given_away_stays_so_though_the_answer_was_lost() -> None:
    (one,) = shared("one")
    two = Replica("two", one.server, 4, rate=1.0, now=0.0)
    two.turn()
    one.read()
    one.decide()
    one.arrive()
    one.answer = None
    two.turn()
    assert held(one, two) == [2, 2]
    two.rules.leave()
    one.server.lease["metadata"]["annotations"][MEMBERS] = annotation({"one_1": Member(50, (0, 1))})  # type: ignore[index]
    one.read()
    one.decide()
    assert one.rules.held == {0, 1}


def test_who_was_struck_off_or_overslept_is_lost() -> None:
    one, two = shared("one", "two")
    assert not one.rules.lost
    sleep(6.1, one)
    assert one.rules.lost
    two.rules.observe({"metadata": {"resourceVersion": "99"}, "spec": {"holderIdentity": "another"}})
    assert two.rules.lost


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"one_1": {"beat": "x"}}'])
def test_a_roster_that_cannot_be_read_is_waited_out(text: str | None) -> None:
    (one,) = shared("one")
    two = Replica("two", one.server, 4, rate=1.0, now=0.0)
    one.server.lease["metadata"]["annotations"] = {} if text is None else {MEMBERS: text}  # type: ignore[index]
    for _ in range(5):
        take_turns(two)
        assert held(two) == [0]
    sleep(0.1, two)
    two.turn()
    assert held(two) == [4]


def leave(replica: Replica) -> None:
    """As `Sharing` does when its process is stopped."""
    replica.rules.leave()
    replica.rules.observe(replica.server.read())
    members = replica.rules.without_self()
    if members is not None:
        text = {MEMBERS: annotation(members)}
        assert replica.server.write(replica.rules.seen.version, replica.rules.spec(members, NOW), text)


def test_other_numbers_of_shards_wait_until_the_last_has_left() -> None:
    one, two = shared("one", "two")
    others = [Replica("five", one.server, 5, 1.0, now=0.0), Replica("plain", one.server, 1, 1.0, now=0.0)]

    def nothing_else() -> bool:
        return not any(other.writes(namespace) for other in others for namespace in NAMESPACES)

    for _ in range(20):
        take_turns(one, two, *others)
        assert nothing_else()
    leave(one)
    for _ in range(20):
        take_turns(two, *others)
        assert nothing_else()
    assert held(two) == [4]
    leave(two)
    take_turns(*others)
    assert [all(other.writes(namespace) for namespace in NAMESPACES) for other in others] == [True, False]


def test_killed_ones_with_another_number_are_waited_out() -> None:
    one, _ = shared("one", "two")
    five = Replica("five", one.server, 5, 1.0, now=0.0)
    for _ in range(5):
        take_turns(five)
        assert held(five) == [0]
    sleep(0.1, five)
    five.turn()
    assert held(five) == [5]
