"""The fast path: whether deciding again could only come to what was decided last.

Nearly every evaluation finds every signal on the same side of its threshold, the same target, and no timer due. Then
`decide` gives back the memory that it was given, with nothing to do and nothing to tell. `steady_after` knows when a
decision was such a point of rest, and until when at most; `Steady.holds` compares what was measured since. It judges
with the very same functions as `decide`, and leaves out all that follows from a judgement. Where all was within bounds
and no release is watched, `Steady.holds_within` need not even judge: it compares numbers with limits.

Only what is at rest is taken: whatever is crossed, paused, rehearsed, under way or about to give pods back is decided
in full each time. `tests/unit/test_decision_steady.py` holds the two paths together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from resilience_operator.decision import scaling
from resilience_operator.decision.decide import Decision
from resilience_operator.decision.evidence import Trial, judge_all, judge_release
from resilience_operator.decision.limits import Limit, Number, limits_of, within
from resilience_operator.decision.memory import Memory, Phase, RuleMemory
from resilience_operator.decision.observation import Observation, views
from resilience_operator.decision.policy import Policy
from resilience_operator.decision.target import TargetState
from resilience_operator.decision.verdicts import PATIENCE

_WITHIN_BOUNDS = {"WithinBounds", False}
"""All that `_judgements` tells where no condition is crossed and none is unknown."""

ROUNDING = 0.01
"""Seconds before a timer is due from which it is decided in full: sums of moments are rounded."""


@dataclass(frozen=True, slots=True)
class Steady:
    """A decision at rest: what it was made from, and what its judgements were.

    since, until: between these moments (seconds since the epoch) no timer is due. until may be infinite.
    limits: where every condition was within its bounds, and it is enough that every number still is.
    """

    policy: Policy
    target: TargetState
    memory: Memory
    judgements: tuple[object, ...]
    since: float
    until: float
    limits: tuple[Limit, ...] | None

    def holds_within(
        self, policy: Policy, numbers: Mapping[str, Number], target: TargetState, memory: Memory, now: float
    ) -> bool:
        """Whether it holds, as far as bare numbers can tell: if so, `holds` says the same of their observations."""
        return (
            self.limits is not None and self._applies(policy, target, memory, now) and within(self.limits, numbers, now)
        )

    def holds(
        self,
        policy: Policy,
        observations: Mapping[str, Observation],
        target: TargetState,
        memory: Memory,
        now: float,
    ) -> bool:
        """Whether `decide` would come to the same: this very memory, no command, no notice, the same verdicts."""
        return (
            self._applies(policy, target, memory, now)
            and _judgements(policy, observations, memory, now) == self.judgements
        )

    def _applies(self, policy: Policy, target: TargetState, memory: Memory, now: float) -> bool:
        """Whether it is about these, and no timer is due."""
        return (
            policy is self.policy
            and memory is self.memory
            and self.since <= now < self.until - ROUNDING
            and (target is self.target or target == self.target)
        )


def steady_after(
    decision: Decision, observations: Mapping[str, Observation], target: TargetState, before: Memory
) -> Steady | None:
    """The point of rest that `decision` is; None where it is none. `before`, `target`: what it was made from."""
    policy, memory = decision.policy, decision.memory
    if decision.commands or decision.notices or memory != before or not _at_rest(memory, target):
        return None
    release = memory.release
    assert release is not None
    until = inf if decision.wake is None else decision.wake
    if scaling.may_give_back(policy, memory.scaling, target):
        # Only a release holds the pods, for as long as its bake is meant to last.
        held_until = release.since + policy.release.bake
        if release.phase is not Phase.BAKING or decision.at >= held_until:
            return None
        until = min(until, held_until)
    judgements = _judgements(policy, observations, before, decision.at)
    if judgements is None:
        return None
    all_within = release.phase is Phase.STABLE and _WITHIN_BOUNDS.issuperset(judgements)
    return Steady(policy, target, before, judgements, decision.at, until, limits_of(policy) if all_within else None)


def gist(decision: Decision) -> tuple[object, ...]:
    """What of a decision is worth a write, beside its memory."""
    return (
        decision.target,
        tuple([(s.name, s.verdict, s.since, s.reason) for s in decision.signals]),
        tuple([r.blame for r in decision.rules]),
    )


def _at_rest(memory: Memory, target: TargetState) -> bool:
    """Whether nothing in the memory waits for anything but a measurement or the target to change."""
    release = memory.release
    if release is None or release.phase not in (Phase.STABLE, Phase.BAKING):
        return False
    if target.paused or target.progress_deadline_exceeded or target.revision != release.revision:
        return False
    if release.paused is not None or release.unmeasured is not None or (release.before and release.began is None):
        return False
    if memory.shadow is not None or any(q.revision == release.revision for q in memory.quarantined):
        return False
    return not any(_excited(rule) for rule in memory.rules.values())


def _excited(rule: RuleMemory) -> bool:
    timers = (*rule.timers, *rule.blame)
    return rule.breach is not None or rule.guilty is not None or any(t.crossed is not None for t in timers)


def _judgements(
    policy: Policy, observations: Mapping[str, Observation], memory: Memory, now: float
) -> tuple[object, ...] | None:
    """What the judgements of all conditions are, without their numbers; None where one of them is no rest.

    Unknown is a rest for the whole target, and none for a release that is watched: its bake does not go on.
    """
    signals = views(policy, observations, now, PATIENCE * policy.interval)
    release = memory.release
    assert release is not None
    trial = None
    if release.phase is Phase.BAKING:
        trial = Trial(release.revision, (), release.before, release.began)
    found: list[object] = []
    for rule in policy.rules:
        guards = trial is not None and rule.guards_release
        for condition in rule.conditions:
            view = signals[condition.signal]
            judged = judge_all(condition, *view)
            if judged.crossed:
                return None
            found += (judged.reason, judged.crossed, judged.value is None)
            if guards and trial is not None:
                against = judge_release(condition, *view, trial, ok_before=True)
                if against.crossed is not False:
                    return None
    return tuple(found)
