"""Expectations: the operator's own writes that the watch cache does not show yet, by target.

No decision is made about such a target. Its cached state is from before the write, so the effect of the operator's own
action would look like a manual change. (The same idea as `ControllerExpectations` in Kubernetes' controllers.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from resilience_operator.kube.writes.mutations import Change
from resilience_operator.runtime.cache.policy_entry import TargetKey

CONSISTENCY_TIMEOUT = 120.0
"""Seconds to wait until the watch shows the writes. Then the cached state is used; each action still checks its target
before it writes."""

RELIST_AFTER = 10.0
"""Seconds of waiting after which the objects are listed again, because the watch may have stalled."""


@dataclass(slots=True)
class _Expected:
    """Writes to one target. since: in seconds of the event loop's clock. timer: the next relist, or the timeout."""

    changes: tuple[Change, ...]
    since: float
    timer: asyncio.TimerHandle


class Expectations:
    """Expected writes by target.

    shows: returns True if the cache shows a write. relist: lists the objects of a kind again. on_met: called with the
    target's key once its writes are visible, or after `CONSISTENCY_TIMEOUT`.
    """

    def __init__(
        self, shows: Callable[[Change], bool], relist: Callable[[str], None], on_met: Callable[[TargetKey], None]
    ) -> None:
        self._shows = shows
        self._relist = relist
        self._on_met = on_met
        self._expected: dict[TargetKey, _Expected] = {}

    def expect(self, key: TargetKey, changes: Sequence[Change]) -> None:
        """Expect the cache to show these writes. They replace earlier ones of the same target."""
        loop = asyncio.get_running_loop()
        self._forget(key)
        if changes:
            timer = loop.call_later(RELIST_AFTER, partial(self._overdue, key))
            self._expected[key] = _Expected(tuple(changes), loop.time(), timer)

    def met(self, key: TargetKey) -> bool:
        """Return True if the cache shows every expected write of a target."""
        expected = self._expected.get(key)
        if expected is None:
            return True
        if not all(map(self._shows, expected.changes)):
            return False
        self._forget(key)
        return True

    def observe(self, key: TargetKey) -> None:
        """Check a target's expectations after its cached state changed."""
        if key in self._expected and self.met(key):
            self._on_met(key)

    def close(self) -> None:
        """Stop the timers."""
        for key in tuple(self._expected):
            self._forget(key)

    def _forget(self, key: TargetKey) -> None:
        if (expected := self._expected.pop(key, None)) is not None:
            expected.timer.cancel()

    def _overdue(self, key: TargetKey) -> None:
        """List the objects again; give up after `CONSISTENCY_TIMEOUT`."""
        expected, loop = self._expected[key], asyncio.get_running_loop()
        if self.met(key) or loop.time() - expected.since >= CONSISTENCY_TIMEOUT:
            self._forget(key)
            self._on_met(key)
            return
        expected.timer = loop.call_later(RELIST_AFTER, partial(self._overdue, key))
        for kind in {change.kind for change in expected.changes}:
            self._relist(kind)
