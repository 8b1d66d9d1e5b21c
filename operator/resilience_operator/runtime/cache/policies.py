"""Policy cache, indexed by uid and by target. Filled by watch and lists; parses each spec once per generation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import replace
from typing import Any

from resilience_operator.api.orders import Orders, read_orders
from resilience_operator.api.pause import MOST_SHOWN, read_pause
from resilience_operator.api.spec import asks_alone
from resilience_operator.api.status import PolicyStatus
from resilience_operator.api.v1alpha1 import InvalidPolicy, Problem, parse_policy
from resilience_operator.decision.model.compile import compile_policy, signals_of
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.memory_codec import load_memory
from resilience_operator.kube.cache.hpa import kind_key
from resilience_operator.kube.cache.workloads import epoch
from resilience_operator.kube.client.decoding import Unreadable
from resilience_operator.runtime.cache.packed_status import EMPTY, pack, unpack
from resilience_operator.runtime.cache.policy_entry import (
    CompiledPolicy,
    PolicyEntry,
    StatusProblem,
    StatusSummary,
    TargetKey,
    phase_offset_of,
    status_summary,
)
from resilience_operator.runtime.cache.source_catalog import SourceCatalog
from resilience_operator.runtime.containment import Stage, contain
from resilience_operator.signals.model import Signal
from resilience_operator.signals.query.cohorts import Cohorts
from resilience_operator.status.history import DecisionHistory

MAX_TOMBSTONES = 10_000
"""Deleted uids to keep, so that an older list does not restore a deleted policy."""


_SPEC_KEYS = ("apiVersion", "kind", "metadata", "spec")


class PolicyCache:
    """Policies by uid.

    dry_run: the operator as a whole is in dry-run mode. sources: metric sources that policies may use. cohorts: resized
    with the number of policies and namespaces.
    """

    def __init__(
        self, *, dry_run: bool = False, sources: SourceCatalog | None = None, cohorts: Cohorts | None = None
    ) -> None:
        self._dry_run = dry_run
        self._sources = sources
        self._cohorts = cohorts or Cohorts()
        self._namespaces: Counter[str] = Counter()
        self._by_uid: dict[str, PolicyEntry] = {}
        self._dropped: dict[str, None] = {}
        self._by_target: dict[TargetKey, list[PolicyEntry]] = {}

    def __len__(self) -> int:
        return len(self._by_uid)

    def __iter__(self) -> Iterator[PolicyEntry]:
        return iter(tuple(self._by_uid.values()))

    def get(self, uid: str) -> PolicyEntry | None:
        """Return the policy with that uid, or None."""
        return self._by_uid.get(uid)

    def upsert(self, body: Mapping[str, Any]) -> tuple[PolicyEntry, bool]:
        """Store a policy as the API server returned it. The flag is True if the policy must be evaluated.

        An event older than the cached version, for example from before our own write, changes nothing.
        """
        meta = body["metadata"]
        entry = self._by_uid.get(meta["uid"])
        version = str(meta["resourceVersion"])
        if entry is None:
            entry = self._new(body)
            if entry.uid in self._dropped:  # from a list that started before the deletion
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
        if int(meta.get("generation", 0)) == entry.compiled.generation and not entry.compiled.unreadable:
            ordered = self._take_orders(entry, read_orders(meta.get("annotations")))
            return entry, ordered or entry.pause != paused
        self._replace(entry, self._read_spec(body))
        return entry, True

    def put_unreadable(self, found: Unreadable) -> tuple[PolicyEntry | None, bool]:
        """Store a policy that cannot be decoded. Returns the same as `upsert`; None if its identity is unknown.

        Its earlier spec no longer counts: it is not evaluated until it can be decoded. If only the status cannot be
        decoded, the status is replaced and the policy is evaluated without memory.
        """
        if not (found.uid and found.name):
            return None, False
        if found.partial is not None and all(field.startswith("status") for field in found.damaged):
            known = self._by_uid.get(found.uid)
            version = known.resource_version if known is not None else ""
            entry, needs_evaluation = self.upsert(found.partial)
            if entry.resource_version == version:
                return entry, False
            lose_memory(entry, ValueError(found.reason))
            return entry, needs_evaluation or not entry.deleted
        before = self._by_uid.get(found.uid)
        target = before.target if before is not None else ("", "", "")
        if before is not None and not is_older(before.resource_version, found.resource_version):
            return before, False
        entry, _ = self.upsert(found.partial or {"metadata": found.metadata})
        compiled = entry.compiled
        if found.partial is None and before is not None:
            # It still owns its target, so a paused rollout stays paused.
            compiled = replace(compiled, target=target)
        problem = InvalidPolicy([Problem("", f"the policy cannot be read: {found.reason}")])
        self._replace(entry, replace(compiled, policy=None, problem=problem, unreadable=True))
        return entry, not entry.deleted

    def remove(self, uid: str) -> PolicyEntry | None:
        """Remove a deleted policy; returns its entry, if there was one."""
        entry = self._by_uid.pop(uid, None)
        if entry is not None:
            entry.deleted = True
            self._dropped[uid] = None
            if len(self._dropped) > MAX_TOMBSTONES:
                del self._dropped[next(iter(self._dropped))]
            self._unlink(entry, entry.target)
            self._count(entry, -1)
        return entry

    def prune(self, seen: Set[str], version: str = "") -> list[PolicyEntry]:
        """Remove policies that are missing from a full list, and return them.

        seen: uids in the list. version: resourceVersion of the list. Policies with a newer version are kept: the watch
        has seen them since.
        """
        missing = [
            uid for uid, e in self._by_uid.items() if uid not in seen and not is_older(version, e.resource_version)
        ]
        return [dropped for uid in missing if (dropped := self.remove(uid)) is not None]

    def policies_on(self, target: TargetKey) -> list[PolicyEntry]:
        """Return all policies on a target, the active one (the oldest) first."""
        return sorted(self._by_target.get(target, ()), key=lambda e: (e.created, e.uid))

    def targets(self) -> Iterable[TargetKey]:
        """Return every target that a policy references."""
        return self._by_target.keys()

    def _new(self, body: Mapping[str, Any]) -> PolicyEntry:
        meta = body["metadata"]
        entry = PolicyEntry(
            uid=meta["uid"],
            namespace=meta["namespace"],
            name=meta["name"],
            resource_version=str(meta["resourceVersion"]),
            created=epoch(meta.get("creationTimestamp")),
            compiled=self._read_spec(body),
            phase_offset=phase_offset_of(meta["uid"]),
            pause=read_pause(meta.get("annotations")),
        )
        try:
            entry.packed_status = pack(body.get("status") or {})
        except Exception as error:
            _lose_status(entry, error)
        if not entry.reported.rewrite:
            self.restore_from_status(entry)
        return entry

    def _read_status(self, entry: PolicyEntry, body: Mapping[str, Any]) -> None:
        try:
            status = body.get("status") or {}
            known, found = entry.packed_status, pack(status)
            if found == known:
                return
            changed = entry.reported.rewrite or status.get("memory") != unpack(known).get("memory")
        except Exception as error:
            _lose_status(entry, error)
            return
        entry.packed_status = found
        if changed:
            # Another replica wrote this status: it has evaluated the policy since.
            self.restore_from_status(entry)

    def restore_from_status(self, entry: PolicyEntry) -> None:
        """Load memory and history from the status. Unreadable parts are discarded and will be replaced."""
        try:
            status = PolicyStatus.model_validate(unpack(entry.packed_status))
        except Exception as error:
            _lose_status(entry, error)
            return
        entry.status, entry.history = status_summary(status), DecisionHistory(status.history)
        entry.reported.digest = None
        entry.reported.invalidate()
        try:
            memory = load_memory(status.memory) if status.memory is not None else Memory()
        except Exception as error:
            lose_memory(entry, error)
            return
        if status.memory is not None:
            # Another writer has since written a readable status.
            entry.reported.rewrite, entry.reported.status_problem = False, None
        entry.memory = memory

    def _read_spec(self, body: Mapping[str, Any]) -> CompiledPolicy:
        """Parse the spec of a new generation. An error affects only this policy."""
        meta = body["metadata"]
        generation = int(meta.get("generation", 0))
        problem: InvalidPolicy
        compiled = CompiledPolicy(("", meta["namespace"], ""), generation)
        try:
            reference = (body.get("spec") or {}).get("targetRef") or {}
            api_version, kind = str(reference.get("apiVersion", "")), str(reference.get("kind", ""))
            target = (kind_key(api_version, kind), str(meta["namespace"]), str(reference.get("name", "")))
            compiled = CompiledPolicy(target, generation, api_version, kind)
            return self._compile(compiled, body)
        except InvalidPolicy as error:
            problem = error
        except Exception as error:
            contain(Stage.SPEC, meta["namespace"], meta["name"], error)
            problem = InvalidPolicy([Problem("spec", f"cannot be read: {error}")])
        return replace(compiled, problem=problem)

    def _compile(self, compiled: CompiledPolicy, body: Mapping[str, Any]) -> CompiledPolicy:
        meta = body["metadata"]
        # The status is left out: an invalid status is not a problem of the spec.
        spec = parse_policy({key: body[key] for key in _SPEC_KEYS if key in body}).spec
        policy = compile_policy(
            spec,
            uid=meta["uid"],
            namespace=meta["namespace"],
            name=meta["name"],
            generation=compiled.generation,
            dry_run=self._dry_run,
            annotations=meta.get("annotations"),
        )
        source, source_problem = spec.metric_source.name or "default", None
        if self._sources is not None:
            source, source_problem = self._sources.find(
                spec.metric_source.type, spec.metric_source.name, meta["namespace"]
            )
        signals = tuple(
            Signal(
                name=s.name,
                preset=s.preset or "",
                query=s.query or "",
                window_seconds=policy.signals[s.name].window,
                samples_query=s.samples_query or "",
                min_samples=policy.signals[s.name].min_samples,
                unit=policy.signals[s.name].unit,
                container=s.container or "",
                paced=spec.interval is None and s.query is not None,
            )
            for s in signals_of(spec)
            if s.name in policy.signals and policy.signals[s.name].metered
        )
        return replace(
            compiled,
            policy=policy,
            signals=signals,
            zone_signals=tuple(name for name, signal in policy.signals.items() if not signal.metered),
            source=source,
            source_problem=source_problem,
            preset_family=spec.metric_source.preset,
            shared_queries_only=not asks_alone(spec),
        )

    def _take_orders(self, entry: PolicyEntry, orders: Orders) -> bool:
        """Put new orders from the annotations into the policy. Returns whether there are any."""
        policy = entry.compiled.policy
        if policy is None or policy.orders == orders:
            return False
        self._replace(entry, replace(entry.compiled, policy=replace(policy, orders=orders)))
        return True

    def _replace(self, entry: PolicyEntry, compiled: CompiledPolicy) -> None:
        """Swap in what a new generation compiles to."""
        target, entry.compiled = entry.target, compiled
        entry.requests, entry.requests_for = (), None
        entry.reported.invalidate()
        if entry.target != target:
            self._unlink(entry, target)
            self._by_target.setdefault(entry.target, []).append(entry)

    def _count(self, entry: PolicyEntry, change: int) -> None:
        self._namespaces[entry.namespace] += change
        if not self._namespaces[entry.namespace]:
            del self._namespaces[entry.namespace]
        self._cohorts.resize(len(self._by_uid), len(self._namespaces))

    def _unlink(self, entry: PolicyEntry, target: TargetKey) -> None:
        others = [e for e in self._by_target.get(target, ()) if e is not entry]
        if others:
            self._by_target[target] = others
        else:
            self._by_target.pop(target, None)


def _lose_status(entry: PolicyEntry, error: Exception) -> None:
    """Discard a status that cannot be read. The policy restarts without memory and reports it."""
    contain(Stage.STATUS, *entry.key, error, known=entry.reported.rewrite)
    entry.packed_status, entry.status, entry.history = EMPTY, StatusSummary(), DecisionHistory()
    _reset_state(entry, f"the status could not be read ({_short(error)})")


def lose_memory(entry: PolicyEntry, error: Exception) -> None:
    """Discard the memory of a policy, and report it in the policy's status."""
    contain(Stage.STATUS, *entry.key, error, known=entry.reported.rewrite)
    entry.packed_status = pack({key: value for key, value in unpack(entry.packed_status).items() if key != "memory"})
    _reset_state(entry, f"status.memory could not be used ({_short(error)})")


def _reset_state(entry: PolicyEntry, why: str) -> None:
    entry.memory = Memory()
    entry.reported.invalidate()
    entry.reported.digest, entry.reported.rewrite = None, True
    entry.reported.status_problem = StatusProblem(
        f"{why}, so what was remembered is lost: timers, cooldowns and the last good revision start anew. The operator "
        "has replaced the status and goes on. Nobody but the operator should write resiliencepolicies/status"
    )


def _short(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def is_older(version: str, known: str) -> bool:
    """Return True if `version` is older than `known`.

    Kubernetes resourceVersions of one resource can be compared as integers (KEP-5504, comparable resource versions).
    """
    return version.isdecimal() and known.isdecimal() and int(version) < int(known)
