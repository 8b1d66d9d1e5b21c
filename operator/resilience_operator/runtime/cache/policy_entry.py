"""One policy in the cache: its compiled spec, its state, and what was last reported."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from resilience_operator.api.pause import Pause
from resilience_operator.api.status import Condition, PolicyStatus, TargetStatus
from resilience_operator.api.v1alpha1 import InvalidPolicy
from resilience_operator.decision.fast_path import SteadyState
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import Revision
from resilience_operator.runtime.cache.source_catalog import ReadyProblem
from resilience_operator.runtime.telemetry.history import EvaluationHistory
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.status.history import DecisionHistory

TargetKey = tuple[str, str, str]
"""(kind, namespace, name)."""


@dataclass(slots=True)
class StatusProblem:
    """Why a policy's status could not be read. written: first shown at, in seconds since the epoch, or 0."""

    message: str
    written: float = 0.0


@dataclass(slots=True)
class PolicyEntry:
    """A policy in the cache, with the result of its last evaluation.

    policy: None if the spec is invalid; `problem` then holds the reason. unreadable: the object cannot be decoded.
    created: seconds since the epoch.
    signals: queried from its metric source. zone_signals: names of the signals computed from the nodes.
    status: a summary (`status_summary`). raw_status: the whole status at `resource_version`, as JSON.
    status_digest: digest of the significant part of the status that was last written.
    requests: queries for its metric source, valid for the revisions in `requests_for`. requests_watched: they are for
    a release that is analysed.
    reported_fingerprint: of the last decision, if its status is written and nothing was pending; None means the status
    write is still due.
    steady_state: set if the last evaluation would be repeated unchanged.
    reported_skip: the skip reason that was last written.
    batch_id: number of the batch that evaluates it, or 0. started_at: start of that or the last evaluation (monotonic
    seconds). locked: it is being evaluated or its status is being written.
    shared_queries_only: it has no custom query, so it is evaluated together with its cohort.
    pause: from the annotations; it may have expired.
    evaluation_history: points for the dashboard's charts, if they are kept.
    failure: stage and type of the last unexpected error, logged at `failure_logged` (seconds since the epoch).
    status_problem: why the status could not be read, or None. rewrite: replace the whole status instead of merging,
    because a merge would keep the unreadable part.
    """

    uid: str
    namespace: str
    name: str
    generation: int
    resource_version: str
    created: float
    target: TargetKey
    api_version: str = "apps/v1"
    kind: str = ""
    policy: Policy | None = None
    problem: InvalidPolicy | None = None
    unreadable: bool = False
    signals: tuple[Signal, ...] = ()
    zone_signals: tuple[str, ...] = ()
    source: str = "default"
    source_problem: ReadyProblem | None = None
    preset_family: str = "http-generic"
    memory: Memory = field(default_factory=Memory)
    history: DecisionHistory = field(default_factory=DecisionHistory)
    status: PolicyStatus = field(default_factory=PolicyStatus)
    raw_status: bytes = b"{}"
    status_digest: bytes | None = None
    requests: tuple[SignalRequest, ...] = ()
    requests_for: tuple[Revision, ...] | None = None
    requests_watched: bool = False
    reported_fingerprint: tuple[object, ...] | None = None
    steady_state: SteadyState | None = None
    reported_skip: object = None
    shared_queries_only: bool = False
    pause: Pause | None = None
    batch_id: int = 0
    started_at: float = 0.0
    locked: bool = False
    deleted: bool = False
    phase_offset: float = 0.0
    evaluation_history: EvaluationHistory | None = None
    failure: str = ""
    failure_logged: float = 0.0
    status_problem: StatusProblem | None = None
    rewrite: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        return self.namespace, self.name

    @property
    def interval(self) -> float:
        """Seconds between two evaluations."""
        return self.policy.interval if self.policy is not None else 60.0


_NONE: set[str] = set()
"""Shared `fields_set` of all cached models: nothing reads it, and one set per model would take half of the memory."""


def status_summary(status: PolicyStatus) -> PolicyStatus:
    """Return the part of a status that is read often: conditions and target."""
    conditions = tuple(Condition.model_construct(_NONE, **dict(c)) for c in status.conditions)
    target = TargetStatus.model_construct(_NONE, **dict(status.target)) if status.target is not None else None
    return PolicyStatus.model_construct(_NONE, conditions=conditions, target=target)


def compact_json(status: Mapping[str, Any]) -> bytes:
    """Serialize a status for the cache. Copied, because orjson's own result occupies 4 KiB however short it is."""
    return bytes(memoryview(orjson.dumps(status)))


@lru_cache(maxsize=1024)
def phase_offset_of(uid: str) -> float:
    """Return the phase offset within the interval, 0 to 1: evenly spread, and stable across restarts."""
    return zlib.crc32(uid.encode()) / 2**32
