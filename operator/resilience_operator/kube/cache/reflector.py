"""A reflector: keeps a projection of one API resource in memory, by one list and then watches.

    list (pages of 500, at the newest version) ──► watch ──► watch … from the last version seen, bookmarks included
      ▲ 410 Gone · every `relist_every` · requested · silence · several failures │
      └──────────────────────────────────────────────────────────────────────────┘
Each list drops the records that it does not contain, so deletions during a lost watch are noticed too. No error ends
the reflector: it backs off with full jitter and continues. `last_contact` gives the possible age of its records. An
object that cannot be read is dropped, since its previous record may be outdated; `unreadable` has the reason. Protocol:
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from resilience_operator.kube.cache.store import Index, Key, Store
from resilience_operator.kube.client.client import (
    PAGE,
    WATCH_LIFETIME,
    WATCH_SILENCE,
    Event,
    KubeClient,
    KubeObject,
)
from resilience_operator.kube.client.decoding import Unreadable, identified
from resilience_operator.kube.client.errors import DEPENDENCY
from resilience_operator.kube.client.paths import Resource
from resilience_operator.resilience import CallError, Deadline, Gone, RetryPolicy, TryAgain
from resilience_operator.resilience.retry import spread

log = logging.getLogger(__name__)

T = TypeVar("T")

Transform = Callable[[KubeObject, T | None], T | None]
"""(object, previous record or None) → record, or None to keep nothing. The previous record saves repeated work."""
OnUnreadable = Callable[[Key], None]
"""Called when an object cannot be read. Must not block; its exceptions are logged."""
OnChange = Callable[[T | None, T | None], None]
"""(old, new): (None, new) added, (old, None) deleted. Must not block; its exceptions are logged."""

LIST_TIMEOUT = 120.0
"""Seconds that a list may take, with all its pages."""
SHORT_WATCH = 1.0
"""A watch without events that ends within this many seconds counts as a failure, to avoid a tight loop."""
MOST_REASON = 300
"""Maximum length in characters of the reason why an object cannot be read."""
FAILURES_TO_RELIST = 5
"""Consecutive failures after which the reflector lists again, in case the version is invalid (a restored backup)."""


class WatchTiming(NamedTuple):
    """In seconds. relist_every: between two periodic lists, ± 20%. silence: after which a watch is not believed.

    backoff: delays between failures. `attempts` is ignored: the reflector never gives up.
    """

    relist_every: float = 600.0
    silence: float = WATCH_SILENCE
    backoff: RetryPolicy = RetryPolicy(base=0.5, cap=30.0)


DEFAULT_TIMING = WatchTiming()


class Reflector(Generic[T]):
    """Keeps a `Store` up to date with the API server while `run` runs.

    namespaces: the namespaces to watch, with one list and watch for each; empty: the whole cluster.
    """

    def __init__(
        self,
        kube: KubeClient,
        resource: Resource,
        transform: Transform[T],
        *,
        namespaces: Sequence[str] = (),
        indexes: Mapping[str, Index[T]] | None = None,
        on_change: OnChange[T] | None = None,
        on_unreadable: OnUnreadable | None = None,
        timing: WatchTiming = DEFAULT_TIMING,
    ) -> None:
        self.resource = resource
        self.store: Store[T] = Store(indexes)
        self.synced = asyncio.Event()
        self.on_change = on_change
        self.unreadable: dict[Key, str] = {}
        self._on_unreadable = on_unreadable
        self._kube = kube
        self._transform = transform
        self._timing = timing
        self._streams = [_Stream(self, namespace) for namespace in namespaces or (None,)]

    async def run(self) -> None:
        """Lists and watches until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(stream.run(), name=f"watch {self.resource.plural} {stream.namespace or ''}")

    def get(self, namespace: str, name: str) -> T | None:
        return self.store.get(namespace, name)

    def by(self, index: str, value: Hashable) -> list[T]:
        """The records with that value in that index."""
        return self.store.by_index(index, value)

    @property
    def last_contact(self) -> float | None:
        """When (on `clock`) the API server last confirmed the records; None before the first list.

        A bookmark confirms a quiet watch about once a minute, so an age of up to about 75 s is normal.
        """
        times = [stream.last_contact for stream in self._streams]
        return None if None in times else min(t for t in times if t is not None)

    def relist(self) -> None:
        """Request a new list soon, for a transform that now keeps more than before."""
        for stream in self._streams:
            stream.relist()

    def _upsert(self, obj: KubeObject) -> Key | None:
        """Store an object and return its key. An object that cannot be read is refused alone."""
        try:
            meta = obj["metadata"]
            key: Key = (sys.intern(meta.get("namespace", "")), meta["name"])
            record = self._transform(obj, self.store.get(*key))
        except Exception as error:
            log.debug("cannot read a %s", self.resource.kind, exc_info=True)
            return self._refuse(identified(obj, f"{type(error).__name__}: {error}"[:MOST_REASON]))
        if self.unreadable:
            self.unreadable.pop(key, None)
        self._change(key, record)
        return key

    def _refuse(self, found: Unreadable) -> Key | None:
        """Drop the record of an object that cannot be read. Returns its key, if that can be read."""
        self._kube.unreadable.report(self.resource.plural, found)
        if not found.name:
            return None
        key = (found.namespace, found.name)
        self.unreadable[key] = found.reason
        self._change(key, None)
        if self._on_unreadable is not None:
            self._call(self._on_unreadable, key)
        return key

    def _forget_unreadable(self, met: set[Key], namespace: str | None) -> None:
        """Forget the unreadable objects that the list no longer contains."""
        for key in [k for k in self.unreadable if k not in met and (namespace is None or k[0] == namespace)]:
            del self.unreadable[key]

    def _change(self, key: Key, record: T | None) -> None:
        change = self.store.put(key, record)
        if change is not None:
            self._notify(*change)

    def _notify(self, old: T | None, new: T | None) -> None:
        if self.on_change is not None:
            self._call(self.on_change, old, new)

    def _call(self, listener: Callable[..., None], *arguments: object) -> None:
        try:
            listener(*arguments)
        except Exception:
            log.exception("a listener for %s failed; the watch continues", self.resource.plural)


