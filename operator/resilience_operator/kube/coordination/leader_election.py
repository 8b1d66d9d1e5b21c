"""Leader election on a Lease: at most one process acts, even if processes die or freeze at any moment.

    t0               renew_deadline (6 s)         lease_duration (10 s by default)
    ├── the leader acts ──┤── it no longer acts ──┤── others may take the lease

- The Lease's resourceVersion is the lock: of two concurrent writes, the API server accepts one.
- Each process measures time only on its own monotonic clock. An observer counts `lease_duration` from when *it* last
  saw the Lease change; the times in the Lease are for people. Clocks of two machines are never compared.
- The leader counts from *before* it sent its last successful renewal, and stops acting `renew_deadline` later. An
  observer saw that renewal after it was sent, so it waits at least until `lease_duration` after that moment. The
  margin (4 s) covers a call that started just before the deadline, and clocks that run at different speeds.
- `is_leader()` reads the clock on each call. A process that was frozen past its deadline gets False on its first call,
  before any of its timers has run.

A lease cannot prevent this: a write that was sent before the process froze may arrive later. Each write of the operator
has its own precondition, so a late write fails if the next leader has changed the fields that it was based on.
The protocol follows https://pkg.go.dev/k8s.io/client-go/tools/leaderelection (which does not compare clocks either).
"""

from __future__ import annotations

import asyncio
import logging
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
from resilience_operator.resilience.retry import spread

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ElectionTiming:
    """Timing of the election, in seconds.

    lease_duration: a lease that is unchanged for this long may be acquired.
    renew_deadline: the leader stops acting if it has not renewed for this long.
    retry: time between two renewals; an observer reads the lease twice as often.
    """

    lease_duration: float = 10.0
    renew_deadline: float = 6.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.renew_deadline < self.lease_duration:
            raise ValueError("need 0 < retry < renew_deadline < lease_duration")

    @classmethod
    def of(cls, lease_duration: float) -> ElectionTiming:
        """Return the timing for a lease of that many seconds, in the proportions of the default."""
        return cls(lease_duration, 0.6 * lease_duration, 0.2 * lease_duration)


@dataclass(frozen=True, slots=True)
class Observed:
    """A Lease as last observed. changed_at: when (own monotonic clock) this state was first observed."""

    holder: str
    version: str
    duration: float
    transitions: int
    changed_at: float


