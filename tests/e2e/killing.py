"""Killing or freezing the operator at a chosen call of each target's action, and waiting for the end that is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

from tests.e2e.crashing import ActPath
from tests.e2e.test_scaling import after_evaluations
from tests.support.operator import Operator
from tests.support.proxy import Passed, Proxy, faults
from tests.support.waiting import eventually

Paths = Callable[[str], ActPath]
"""Makes the path of a target's action."""


def until_same(
    end: Callable[[], Mapping[str, Any]], wanted: Mapping[str, Any], what: str, *, patience: float = 60
) -> None:
    """Wait until the end is the wanted one; a failure shows in what it differs."""

    def differs() -> str:
        found = end()
        return "\n".join(f"{k}: {found.get(k)!r}, not {wanted[k]!r}" for k in wanted if found.get(k) != wanted[k])

    eventually(lambda: not differs(), what, last=differs, every=0.3, patience=patience)


def moments_of(names: Sequence[str], calls: Sequence[str], *afters: bool) -> dict[str, tuple[int, bool]]:
    """For each name another moment: the call, and whether its answer is lost rather than the call itself.

    To die with the answer of a read is to die before the next call.
    """
    found = [
        (n, after) for after in afters for n, call in enumerate(calls, 1) if not (after and call.startswith("GET"))
    ]
    assert len(found) <= len(names), f"prepare more targets: {calls}"
    return dict(zip(names, found, strict=False))


def kill_at_each(
    operator: Operator,
    proxy: Proxy,
    moments: Mapping[str, tuple[int, bool]],
    path: Paths,
    provoke: Callable[[str], None],
    *,
    rest: Callable[[], object] | None = None,
) -> None:
    """Kill the operator at each target's moment, and leave it running.

    The next target is provoked while the operator is down. So what was left half done by a kill is continued beside
    the next action, and may be killed again. rest: waits instead, with the operator running, before the next one.
    """

    def die() -> None:
        assert operator.process is not None
        operator.process.kill()

    for name, (n, after) in moments.items():
        rule = proxy.add(faults.call(die, after=after), where=path(name), skip=n - 1, times=1)
        provoke(name)
        process = operator.process or operator.launch()  # it may die before it is seen ready
        eventually(lambda p=process: p.poll() is not None, f"call {n} of {name} is reached", last=operator.tail)  # type: ignore[misc]
        operator.kill()
        proxy.remove(rule)
        assert rule.used == 1
        if rest is not None:
            operator.start()
            rest()
    if operator.process is None:
        operator.start()


def until_all(
    operator: Operator,
    end: Callable[[str], Mapping[str, Any]],
    wanted: Mapping[str, Any],
    moments: Mapping[str, tuple[int, bool]],
    *,
    targets: int,
    patience: float = 60,
) -> None:
    """Wait until each target that was killed at its moment has come to the wanted end, and stays there.

    targets: how many are evaluated. They are looked at twice more.
    """
    for stays in ("", ": it stays so"):
        if stays:
            eventually(after_evaluations(operator, 2 * targets), "all are looked at again")  # type: ignore[arg-type]
        for name, (n, after) in moments.items():
            when = f"after call {n}" if after else f"before call {n}"
            until_same(partial(end, name), wanted, f"{name}, killed {when}{stays}", patience=patience)


@dataclass
class Frozen:
    """A leader that is frozen while a call of each target is on its way. names: the targets."""

    leader: Operator
    proxy: Proxy
    names: tuple[str, ...]
    over: Event

    def let_pass(self) -> dict[str, Passed]:
        """Let the calls that are late go on, and return what became of each."""
        self.over.set()

        def passed() -> dict[str, Passed] | None:
            found = {p.fault: p for p in self.proxy.seen() if p.fault in self.names}
            return found if set(found) == set(self.names) else None

        return eventually(passed, "all calls are through") or {}

    def thaw(self) -> None:
        """Let the leader go on, and wait for its end: it has lost the lease."""
        self.leader.thaw()
        process = self.leader.process
        assert process is not None
        eventually(lambda: process.poll() is not None, "who lost the lease ends")


def freeze_at_each(
    leader: Operator,
    proxy: Proxy,
    moments: Mapping[str, tuple[int, bool]],
    path: Paths,
    provoke: Callable[[str], None],
) -> Frozen:
    """Freeze the leader when the action of each target has come to its call. moments: the call, and whether it is late.

    A call that is not late goes on at once when the leader is frozen.
    """
    begun, frozen, over = Event(), Event(), Event()
    started: set[str] = set()
    reached: set[str] = set()

    def start(name: str) -> None:
        """The actions go on from their first call together: a call that waits for another one is given up in time."""
        started.add(name)
        if len(started) == len(moments):
            begun.set()

    def reach(name: str) -> None:
        start(name)
        reached.add(name)
        if len(reached) == len(moments):
            leader.freeze()
            frozen.set()

    for name, (n, late) in moments.items():
        fault = faults.held(partial(reach, name), until=over.is_set if late else frozen.is_set)
        proxy.add(fault, where=path(name), skip=n - 1, times=1, name=name)
        first = faults.held(partial(start, name), until=begun.is_set)
        proxy.add(first, where=path(name), times=1, name="start")
    for name in moments:
        provoke(name)
    eventually(frozen.is_set, "each action comes to its call", last=lambda: (started, reached))
    return Frozen(leader, proxy, tuple(moments), over)
