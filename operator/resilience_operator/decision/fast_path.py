"""The fast path: detects that `decide` would return the same result as last time.

In most evaluations each signal is on the same side of its threshold, the target is unchanged and no timer is due.
`decide` then returns the memory it was given, without commands or notices. `detect_steady_state` recognizes
such a decision and how long it may be reused. `SteadyState.still_valid` compares the judgements made since, with the
functions that `decide` uses. `SteadyState.still_valid_for` only compares numbers with bounds; it applies when all
conditions were within bounds and no release is analysed.

Anything crossed, paused, simulated by a dry run, in progress or about to scale down is always decided in full.
`tests/unit/decision/test_fast_path.py` holds the two paths together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from resilience_operator.decision.analysis.evidence import judge_all, judge_release
from resilience_operator.decision.analysis.verdicts import MAX_UNKNOWN_INTERVALS
from resilience_operator.decision.analysis.warm_up import effective
from resilience_operator.decision.context import canary_context
from resilience_operator.decision.decide import Decision
from resilience_operator.decision.fast_path_bounds import AHEAD, Bounds, ScalarSample, bounds_of, within
from resilience_operator.decision.model.memory import Memory, Phase, RuleMemory
from resilience_operator.decision.model.observation import Observation, signal_views
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release.freeze import without_freeze
from resilience_operator.decision.scaling.bounds import can_scale_down

_WITHIN_BOUNDS = {"WithinBounds", False}
"""The only values in the result of `_judgements` if no condition is crossed and none is Unknown."""

ROUNDING = 0.01
"""Seconds before a timer is due at which the fast path ends, because sums of times are rounded."""


@dataclass(frozen=True, slots=True)
class SteadyState:
    """A steady decision: its inputs and its judgements.

    since, until: no timer is due between these times (seconds since the epoch). until may be infinite.
    bounds: set if every condition was within bounds, so that comparing numbers is sufficient; else None.
    """

    policy: Policy
    target: TargetState
    memory: Memory
    judgements: tuple[object, ...]
    since: float
    until: float
    bounds: tuple[Bounds, ...] | None

    def still_valid_for(
        self, policy: Policy, numbers: Mapping[str, ScalarSample], target: TargetState, memory: Memory, now: float
    ) -> bool:
        """Return whether plain numbers show that it is still valid. `still_valid` agrees for the same observations."""
        return (
            self.bounds is not None and self._applies(policy, target, memory, now) and within(self.bounds, numbers, now)
        )

    def still_valid(
        self,
        policy: Policy,
        observations: Mapping[str, Observation],
        target: TargetState,
        memory: Memory,
        now: float,
    ) -> bool:
        """Return whether `decide` would return the same memory and verdicts, without commands or notices."""
        return (
            self._applies(policy, target, memory, now)
            and _judgements(policy, observations, memory, self.target, now) == self.judgements
        )

    def _applies(self, policy: Policy, target: TargetState, memory: Memory, now: float) -> bool:
        """Return whether it was made from these inputs and no timer is due."""
        return (
            policy is self.policy
            and memory is self.memory
            and self.since <= now < self.until - ROUNDING
            and (target is self.target or target == self.target)
        )


def detect_steady_state(
    decision: Decision, observations: Mapping[str, Observation], target: TargetState, before: Memory
) -> SteadyState | None:
    """Return the steady state of `decision`, or None. `before`, `target`: the inputs of the decision."""
    policy, memory = decision.policy, kept_memory(before, decision.memory)
    if decision.commands or decision.notices or memory != before or not _at_rest(memory, target):
        return None
    release = memory.release
    assert release is not None
    until = inf if decision.wake is None else decision.wake
    if can_scale_down(policy, memory.scaling, target):
        return None
    judgements = _judgements(policy, observations, before, target, decision.at)
    if judgements is None:
        return None
    all_within = release.phase is Phase.STABLE and _WITHIN_BOUNDS.issuperset(judgements)
    return SteadyState(
        policy, target, memory, judgements, decision.at, until, bounds_of(policy) if all_within else None
    )


def kept_memory(before: Memory, after: Memory) -> Memory:
    """Return the memory to keep: the object from before if nothing changed, not even what is not compared.

    Not compared are the counts of the last good state, what is learned of the load, and the tests of a release as they
    are in this process.
    """
    if after != before or after.good_counts is not before.good_counts or _learned(after) != _learned(before):
        return after
    release = before.release
    return before if release is None or after.release is None or after.release.live is release.live else after


def _learned(memory: Memory) -> tuple[object, ...]:
    return memory.scaling.load, memory.scaling.needs


def report_fingerprint(decision: Decision) -> tuple[object, ...]:
    """Return the parts of a decision, besides its memory, whose change requires a status write."""
    return (
        decision.target,
        tuple([(s.name, s.verdict, s.since, s.reason, s.note) for s in decision.signals]),
        tuple([r.release_verdict for r in decision.rules]),
    )


def _at_rest(memory: Memory, target: TargetState) -> bool:
    """Return whether only a new measurement or a change of the target can change the decision."""
    release = memory.release
    if release is None or release.phase not in (Phase.STABLE, Phase.BAKING):
        return False
    if memory.freeze is not None:
        target = without_freeze(target, memory.freeze, release)
    if target.paused or target.progress_deadline_exceeded or target.revision != release.revision:
        return False
    if (
        release.paused is not None
        or release.unmeasured is not None
        or (release.baseline and release.canary_measured_since is None)
    ):
        return False
    if release.health is not None and release.health.stuck_since is not None:
        return False
    if target.hold_marked:
        return False  # its source may have changed
    if memory.overlay is not None or any(q.revision == release.revision for q in memory.quarantined):
        return False
    return not any(_has_running_timers(rule) for rule in memory.rules.values())


def _has_running_timers(rule: RuleMemory) -> bool:
    timers = (*rule.timers, *rule.release_timers)
    return (
        rule.breach is not None or rule.release_breach_since is not None or any(t.crossed is not None for t in timers)
    )


def _judgements(
    policy: Policy, observations: Mapping[str, Observation], memory: Memory, target: TargetState, now: float
) -> tuple[object, ...] | None:
    """Return the judgements of all conditions without their numbers; None if one of them is not steady.

    Unknown is steady for the whole target, but not for a release in its bake, because the bake then stops.
    """
    signals = signal_views(policy, observations, now, MAX_UNKNOWN_INTERVALS * policy.interval, target.replicas)
    release = memory.release
    assert release is not None
    canary = None
    if release.phase is Phase.BAKING:
        if any(view.observation.since is not None for view in signals.values()):
            return None  # each evaluation adds evidence
        warm_up = effective(policy.release, memory.warm_up_seconds)
        canary = canary_context(policy, release, release.revision, (), now, warm_up=warm_up)
    found: list[object] = []
    for rule in policy.rules:
        guards = canary is not None and rule.guards_release
        for condition in rule.conditions:
            view = signals[condition.signal]
            judged = judge_all(condition, *view)
            if judged.crossed:
                return None
            if rule.follows_load and judged.value is not None and judged.value > AHEAD * condition.threshold:
                return None
            found += (judged.reason, judged.crossed, judged.value is None)
            if guards and canary is not None:
                against = judge_release(condition, *view, canary, ok_before=True)
                if against.crossed is not False:
                    return None
    return tuple(found)