class Election:
    """The election rules, pure: takes observed and written Leases, and decides whether to lead or to acquire."""

    def __init__(self, identity: str, timing: ElectionTiming, clock: Clock = time.monotonic) -> None:
        self.identity = identity
        self.timing = timing
        self._clock = clock
        self._seen: Observed | None = None
        self._missing_since: float | None = None
        self._lead_until: float | None = None

    def is_leader(self) -> bool:
        """Whether this process may act now."""
        return self._lead_until is not None and self._clock() < self._lead_until

    @property
    def leads(self) -> bool:
        """Whether it became leader and has not observed a loss. Its time may already be over."""
        return self._lead_until is not None

    @property
    def seen(self) -> Observed | None:
        return self._seen

    def observe(self, lease: KubeObject | None) -> None:
        """Record a Lease as read; None if there is none."""
        if lease is None:
            if self._seen is not None:
                self._missing_since = self._clock()
            self._seen = None
            return
        self._missing_since = None
        version = str(lease["metadata"]["resourceVersion"])
        if self._seen is not None and self._seen.version == version:
            return
        spec = lease.get("spec") or {}
        self._seen = Observed(
            holder=str(spec.get("holderIdentity") or ""),
            version=version,
            # Another version of this program may use a longer lease duration.
            duration=max(float(spec.get("leaseDurationSeconds") or 0), self.timing.lease_duration),
            transitions=int(spec.get("leaseTransitions") or 0),
            changed_at=self._clock(),
        )

    def can_acquire(self) -> bool:
        """Whether the lease is free: never created, released, our own, or unchanged for its whole duration.

        A lease that was deleted under its holder is also acquired only after the holder's time is over.
        """
        seen = self._seen
        if seen is None:
            waited = self._missing_since is None or self._clock() - self._missing_since > self.timing.lease_duration
            return waited or self.is_leader()
        if seen.holder in ("", self.identity):
            return True
        return self._clock() - seen.changed_at > seen.duration

    def won(self, lease: KubeObject, sent_at: float) -> None:
        """Record a successful write that makes us the holder. sent_at: the clock before it was sent."""
        self.observe(lease)
        self._lead_until = sent_at + self.timing.renew_deadline

    def lost(self) -> None:
        """Record the loss of leadership: another process may lead from now on."""
        self._lead_until = None

    def spec(self, now: datetime, *, release: bool = False) -> KubeObject:
        """The Lease's `spec` that acquires, renews or releases it. now: the wall clock, only for people."""
        seen = self._seen
        ours = seen is not None and seen.holder == self.identity
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: KubeObject = {
            "holderIdentity": None if release else self.identity,
            # At least 1, as the API requires; observers use their own `lease_duration`.
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
    """Update the observed Lease, or create it if there was none.

    Raises Conflict or AlreadyExists if it has changed since it was observed.
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

    on_started: called when this process becomes the leader. on_lost: called when leadership is lost or uncertain. It
    should end the process, because work in progress must not continue. Neither may block.
    identity: unique for each process, also among earlier runs of a pod with the same name.
    """

    def __init__(
        self,
        kube: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: ElectionTiming,
        on_started: Callable[[], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self.election = Election(identity, timing)
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._on_started = on_started
        self._on_lost = on_lost
        self._wrote = False

    def is_leader(self) -> bool:
        """Whether this process may act now. Call directly before each write."""
        return self.election.is_leader()

    async def run(self) -> None:
        """Take part until cancelled or until leadership is lost; then return.

        A cancelled leader releases the lease, so that the next leader does not wait for its expiry. The caller must
        end all writing work before it cancels. A leader whose time is over does not renew: `on_lost` has been called.
        """
        try:
            while not await self._try():  # noqa: ASYNC110 (it polls the API server)
                await asyncio.sleep(self._spread())
            self._call(self._on_started, f"leading as {self.election.identity}")
            await self._renew()
            self._call(self._on_lost, "leadership is lost")
        except asyncio.CancelledError:
            await self._release()
            raise
        finally:
            self.election.lost()

    async def _renew(self) -> None:
        """Renew the lease; return when leadership is lost."""
        while True:
            await asyncio.sleep(self.election.timing.retry)
            # Checked before the renewal: a process that slept past its deadline is not the leader any more.
            if not self.election.is_leader():
                log.error("the lease was not renewed for %.0f s", self.election.timing.renew_deadline)
                return
            if not await self._try():
                seen = self.election.seen
                if seen is None or seen.holder != self.election.identity:
                    log.error("the lease is now held by %s", seen.holder if seen else "nobody")
                    return

    async def _try(self) -> bool:
        """Read the lease and, if it is free or ours, write it once. Returns whether that write succeeded."""
        timing, election = self.election.timing, self.election
        deadline = Deadline.after(timing.retry)
        path = LEASES.item(self._namespace, self._name)
        try:
            try:
                election.observe(await self._kube.get(path, deadline=deadline))
            except NotFound:
                election.observe(None)
            if not election.can_acquire():
                return False
            # There may have been no leader for a while, so a former leader must not continue as leader.
            if election.leads and not election.is_leader():
                return False
            sent_at = time.monotonic()
            election.won(await self._write(deadline), sent_at)
        except (Conflict, AlreadyExists) as error:
            log.info("another replica wrote the lease first: %s", error)
            return False
        except CallError as error:
            log.warning("the lease cannot be read or written: %s", error)
            return False
        except Exception:
            log.exception("the lease is invalid")
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
        election.lost()  # first, so that nothing acts from now on, even if the release fails
        if not self._wrote:
            return
        path = LEASES.item(self._namespace, self._name)
        deadline = Deadline.after(election.timing.retry)
        try:
            # Read again: a cancelled renewal may have succeeded, and may have made us the holder.
            election.observe(await self._kube.get(path, deadline=deadline))
            if election.seen is not None and election.seen.holder == election.identity:
                await self._write(deadline, release=True)
                log.info("the lease is released")
        except CallError as error:
            log.warning("the lease could not be released and will expire: %s", error)

    def _spread(self) -> float:
        # Jitter: otherwise candidates read at the same time and all writes but one fail. Reads are twice as frequent as
        # renewals, so that a released lease is acquired within two seconds.
        return spread(self.election.timing.retry / 2, 0.25)

    def _call(self, hook: Callable[[], None] | None, what: str) -> None:
        log.info("%s", what)
        if hook is None:
            return
        try:
            hook()
        except Exception:
            log.exception("a leadership hook failed")
