"""Stopping the actions of many targets, each at a chosen call, so that one kill or freeze of the operator meets all."""

from __future__ import annotations

import time
from asyncio import sleep
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from tests.e2e.crashing import ActPath
from tests.support.proxy import Asked, Proxy, faults
from tests.support.proxy.exchange import Exchange
from tests.support.proxy.rules import Fault

Stop = Callable[[str, Exchange], Awaitable[web.StreamResponse]]
"""What happens to the call at which the action of a target stops."""

Paths = Callable[[str], ActPath]
"""Makes the path of a target's action."""

HELD = 3.0
"""Seconds for which a first call waits for the other targets: far fewer than those after which it is given up."""


class Group:
    """Targets whose actions begin together, and stop at their calls.

    The first call of an action, which stores what is intended, waits until the actions of all targets have come to
    theirs. If that takes long, it is answered with a conflict, as for a policy that was changed meanwhile: nothing is
    done, and the policy is evaluated again a second later. So a stopped call does not wait for a slow target.

    calls: for each target the number of the call, from 1. stop: must call `reach` once the action has come to it.
    reached: targets that have. passed: targets whose action has begun.
    """

    def __init__(self, proxy: Proxy, calls: Mapping[str, int], path: Paths, stop: Stop) -> None:
        self.names = frozenset(calls)
        self.reached, self.passed = set[str](), set[str]()
        self._ready = set[str]()
        self._proxy, self._stop = proxy, stop
        targets = [_Target(name, n, path) for name, n in calls.items()]
        self._rules = [proxy.add(self._fault(target), where=target.meets) for target in targets]

    def reach(self, name: str) -> None:
        """Record that the action of a target has come to its call."""
        self.reached.add(name)

    def remove(self) -> None:
        """Stop no more actions."""
        self._proxy.remove(*self._rules)

    def __str__(self) -> str:
        return f"ready: {sorted(self._ready)}, begun: {sorted(self.passed)}, at their calls: {sorted(self.reached)}"

    def _fault(self, target: _Target) -> Fault:
        async def fault(exchange: Exchange) -> web.StreamResponse:
            number = len(target.path.calls)
            if number == 1 and not await self._may_begin(target):
                return await faults.answer(409)(exchange)
            return await (self._stop(target.name, exchange) if number == target.call else exchange.pass_on())

        return fault

    async def _may_begin(self, target: _Target) -> bool:
        self._ready.add(target.name)
        until = time.monotonic() + HELD
        try:
            while self._ready != self.names:
                if time.monotonic() > until:
                    return False
                await sleep(0.02)
            self.passed.add(target.name)
            return True
        finally:
            if target.name not in self.passed:  # refused, or given up
                target.forget()


class _Target:
    """A target, and how far its action has come."""

    def __init__(self, name: str, call: int, path: Paths) -> None:
        self.name, self.call = name, call
        self._new_path = path
        self.path = path(name)

    def meets(self, asked: Asked) -> bool:
        """Whether this is a call of the action; counts it."""
        return self.path(asked)

    def forget(self) -> None:
        """The action begins anew."""
        self.path = self._new_path(self.name)
