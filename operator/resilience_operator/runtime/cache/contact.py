"""How old what this process knows of the cluster may be: the last contact of every watch and list.

A reflector is confirmed by each page of a list, each event and each bookmark, which comes about once a minute. Kopf
shows no bookmarks, so the policies are confirmed otherwise: a list of one object every `PROBE_EVERY` seconds proves
that they can be listed, and each full list names what the watch should have delivered by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from resilience_operator.runtime.telemetry.metrics import WATCH_LAST_CONTACT

PROBE_EVERY = 60.0
"""Seconds between two lists of the policies, full ones or of one object."""

SILENCE = 150.0
"""Seconds without contact after which a resource counts as unknown: twice as long as a quiet watch may take."""

LastContact = Callable[[], float | None]
"""When the API server last confirmed what is known, on the monotonic clock; None before the first time."""


class Contacts:
    """The watches of this process by resource."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._watches: dict[str, LastContact] = {}
        self._optional: set[str] = set()

    def add(self, resource: str, last_contact: LastContact, *, optional: bool = False) -> None:
        """Follow one. optional: the process is ready also where it was never listed, for want of the right to."""
        self._watches[resource] = last_contact
        if optional:
            self._optional.add(resource)
        WATCH_LAST_CONTACT.labels(resource).set_function(partial(self._timestamp, last_contact))

    def not_ready(self) -> str:
        """Empty when all are up to date, else which are not, and for how long."""
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
    """The last contact about the policies, whose watch is kopf's.

    The watch is behind while a version that a list showed has not come by it. The contact is then as old as that list.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: float | None = None
        self._missing: dict[str, float] = {}

    def listed(self) -> None:
        """The policies were listed, or one of them was."""
        self._heard = self._clock()

    def expect(self, uid: str) -> None:
        """A list showed a version of a policy that the watch has not delivered yet."""
        self._missing.setdefault(uid, self._clock())

    def delivered(self, uid: str) -> None:
        """The watch delivered an event of a policy, or it is gone. Events of one object come in order, and soon."""
        self._missing.pop(uid, None)

    def last(self) -> float | None:
        """The last contact; None before the first list."""
        if self._heard is None or not self._missing:
            return self._heard
        return min(self._heard, *self._missing.values())
