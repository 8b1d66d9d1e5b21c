"""Leader election on a Lease: at most one process acts, though any may die or freeze at any moment.

    t0               renew_deadline (6 s)         lease_duration (10 s)
    ├── the leader acts ──┤── it no longer acts ──┤── others may take the lease

- The Lease's resourceVersion is the lock: of two that write, the API server lets one through.
- A moment is measured on the measurer's own monotonic clock alone. An observer counts `lease_duration` from when
  *it* saw the Lease change last; the times inside the Lease are for people. Two machines' clocks are never compared.
- The leader counts from *before* it sent the renewal that succeeded, and stops acting `renew_deadline` later. An
  observer saw that renewal after it was sent, so it waits until `lease_duration` after that moment at least. The
  margin between the two, 4 s, covers a call that was begun just before and clocks that run at different speeds.
- `is_leader()` looks at the clock when it is asked, so a process that was frozen past its deadline gets a no from
  the first question on, before any of its timers has run.

What no lease can promise: a write that left the process before it was frozen may arrive after. Each write of ours
carries its own precondition, so such a late one fails when the next leader has changed what it was based on.
The protocol's model: https://pkg.go.dev/k8s.io/client-go/tools/leaderelection (which compares no clocks either).
"""

from __future__ import annotations

import asyncio
import logging
import random as _random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from resilience_operator.kube.client.client import KubeClient, KubeObject, PatchKind
from resilience_operator.kube.client.paths import LEASES
from resilience_operator.resilience import (
    AlreadyExists,
    CallError,
    Clock,
    Conflict,
    Deadline,
    NotFound,
)
from resilience_operator.resilience.retry import Random, Sleep

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ElectionTiming:
    """Seconds. lease_duration: unchanged for so long, the lease may be taken. renew_deadline: not renewed for so
    long, the leader stops acting. retry: between two tries to renew; an observer looks twice as often.
    """

    lease_duration: float = 10.0
    renew_deadline: float = 6.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.renew_deadline < self.lease_duration:
            raise ValueError("need 0 < retry < renew_deadline < lease_duration")


@dataclass(frozen=True, slots=True)
class Observed:
    """A Lease as last seen. changed_at: when (own monotonic clock) this state of it was first seen."""

    holder: str
    version: str
    duration: float
    transitions: int
    changed_at: float


class Election:
    """The rules, pure: what was observed and written goes in, whether to lead or to try comes out."""

    def __init__(self, identity: str, timing: ElectionTiming, clock: Clock = time.monotonic) -> None:
        self.identity = identity
        self.timing = timing
        self._clock = clock
        self._seen: Observed | None = None
        self._gone_at: float | None = None
        self._lead_until: float | None = None

    def is_leader(self) -> bool:
        """Whether this process may act at this very moment."""
        return self._lead_until is not None and self._clock() < self._lead_until

    @property
    def leads(self) -> bool:
        """Whether it was made leader and has not been told otherwise; its time may have run out unnoticed."""
        return self._lead_until is not None

    @property
    def seen(self) -> Observed | None:
        return self._seen

    def observe(self, lease: KubeObject | None) -> None:
        """Takes in a Lease as it was read, None where there is none."""
        if lease is None:
            if self._seen is not None:
                self._gone_at = self._clock()
            self._seen = None
            return
        self._gone_at = None
        version = str(lease["metadata"]["resourceVersion"])
        if self._seen is not None and self._seen.version == version:
            return
        spec = lease.get("spec") or {}
        self._seen = Observed(
            holder=str(spec.get("holderIdentity") or ""),
            version=version,
            # Another version of this program may hold it for longer than we would.
            duration=max(float(spec.get("leaseDurationSeconds") or 0), self.timing.lease_duration),
            transitions=int(spec.get("leaseTransitions") or 0),
            changed_at=self._clock(),
        )

    def can_acquire(self) -> bool:
        """Whether the lease is free: never made, released, our own, or unchanged for its whole duration.

        One that was deleted under its holder is taken only after the holder's time, too.
        """
        seen = self._seen
        if seen is None:
            waited = self._gone_at is None or self._clock() - self._gone_at > self.timing.lease_duration
            return waited or self.is_leader()
        if seen.holder in ("", self.identity):
            return True
        return self._clock() - seen.changed_at > seen.duration

    def won(self, lease: KubeObject, sent_at: float) -> None:
        """A write that makes us the holder succeeded. sent_at: the clock before it was sent."""
        self.observe(lease)
        self._lead_until = sent_at + self.timing.renew_deadline

    def lost(self) -> None:
        """From now on somebody else may lead."""
        self._lead_until = None

    def spec(self, now: datetime, *, release: bool = False) -> KubeObject:
        """The Lease's `spec` that takes, renews or releases it. now: the wall clock, for people alone."""
        seen = self._seen
        ours = seen is not None and seen.holder == self.identity
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: KubeObject = {
            "holderIdentity": None if release else self.identity,
            # At least 1, as the API asks for; the observers' own `lease_duration` is what counts.
            "leaseDurationSeconds": 1 if release else max(1, round(self.timing.lease_duration)),
            "renewTime": stamp,
            "leaseTransitions": (seen.transitions if seen else 0) + (0 if ours or seen is None else 1),
        }
        if not ours:
            spec["acquireTime"] = stamp
        return spec


