"""One policy as the process holds it."""

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
"""kind, namespace, name."""


@dataclass(slots=True)
class StatusProblem:
    """Why a policy's status could not be read. written: when this was shown first, seconds since the epoch, or 0."""

    message: str
    written: float = 0.0


@dataclass(slots=True)
class PolicyEntry:
    """What is known of a policy, and what the last evaluation left.

    policy is None when the spec cannot work: then `problem` says why. unreadable: it cannot even be decoded.
    created: seconds since the epoch.
    signals: those that its metric source is asked for. zone_signals: names of those that the nodes tell.
    status: a part of it (`headline`). raw_status: all of it as the API server has it at `resource_version`, JSON.
    essence: a digest of what of it was last written.
    requests: what its metric source is asked for, about the revisions of `requests_for`.
    gist: of the last decision, when it was written and nothing had to be done. steady: where that one was at rest;
    without a gist it is still to be written.
    refusal: why it was not evaluated, when that was written last.
    evaluating: the number of the batch in which it is being evaluated, or 0. began: when that one, or the last one,
    began (monotonic seconds). busy: it has its turn, or is written down.
    shared: no query is asked on its account alone, so that its beat is that of all who share the answers.
    behind: (kind, name, resourceVersion) of what the last actions wrote: until the watch shows it, what is in
    memory of the target is older than what the operator did, and nothing is decided on it.
    pause: what the annotations ask for, which may have run out.
    track: what this process found at its evaluations, where that is kept.
    failure: the stage and type of the last unexpected error, logged at `failure_logged` (seconds since the epoch).
    status_problem: why the status could not be read; empty when it could. rewrite: the status in the API server is to
    be replaced as a whole, since merging would keep what cannot be read.
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
    journal: DecisionHistory = field(default_factory=DecisionHistory)
    status: PolicyStatus = field(default_factory=PolicyStatus)
    raw_status: bytes = b"{}"
    status_digest: bytes | None = None
    requests: tuple[SignalRequest, ...] = ()
    requests_for: tuple[Revision, ...] | None = None
    reported_fingerprint: tuple[object, ...] | None = None
    steady_state: SteadyState | None = None
    reported_skip: object = None
    shared_queries_only: bool = False
    awaiting_cache: tuple[tuple[str, str, int], ...] = ()
    awaiting_since: float = 0.0
    relists: int = 0
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
        """namespace, name."""
        return self.namespace, self.name

    @property
    def interval(self) -> float:
        """Seconds between evaluations."""
        return self.policy.interval if self.policy is not None else 60.0


_NONE: set[str] = set()
"""In place of a set for each model of which of its fields were given: nobody asks, and they take half of the memory."""


def status_summary(status: PolicyStatus) -> PolicyStatus:
    """Of a status, what is looked at all the time: its conditions and its target."""
    conditions = tuple(Condition.model_construct(_NONE, **dict(c)) for c in status.conditions)
    target = TargetStatus.model_construct(_NONE, **dict(status.target)) if status.target is not None else None
    return PolicyStatus.model_construct(_NONE, conditions=conditions, target=target)


def compact_json(status: Mapping[str, Any]) -> bytes:
    """A status as JSON, to be kept. A copy, since orjson's own result takes four kilobytes however short it is."""
    return bytes(memoryview(orjson.dumps(status)))


@lru_cache(maxsize=1024)
def phase_offset_of(uid: str) -> float:
    """Where in its interval something is due, 0 to 1: spread evenly, and the same after a restart."""
    return zlib.crc32(uid.encode()) / 2**32
