"""One policy in the cache: what its spec compiles to, its state, and what was last reported."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from resilience_operator.api.pause import Pause
from resilience_operator.api.status import Condition, PolicyStatus, TargetStatus
from resilience_operator.api.v1alpha1 import InvalidPolicy
from resilience_operator.decision.fast_path import SteadyState
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import Revision
from resilience_operator.runtime.cache.packed_status import EMPTY
from resilience_operator.runtime.cache.source_catalog import ReadyProblem
from resilience_operator.runtime.telemetry.history import EvaluationHistory
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.status.history import DecisionHistory

TargetKey = tuple[str, str, str]
"""(kind, namespace, name)."""


class StatusSummary(NamedTuple):
    """The part of a policy's status that is read often."""

    conditions: tuple[Condition, ...] = ()
    target: TargetStatus | None = None


@dataclass(slots=True)
class StatusProblem:
    """Why a policy's status could not be read. written: first shown at, in seconds since the epoch, or 0."""

    message: str
    written: float = 0.0


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """What follows from one generation of the spec. Written by the policy cache; replaced as a whole.

    policy: None if the spec is invalid; `problem` then holds the reason. unreadable: the object cannot be decoded.
    signals: queried from its metric source. zone_signals: names of the signals computed from the nodes.
    shared_queries_only: it has no custom query, so it is evaluated together with its cohort.
    """

    target: TargetKey
    generation: int = 0
    api_version: str = ""
    kind: str = ""
    policy: Policy | None = None
    problem: InvalidPolicy | None = None
    unreadable: bool = False
    signals: tuple[Signal, ...] = ()
    zone_signals: tuple[str, ...] = ()
    source: str = "default"
    source_problem: ReadyProblem | None = None
    preset_family: str = "http-generic"
    shared_queries_only: bool = False


@dataclass(slots=True)
class Reported:
    """What was last reported of a policy, and what still is to be. Written by the reconciler and by reporting.

    pending: still to be written to the status, the newest: a skip reason or an evaluation. None: nothing.
    digest: of the significant part of the status that was last written.
    fingerprint: of the last decision, if its status is written and nothing was pending; else None.
    steady_state: set if the last evaluation would be repeated unchanged.
    skip: the skip reason that was last written.
    status_problem: why the status could not be read, or None. rewrite: replace the whole status instead of merging,
    because a merge would keep the unreadable part.
    failure: stage and type of the last unexpected error, logged at `failure_logged` (seconds since the epoch).
    """

    pending: object = None
    digest: bytes | None = None
    fingerprint: tuple[object, ...] | None = None
    steady_state: SteadyState | None = None
    skip: object = None
    status_problem: StatusProblem | None = None
    rewrite: bool = False
    failure: str = ""
    failure_logged: float = 0.0

    def invalidate(self) -> None:
        """Forget what the last evaluation reported, so that the next one is reported in full."""
        self.pending = self.fingerprint = self.steady_state = self.skip = None


@dataclass(slots=True)
class PolicyEntry:
    """A policy in the cache.

    created: seconds since the epoch. phase_offset: within the interval, 0 to 1. pause: from the annotations; it may
    have expired.
    compiled: from the spec. memory, history, evaluation_history: the state that evaluations leave. reported: what was
    last reported of it. While it is processed, it is in `WorkQueue.processing`.
    status: a summary. packed_status: the whole status at `resource_version`.
    requests: queries for its metric source, valid for the revisions in `requests_for`. requests_watched: they are for
    a release that is analysed.
    configuration_problem: why what its target's template reads is not included, or None.
    evaluation_history: points for the dashboard's charts, if they are kept.
    """

    uid: str
    namespace: str
    name: str
    resource_version: str
    created: float
    compiled: CompiledPolicy
    phase_offset: float = 0.0
    pause: Pause | None = None
    deleted: bool = False
    memory: Memory = field(default_factory=Memory)
    history: DecisionHistory = field(default_factory=DecisionHistory)
    status: StatusSummary = field(default_factory=StatusSummary)
    packed_status: bytes = EMPTY
    evaluation_history: EvaluationHistory | None = None
    reported: Reported = field(default_factory=Reported)
    requests: tuple[SignalRequest, ...] = ()
    requests_for: tuple[Revision, ...] | None = None
    requests_watched: bool = False
    configuration_problem: ReadyProblem | None = None

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        return self.namespace, self.name

    @property
    def policy(self) -> Policy | None:
        """The compiled policy, or None if the spec is invalid."""
        return self.compiled.policy

    @property
    def target(self) -> TargetKey:
        """The key of the target."""
        return self.compiled.target

    @property
    def interval(self) -> float:
        """Seconds between two evaluations."""
        policy = self.compiled.policy
        return policy.interval if policy is not None else 60.0


_NONE: set[str] = set()
"""Shared `fields_set` of all cached models: nothing reads it, and one set per model would take half of the memory."""


def status_summary(status: PolicyStatus) -> StatusSummary:
    """Return the summary of a status. It shares the models of `status`."""
    for model in (*status.conditions, status.target):
        if model is not None:
            object.__setattr__(model, "__pydantic_fields_set__", _NONE)
    return StatusSummary(status.conditions, status.target)


@lru_cache(maxsize=1024)
def phase_offset_of(uid: str) -> float:
    """Return the phase offset within the interval, 0 to 1: evenly spread, and stable across restarts."""
    return zlib.crc32(uid.encode()) / 2**32