async def write_lease(
    kube: KubeClient,
    namespace: str,
    name: str,
    *,
    seen: Observed | None,
    spec: KubeObject,
    deadline: Deadline,
    annotations: Mapping[str, str] | None = None,
) -> KubeObject:
    """Writes a Lease as it was seen; where there was none, creates it.

    Raises ReadAgain or AlreadyExists when it is no longer as it was seen.
    """
    metadata: KubeObject = {"annotations": dict(annotations)} if annotations is not None else {}
    if seen is not None:
        patch = {"metadata": {**metadata, "resourceVersion": seen.version}, "spec": spec}
        return await kube.patch(LEASES.item(namespace, name), patch, kind=PatchKind.MERGE, deadline=deadline)
    body: KubeObject = {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {**metadata, "name": name, "namespace": namespace},
        "spec": spec,
    }
    return await kube.create(LEASES.collection(namespace), body, deadline=deadline)


class LeaderElector:
    """Takes part in the election while `run` runs.

    on_started: called when this process becomes the leader. on_lost: called when it can no longer be sure to be,
    which should end the process: what it had begun may not go on. Neither may block.
    identity: unlike any other process', also of an earlier run under the same name.
    """

    def __init__(
        self,
        kube: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        on_started: Callable[[], None] | None = None,
        on_lost: Callable[[], None] | None = None,
        timing: ElectionTiming | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        random: Random = _random.random,
    ) -> None:
        self.election = Election(identity, timing or ElectionTiming(), clock)
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._on_started = on_started
        self._on_lost = on_lost
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._wrote = False

    def is_leader(self) -> bool:
        """Whether this process may act now. Ask right before every write."""
        return self.election.is_leader()

    async def run(self) -> None:
        """Takes part until it is cancelled, or until leadership is lost; then it returns.

        Cancelled as the leader it releases the lease, so that the next one need not wait it out: whoever cancels
        it has ended all work that writes before. A leader whose
        time has run out never goes on by renewing: `on_lost` has been called.
        """
        try:
            while not await self._try():
                await self._sleep(self._spread())
            self._call(self._on_started, f"leading as {self.election.identity}")
            await self._renew()
            self._call(self._on_lost, "leadership is lost")
        except asyncio.CancelledError:
            await self._release()
            raise
        finally:
            self.election.lost()

    async def _renew(self) -> None:
        """Returns when leadership is lost."""
        while True:
            await self._sleep(self.election.timing.retry)
            # Asked before the renewal: whoever slept past its deadline is no leader, though nobody took the lease.
            if not self.election.is_leader():
                log.error("the lease was not renewed for %.0f s", self.election.timing.renew_deadline)
                return
            if not await self._try():
                seen = self.election.seen
                if seen is None or seen.holder != self.election.identity:
                    log.error("the lease is now held by %s", seen.holder if seen else "nobody")
                    return

    async def _try(self) -> bool:
        """One look and, where the lease is free or ours, one write. Whether we hold it by that write."""
        timing, election = self.election.timing, self.election
        deadline = Deadline.after(timing.retry, self._clock)
        path = LEASES.item(self._namespace, self._name)
        try:
            try:
                election.observe(await self._kube.get(path, deadline=deadline))
            except NotFound:
                election.observe(None)
            if not election.can_acquire():
                return False
            # Nobody may have been leader for a while: a leader of an earlier life does not come back to life.
            if election.leads and not election.is_leader():
                return False
            sent_at = self._clock()
            election.won(await self._write(deadline), sent_at)
        except (Conflict, AlreadyExists) as error:
            log.info("another was faster to write the lease: %s", error)
            return False
        except CallError as error:
            log.warning("the lease cannot be read or written: %s", error)
            return False
        except Exception:
            log.exception("the lease cannot be understood")
            return False
        return True

    async def _write(self, deadline: Deadline, *, release: bool = False) -> KubeObject:
        self._wrote = True
        spec = self.election.spec(datetime.now(UTC), release=release)
        return await write_lease(
            self._kube, self._namespace, self._name, seen=self.election.seen, spec=spec, deadline=deadline
        )

    async def _release(self) -> None:
        election = self.election
        election.lost()  # first: from here on nothing may act, whatever becomes of the release
        if not self._wrote:
            return
        path = LEASES.item(self._namespace, self._name)
        deadline = Deadline.after(election.timing.retry, self._clock)
        try:
            # Read anew: a renewal that was cancelled on its way may have arrived, also one that made us the holder.
            election.observe(await self._kube.get(path, deadline=deadline))
            if election.seen is not None and election.seen.holder == election.identity:
                await self._write(deadline, release=True)
                log.info("the lease is released")
        except CallError as error:
            log.warning("the lease could not be released, it runs out by itself: %s", error)

    def _spread(self) -> float:
        # Many candidates look at once otherwise, and all but one of their writes fail. Twice as often as it is renewed,
        # since a lease that is released is to be taken within two seconds.
        return self.election.timing.retry / 2 * (0.75 + 0.5 * self._random())

    def _call(self, hook: Callable[[], None] | None, what: str) -> None:
        log.info("%s", what)
        if hook is None:
            return
        try:
            hook()
        except Exception:
            log.exception("a leadership hook failed")