class _Stream(Generic[T]):
    """The list and watch of one namespace, or of all."""

    def __init__(self, reflector: Reflector[T], namespace: str | None) -> None:
        self.namespace = namespace
        self.last_contact: float | None = None
        self.listed = False
        self._of = reflector
        self._path = reflector.resource.collection(namespace)
        self._version = ""
        self._list_at = 0.0
        self._relist = False
        self._watching: asyncio.Timeout | None = None
        self._progress = 0

    def relist(self) -> None:
        self._relist = True
        if self._watching is not None and not self._watching.expired():
            self._watching.reschedule(0)  # ends the watch that runs

    async def run(self) -> None:
        failures = 0
        while True:
            progress, asked = self._progress, 0.0
            try:
                if self._must_list():
                    await self._list()
                await self._watch()
                failures = 0
                continue
            except Gone as error:
                log.info("%s: the version is gone, listing again: %s", self._path, error.message)
                self._version, reason = "", error.reason
            except CallError as error:
                log.warning("%s: %s", self._path, error)
                asked, reason = error.retry_after or 0.0, error.reason
            except Exception:
                log.exception("%s: unexpected error; continuing", self._path)
                reason = "error"
            # Progress since the last failure proves that the server works: restart with a short delay.
            failures = 0 if self._progress != progress else failures + 1
            if failures >= FAILURES_TO_RELIST:
                self._version = ""
            of = self._of
            delay = asked + of._timing.backoff.delay(failures, random.random)
            of._kube.retry.notify(dependency=DEPENDENCY, reason=reason, attempt=failures + 1, delay=delay)
            await asyncio.sleep(delay)

    def _must_list(self) -> bool:
        return not self._version or self._relist or time.monotonic() >= self._list_at

    async def _list(self) -> None:
        of = self._of
        self._relist = False
        began = time.monotonic()
        met: list[Key | None] = []
        version = ""
        deadline = Deadline.after(LIST_TIMEOUT)
        async for page in of._kube.pages(self._path, deadline=deadline, page=PAGE):
            met += [of._upsert(obj) for obj in page.items]
            met += [of._refuse(found) for found in page.unreadable]
            version = page.resource_version
            self._touch()
        keys = {key for key in met if key is not None}
        for dropped in of.store.retain(keys, self.namespace):
            of._notify(dropped, None)
        of._forget_unreadable(keys, self.namespace)
        self._version = version
        self._list_at = time.monotonic() + spread(of._timing.relist_every)
        self.listed = True
        if all(stream.listed for stream in of._streams):
            of.synced.set()
        log.debug("%s: %d listed in %.1f s", self._path, len(met), time.monotonic() - began)

    async def _watch(self) -> None:
        """Watch until the server ends the watch or the next list is due."""
        of = self._of
        left = max(1.0, self._list_at - time.monotonic())
        # Jitter, so that watches that were opened together do not all end together.
        lifetime = min(left, spread(WATCH_LIFETIME))
        async with of._kube.watch(self._path, self._version, lifetime=lifetime, silence=of._timing.silence) as events:
            opened, progress = time.monotonic(), self._progress
            self.last_contact = opened
            try:
                async with asyncio.timeout(None) as self._watching:
                    if self._relist:
                        return  # requested while the watch was being opened
                    async for event in events:
                        self._apply(event)
            except TimeoutError:
                if not self._relist:
                    raise
            except CallError:
                if time.monotonic() - self.last_contact >= of._timing.silence:
                    self._version = ""  # whatever swallowed its events may swallow those of the next watch
                raise
            finally:
                self._watching = None
                if time.monotonic() - opened >= SHORT_WATCH:
                    self._progress += 1
            if self._progress == progress and not self._relist:
                raise TryAgain("the watch ended at once", dependency=DEPENDENCY, reason="short_watch")

    def _apply(self, event: Event) -> None:
        of = self._of
        if isinstance(event, Unreadable):
            if not event.deleted:
                of._refuse(event)
            version = event.resource_version
        else:
            obj = event.get("object") or {}
            found = identified(obj, "")
            version = found.resource_version
            match event.get("type"):
                case "ADDED" | "MODIFIED":
                    of._upsert(obj)
                case "DELETED":
                    key = (found.namespace, found.name)
                    of.unreadable.pop(key, None)
                    of._change(key, None)
        # Set last, so that an event whose handling failed is received again. An event without a version is received
        # again if the watch ends before the next event; the next list skips it.
        self._version = version or self._version
        self._touch()

    def _touch(self) -> None:
        self.last_contact = time.monotonic()
        self._progress += 1
