"""Freshness of the caches: the last contact with the API server of each watch and list.

Each list page, event and bookmark confirms a reflector. Bookmarks arrive about once a minute. kopf does not expose
bookmarks, so the policies are confirmed in another way. A list of one object every `PROBE_EVERY` seconds proves that
policies can be listed. Each full list shows the versions that the watch should have delivered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from resilience_operator.runtime.telemetry.metrics import WATCH_LAST_CONTACT

PROBE_EVERY = 60.0
"""Seconds between two lists of the policies, full or of one object."""

SILENCE = 150.0
"""Seconds without contact after which a resource counts as stale: twice as long as a quiet watch may take."""

LastContact = Callable[[], float | None]
"""Time of the last confirmation by the API server, in monotonic seconds; None before the first."""


class Contacts:
    """Last contact of each watch of this process, by resource."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._watches: dict[str, LastContact] = {}
        self._optional: set[str] = set()

    def add(self, resource: str, last_contact: LastContact, *, optional: bool = False) -> None:
        """Register a resource. optional: ready even if it was never listed, because RBAC may forbid the list."""
        self._watches[resource] = last_contact
        if optional:
            self._optional.add(resource)
        WATCH_LAST_CONTACT.labels(resource).set_function(partial(self._timestamp, last_contact))

    def not_ready(self) -> str:
        """Name the stale resources and their age; empty when all are up to date."""
        now = self._clock()
        silent = []
        for resource, last_contact in self._watches.items():
            at = last_contact()
            if at is None:
                if resource not in self._optional:
                    silent.append(f"{resource} (not listed yet)")
            elif now - at > SILENCE:
                silent.append(f"{resource} (for {now - at:.0f} s)")
        return f"no contact with the API server about: {', '.join(silent)}" if silent else ""

    def _timestamp(self, last_contact: LastContact) -> float:
        at = last_contact()
        return 0.0 if at is None else time.time() - (self._clock() - at)


class PolicyContact:
    """Last contact of the policy watch, which belongs to kopf.

    If a list shows a version that the watch has not delivered, the contact is as old as that list.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: float | None = None
        self._missing: dict[str, float] = {}

    def listed(self) -> None:
        """Record a successful list of all policies or of one."""
        self._heard = self._clock()

    def expect(self, uid: str) -> None:
        """Record that a list showed a version of a policy that the watch has not delivered yet."""
        self._missing.setdefault(uid, self._clock())

    def delivered(self, uid: str) -> None:
        """Record an event or the deletion of a policy. Events of one object arrive in order."""
        self._missing.pop(uid, None)

    def last(self) -> float | None:
        """Return the time of the last contact; None before the first list."""
        if self._heard is None or not self._missing:
            return self._heard
        return min(self._heard, *self._missing.values())
