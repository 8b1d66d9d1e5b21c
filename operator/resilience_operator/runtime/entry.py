"""One policy as the process holds it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.api.pause import Pause
from resilience_operator.api.status import PolicyStatus
from resilience_operator.api.v1alpha1 import InvalidPolicy
from resilience_operator.decision.memory import Memory
from resilience_operator.decision.policy import Policy
from resilience_operator.runtime.sources import Problem
from resilience_operator.runtime.track import Track
from resilience_operator.signals.model import Signal
from resilience_operator.status.render import Journal

TargetKey = tuple[str, str, str]
"""kind, namespace, name."""


@dataclass(slots=True)
class Entry:
    """What is known of a policy, and what the last evaluation left.

    policy is None when the spec cannot work: then `problem` says why. created: seconds since the epoch.
    signals: those that its metric source is asked for. zone_signals: names of those that the nodes tell.
    status, raw_status: as the API server has it at `resource_version`. essence: what of the status was last written.
    behind: (kind, name, resourceVersion) of what the last actions wrote: until the watch shows it, what is in
    memory of the target is older than what the operator did, and nothing is decided on it.
    pause: what the annotations ask for, which may have run out.
    track: what this process found at its evaluations, where that is kept.
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
    signals: tuple[Signal, ...] = ()
    zone_signals: tuple[str, ...] = ()
    source: str = "default"
    source_problem: Problem | None = None
    family: str = "http-generic"
    memory: Memory = field(default_factory=Memory)
    journal: Journal = field(default_factory=Journal)
    status: PolicyStatus = field(default_factory=PolicyStatus)
    raw_status: dict[str, Any] = field(default_factory=dict)
    essence: dict[str, Any] | None = None
    behind: tuple[tuple[str, str, int], ...] = ()
    behind_since: float = 0.0
    behind_lists: int = 0
    pause: Pause | None = None
    evaluating: bool = False
    deleted: bool = False
    phase: float = 0.0
    track: Track | None = None

    @property
    def key(self) -> tuple[str, str]:
        """namespace, name."""
        return self.namespace, self.name

    @property
    def interval(self) -> float:
        """Seconds between evaluations."""
        return self.policy.interval if self.policy is not None else 60.0


def phase_of(uid: str) -> float:
    """Where in its interval a policy is evaluated, 0 to 1: spread evenly, and the same after a restart."""
    return zlib.crc32(uid.encode()) / 2**32
