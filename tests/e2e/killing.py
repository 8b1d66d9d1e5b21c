"""Killing or freezing the operator at a chosen call of each target's action, and waiting for the end that is right."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

from aiohttp import web

from tests.e2e.stopping import Group, Paths
from tests.e2e.test_scaling import after_evaluations
from tests.support.operator import Operator
from tests.support.proxy import Proxy
from tests.support.proxy.exchange import Exchange
from tests.support.waiting import eventually

Moment = tuple[int, bool]
"""The number of a call, from 1, and whether its answer is lost rather than the call itself."""

AT_ONCE = 8
"""Targets that one kill meets: fewer than the policies that may act in one namespace at once, and so few that their
calls are made in time on a busy machine."""


def until_same(
    end: Callable[[], Mapping[str, Any]], wanted: Mapping[str, Any], what: str, *, patience: float = 60
) -> None:
    """Wait until the end is the wanted one; a failure shows in what it differs."""

    def differs() -> str:
        found = end()
        return "\n".join(f"{k}: {found.get(k)!r}, not {wanted[k]!r}" for k in wanted if found.get(k) != wanted[k])

    eventually(lambda: not differs(), what, last=differs, every=0.3, patience=patience)


def moments_of(names: Sequence[str], calls: Sequence[str], *afters: bool) -> dict[str, Moment]:
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
    moments: Mapping[str, Moment],
    path: Paths,
    provoke: Callable[[str], None],
    *,
    spare: Sequence[str] = (),
    rest: Callable[[], object] | None = None,
) -> dict[str, Moment]:
    """Kill the operator at each target's moment, and leave it running. Returns the target killed at each moment.

    Targets are provoked in groups, and one kill meets all of a group. Each group is provoked while the operator is
    down, which then sees all that was done to a target at once. An action that a kill interrupted is recovered beside
    the next group, and may be killed again. rest: waits instead, with the operator running, before the next group.
    spare: targets for the moments of those that the operator did not leave at their call until all came to theirs.
    """
    waiting, unused, provoked = dict(moments), list(spare), set[str]()
    killed: dict[str, Moment] = {}
    while waiting:
        group = dict(itertools.islice(waiting.items(), AT_ONCE))
        if rest is None:
            operator.kill()
        kill = _Kill(proxy, group, path)
        for name in (n for n in group if n not in provoked):
            provoke(name)
            provoked.add(name)
        kill.run(operator)
        for name in kill.met:
            killed[name] = waiting.pop(name)
        for name in kill.missed:
            assert unused, f"{name} was not killed at call {waiting[name]}, and no spare target is left"
            waiting[unused.pop(0)] = waiting.pop(name)
        if rest is not None and waiting:
            operator.start()
            rest()
    if operator.process is None:
        operator.start()
    assert sorted(killed.values()) == sorted(moments.values())
    return killed


class _Kill:
    """One kill of the operator, when each of a group of targets has come to its moment.

    met: targets that were at their moment. missed: targets whose action had begun, but was not there. The operator is
    killed as soon as it gives a call up: it would go on with its action.
    """

    def __init__(self, proxy: Proxy, moments: Mapping[str, Moment], path: Paths) -> None:
        self.met, self.missed = set[str](), set[str]()
        self._moments = moments
        self._given_up: set[str] = set()
        self._group = Group(proxy, {name: n for name, (n, _) in moments.items()}, path, self._stop)

    def run(self, operator: Operator) -> None:
        """Kill the operator; it is started unless it runs. It may die before it is seen ready."""
        process, group = operator.process or operator.launch(), self._group

        def all_there() -> bool:
            assert process.poll() is None, f"the operator ended: {operator.tail()}"
            return group.reached == group.names or bool(self._given_up)

        eventually(all_there, "each action comes to its call", every=0.02, last=lambda: f"{group}\n{operator.tail()}")
        self.met = group.reached - self._given_up
        operator.kill()
        group.remove()
        self.missed = group.passed - self.met

    async def _stop(self, name: str, exchange: Exchange) -> web.StreamResponse:
        _, after = self._moments[name]
        if after:
            await exchange.forward()
        self._group.reach(name)
        try:
            await asyncio.Event().wait()
        finally:
            self._given_up.add(name)
        return exchange.cut()


def until_all(
    operator: Operator,
    end: Callable[[str], Mapping[str, Any]],
    wanted: Mapping[str, Any],
    moments: Mapping[str, Moment],
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
    names: frozenset[str]
    passed: dict[str, Exchange]
    over: Event

    def let_pass(self) -> dict[str, Exchange]:
        """Let the calls that are late go on, and return what became of each."""
        self.over.set()
        eventually(lambda: set(self.passed) == self.names, "all calls are through")
        return self.passed

    def thaw(self) -> None:
        """Let the leader go on, and wait for its end: it has lost the lease."""
        self.leader.thaw()
        process = self.leader.process
        assert process is not None
        eventually(lambda: process.poll() is not None, "who lost the lease ends")


def freeze_at_each(
    leader: Operator,
    proxy: Proxy,
    moments: Mapping[str, Moment],
    path: Paths,
    provoke: Callable[[str], None],
) -> Frozen:
    """Freeze the leader when the action of each target has come to its call. moments: the call, and whether it is late.

    A call that is not late goes on at once when the leader is frozen.
    """
    frozen, over = Event(), Event()
    passed: dict[str, Exchange] = {}

    async def stop(name: str, exchange: Exchange) -> web.StreamResponse:
        _, late = moments[name]
        group.reach(name)
        while not (over if late else frozen).is_set():
            await asyncio.sleep(0.05)
        try:
            return await exchange.pass_on()
        finally:
            passed[name] = exchange

    group = Group(proxy, {name: n for name, (n, _) in moments.items()}, path, stop)
    for name in moments:
        provoke(name)
    eventually(lambda: group.reached == group.names, "each action comes to its call", every=0.02, last=lambda: group)
    leader.freeze()
    frozen.set()
    return Frozen(leader, group.names, passed, over)
