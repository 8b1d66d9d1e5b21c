"""All policies, by uid and by target. Filled from the watch and from lists; parses each spec once a generation."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import orjson

from resilience_operator.api.pause import read_pause
from resilience_operator.api.spec import asks_itself
from resilience_operator.api.status import PolicyStatus
from resilience_operator.api.v1alpha1 import InvalidPolicy, Problem, parse_policy
from resilience_operator.decision.model.compile import compile_policy, signals_of
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.memory_codec import UnreadableMemory, load_memory
from resilience_operator.kube.decoding import Unreadable
from resilience_operator.kube.workloads import epoch
from resilience_operator.runtime.entry import Entry, TargetKey, headline, packed, phase_of
from resilience_operator.runtime.sources import SourceBook
from resilience_operator.signals.crowds import Crowds
from resilience_operator.signals.model import Signal
from resilience_operator.status.render import DecisionHistory

log = logging.getLogger(__name__)

MOST_DROPPED = 10_000
"""Deleted policies that are remembered, by uid, so that an older list does not bring them back."""


class PolicyStore:
    """Policies by uid. dry_run: the operator as a whole only rehearses. sources: those that policies may name.

    crowds: divided as there are more or fewer policies.
    """

    def __init__(
        self, *, dry_run: bool = False, sources: SourceBook | None = None, crowds: Crowds | None = None
    ) -> None:
        self._dry_run = dry_run
        self._sources = sources
        self._crowds = crowds or Crowds()
        self._namespaces: Counter[str] = Counter()
        self._by_uid: dict[str, Entry] = {}
        self._dropped: dict[str, None] = {}
        self._by_target: dict[TargetKey, list[Entry]] = {}

    def __len__(self) -> int:
        return len(self._by_uid)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._by_uid.values()))

    def get(self, uid: str) -> Entry | None:
        """The policy with that uid."""
        return self._by_uid.get(uid)

    def put(self, body: Mapping[str, Any]) -> tuple[Entry, bool]:
        """Take a policy in as the API server has it. The flag tells whether it has to be looked at anew.

        An event that is older than what is known (of a write of our own, say) changes nothing.
        """
        meta = body["metadata"]
        entry = self._by_uid.get(meta["uid"])
        version = str(meta["resourceVersion"])
        if entry is None:
            entry = self._new(body)
            if entry.uid in self._dropped:  # a list that was begun before it was deleted
                entry.deleted = True
                return entry, False
            self._by_uid[entry.uid] = entry
            self._by_target.setdefault(entry.target, []).append(entry)
            self._count(entry, 1)
            return entry, True
        if version == entry.resource_version or is_older(version, entry.resource_version):
            return entry, False
        entry.resource_version = version
        self._read_status(entry, body)
        paused, entry.pause = entry.pause, read_pause(meta.get("annotations"))
        if int(meta.get("generation", 0)) == entry.generation:
            return entry, entry.pause != paused
        target = entry.target
        self._read_spec(entry, body)
        if entry.target != target:
            self._unlink(entry, target)
            self._by_target.setdefault(entry.target, []).append(entry)
        return entry, True

    def put_unreadable(self, found: Unreadable) -> tuple[Entry | None, bool]:
        """Take in a policy that cannot be read as a whole. As `put`; None where it cannot be told which it is.

        What it said before no longer counts: it is not evaluated until it can be read. Where only its status cannot
        be read, it is evaluated as one without that part of a status.
        """
        if not (found.uid and found.name):
            return None, False
        if found.partial is not None and all(field.startswith("status") for field in found.damaged):
            return self.put(found.partial)
        before = self._by_uid.get(found.uid)
        if before is not None and not is_older(before.resource_version, found.resource_version):
            return before, False
        target = before.target if before is not None else None
        entry, _ = self.put(found.partial or {"metadata": found.metadata})
        if found.partial is None and target is not None and entry.target != target:
            # It still guards what it guarded: what is paused there stays so.
            self._unlink(entry, entry.target)
            entry.target = target
            self._by_target.setdefault(target, []).append(entry)
        entry.policy, entry.problem = None, InvalidPolicy([Problem("", f"the policy cannot be read: {found.reason}")])
        entry.unreadable = True
        return entry, not entry.deleted

    def drop(self, uid: str) -> Entry | None:
        """Forget a policy that was deleted."""
        entry = self._by_uid.pop(uid, None)
        if entry is not None:
            entry.deleted = True
            self._dropped[uid] = None
            if len(self._dropped) > MOST_DROPPED:
                del self._dropped[next(iter(self._dropped))]
            self._unlink(entry, entry.target)
            self._count(entry, -1)
        return entry

    def drop_missing(self, seen: Set[str], version: str = "") -> list[Entry]:
        """Forget those that a full list no longer has, and return them.

        seen: uids in the list. version: its resourceVersion. What the watch has told of since is not gone for not being
        in it.
        """
        missing = [
            uid for uid, e in self._by_uid.items() if uid not in seen and not is_older(version, e.resource_version)
        ]
        return [dropped for uid in missing if (dropped := self.drop(uid)) is not None]

    def guarding(self, target: TargetKey) -> list[Entry]:
        """All policies on a target, the one that acts (the oldest) first."""
        return sorted(self._by_target.get(target, ()), key=lambda e: (e.created, e.uid))

    def targets(self) -> Iterable[TargetKey]:
        """Every target that some policy names."""
        return self._by_target.keys()

    def _new(self, body: Mapping[str, Any]) -> Entry:
        meta = body["metadata"]
        entry = Entry(
            uid=meta["uid"],
            namespace=meta["namespace"],
            name=meta["name"],
            generation=0,
            resource_version=str(meta["resourceVersion"]),
            created=epoch(meta.get("creationTimestamp")),
            target=("", meta["namespace"], ""),
            phase=phase_of(meta["uid"]),
            pause=read_pause(meta.get("annotations")),
        )
        entry.raw_status = packed(body.get("status") or {})
        self._read_spec(entry, body)
        self.recall(entry)
        return entry

    def _read_status(self, entry: Entry, body: Mapping[str, Any]) -> None:
        status = body.get("status") or {}
        known, entry.raw_status = entry.raw_status, packed(status)
        if entry.raw_status != known and status.get("memory") != orjson.loads(known).get("memory"):
            # Not of this process' writing: another leader went on with the policy.
            self.recall(entry)

    def recall(self, entry: Entry) -> None:
        """Take up what another process left in the status."""
        try:
            status = PolicyStatus.model_validate(orjson.loads(entry.raw_status))
            entry.memory = load_memory(status.memory) if status.memory is not None else Memory()
            entry.status, entry.journal = headline(status), DecisionHistory(status.history)
            entry.essence = entry.gist = entry.steady = entry.refusal = None
        except (ValueError, UnreadableMemory) as error:
            log.warning("policy %s/%s: its status cannot be read, it starts afresh: %s", *entry.key, error)

    def _read_spec(self, entry: Entry, body: Mapping[str, Any]) -> None:
        meta = body["metadata"]
        entry.generation = int(meta.get("generation", 0))
        entry.policy, entry.problem, entry.shared, entry.unreadable = None, None, False, False
        entry.requests, entry.requests_for, entry.gist, entry.steady, entry.refusal = (), None, None, None, None
        reference = (body.get("spec") or {}).get("targetRef") or {}
        entry.api_version, entry.kind = str(reference.get("apiVersion", "")), str(reference.get("kind", ""))
        entry.target = (_kind_key(entry), entry.namespace, str(reference.get("name", "")))
        try:
            spec = parse_policy(body).spec
        except InvalidPolicy as problem:
            entry.problem = problem
            return
        except Exception as error:  # one policy's trouble never harms another
            log.exception("policy %s/%s cannot be read", *entry.key)
            entry.problem = InvalidPolicy([Problem("spec", f"cannot be read: {error}")])
            return
        entry.policy = compile_policy(
            spec,
            uid=entry.uid,
            namespace=entry.namespace,
            name=entry.name,
            generation=entry.generation,
            dry_run=self._dry_run,
        )
        entry.source, entry.source_problem = spec.metric_source.name or "default", None
        if self._sources is not None:
            entry.source, entry.source_problem = self._sources.find(
                spec.metric_source.type, spec.metric_source.name, entry.namespace
            )
        entry.family = spec.metric_source.preset
        entry.shared = not asks_itself(spec)
        entry.signals = tuple(
            Signal(
                name=s.name,
                preset=s.preset or "",
                query=s.query or "",
                window_seconds=s.window,
                samples_query=s.samples_query or "",
                min_samples=entry.policy.signals[s.name].min_samples,
                unit=entry.policy.signals[s.name].unit,
            )
            for s in signals_of(spec)
            if s.name in entry.policy.signals and entry.policy.signals[s.name].metered
        )
        entry.zone_signals = tuple(name for name, signal in entry.policy.signals.items() if not signal.metered)

    def _count(self, entry: Entry, change: int) -> None:
        self._namespaces[entry.namespace] += change
        if not self._namespaces[entry.namespace]:
            del self._namespaces[entry.namespace]
        self._crowds.settle(len(self._by_uid), len(self._namespaces))

    def _unlink(self, entry: Entry, target: TargetKey) -> None:
        others = [e for e in self._by_target.get(target, ()) if e is not entry]
        if others:
            self._by_target[target] = others
        else:
            self._by_target.pop(target, None)


def is_older(version: str, known: str) -> bool:
    """Whether a resourceVersion is older than another.

    Kubernetes lets versions of one resource be compared as whole numbers (KEP-5504, comparable resource versions).
    """
    return version.isdigit() and known.isdigit() and int(version) < int(known)


def _kind_key(entry: Entry) -> str:
    """A kind's name within a TargetKey: two groups may each have a kind of the same name."""
    group = entry.api_version.rpartition("/")[0]
    return entry.kind if group == "apps" else f"{entry.kind}.{group}"
