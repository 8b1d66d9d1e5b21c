"""Prepares the context of one evaluation from its inputs."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass

from resilience_operator.api.spec import Mode
from resilience_operator.decision.analysis.judgement import NO_CANARY, CanaryContext
from resilience_operator.decision.analysis.scores import update_scores
from resilience_operator.decision.analysis.sequential import limit
from resilience_operator.decision.analysis.suspicion import is_suspect
from resilience_operator.decision.analysis.verdicts import MAX_UNKNOWN_INTERVALS, combine, last_known
from resilience_operator.decision.analysis.warm_up import effective
from resilience_operator.decision.configuration.adoption import adapt
from resilience_operator.decision.dry_run import apply_overlay, leave_dry_run, prune
from resilience_operator.decision.field_managers import display_name, how_to_stop
from resilience_operator.decision.model.commands import Notice
from resilience_operator.decision.model.memory import (
    DryRunOverlay,
    Memory,
    Quarantine,
    ReleaseMemory,
    Revert,
    ScalingMemory,
    Verdict,
)
from resilience_operator.decision.model.observation import Observation, SignalView, signal_views
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release import lifecycle
from resilience_operator.decision.release.attribution import update_baseline
from resilience_operator.decision.release.freeze import without_freeze
from resilience_operator.decision.release.goal import mark_failed
from resilience_operator.decision.release.good_counts import MAX_GAP, is_counted
from resilience_operator.decision.release.outage import follow_outage, shows_outage
from resilience_operator.decision.release.quarantine import current_quarantine, discharge
from resilience_operator.decision.reverts import PAUSED, current_reverts, record_revert, stopped_notices
from resilience_operator.decision.scaling.manual import detect_manual_scaling


@dataclass(slots=True)
class EvaluationContext:
    """The inputs of one evaluation, and what follows from the target alone. Not frozen, for speed.

    memory: the memory of this target (by UID). actual: the target with the dry-run overlay. target: the same apart
    from the pause for a freeze.
    release, scaling: the memory updated from the target, before any rule is evaluated.
    same_release: the last evaluation analysed the same revision; breaches of another do not count.
    analysed: a breach counts against the release.
    reverts: changes of the operator that others reverted.
    lookback: seconds for which a metrics gap is tolerated. notices: about the release and manual scaling.
    """

    policy: Policy
    memory: Memory
    actual: TargetState
    target: TargetState
    overlay: DryRunOverlay | None
    signals: Mapping[str, SignalView]
    quarantined: Mapping[str, Quarantine]
    release: ReleaseMemory
    same_release: bool
    analysed: bool
    canary: CanaryContext
    scaling: ScalingMemory
    reverts: tuple[Revert, ...]
    notices: tuple[Notice, ...]
    now: float
    patience: float
    lookback: float


def prepare(
    policy: Policy,
    observations: Mapping[str, Observation],
    target: TargetState,
    memory: Memory,
    now: float,
    *,
    shared_incident: bool = False,
) -> EvaluationContext:
    """Prepare an evaluation. A signal without an observation counts as Unknown. shared_incident: as in `decide`."""
    memory = adapt(_memory_of(memory, policy, target, now), target, now)
    patience = MAX_UNKNOWN_INTERVALS * policy.interval
    lookback = max(patience, policy.window)
    overlay = prune(memory.overlay, target) if memory.overlay is not None else None
    actual = _with_deadline(apply_overlay(target, overlay) if overlay is not None else target, policy)
    target = actual if memory.freeze is None else without_freeze(actual, memory.freeze, memory.release)
    signals = signal_views(policy, observations, now, patience, target.replicas)
    still, ended = current_quarantine(memory.quarantined, policy, now, memory.hold)
    quarantined = {q.revision: q for q in still} if still else {}
    memory = _mark_suspect(memory, policy, target)
    ok = _ok_rules(policy, memory, lookback, now)
    release, notices = lifecycle.advance(memory.release, policy, target, quarantined, ok, now)
    release = discharge(release, {q.revision for q in memory.quarantined} - quarantined.keys()) if ended else release
    analysed = release.phase in lifecycle.ANALYSED_PHASES
    same = memory.release is not None and release.continues(memory.release)
    by = lifecycle.lifted_by(memory.release, target) if memory.release is not None and same else None
    reverts = _reverts(memory, policy, target, by, now)
    if by is not None:
        ended = (*ended, _pause_lifted(release, target, by))
    deployed = not same or target.revision != release.revision
    scaling, reverts, manual = detect_manual_scaling(
        _with_real_replicas(memory, overlay), reverts, target, policy.generation, now, deployed=deployed
    )
    canary, suspect = NO_CANARY, release.revision if analysed else release.rolled_from
    if analysed or suspect is not None or release.scores or release.live is not None:
        excluded: Collection[str] = {*quarantined, *release.charged} if release.charged else quarantined
        warm_up = effective(policy.release, memory.warm_up_seconds)
        release = _with_counts(release, policy, signals, target, memory, excluded, same=same, warm_up=warm_up, now=now)
        if analysed or suspect is not None:
            canary = canary_context(policy, release, suspect, excluded, now, warm_up=warm_up, shared=shared_incident)
    return EvaluationContext(
        policy,
        memory,
        actual,
        target,
        overlay,
        signals,
        quarantined,
        release,
        same,
        analysed,
        canary,
        scaling,
        reverts,
        notices + ended + manual + (stopped_notices(reverts, target, now) if reverts else ()),
        now,
        patience,
        lookback,
    )


def _with_counts(
    release: ReleaseMemory,
    policy: Policy,
    signals: Mapping[str, SignalView],
    target: TargetState,
    memory: Memory,
    not_a_baseline: Collection[str],
    *,
    same: bool,
    warm_up: float,
    now: float,
) -> ReleaseMemory:
    """Return the release with its baseline, and with the requests since the last evaluation counted."""
    analysed = release.phase in lifecycle.ANALYSED_PHASES
    if (not same or not analysed) and (release.scores or release.live is not None):
        release = replace(release, scores={}, live=None)
    if not analysed:
        return release
    begins = not same and not _keeps_baseline(memory.release)
    release = update_baseline(release, policy, signals, now, anew=begins, good=memory.good_counts)
    return _with_evidence(release, policy, signals, target, not_a_baseline, now, warm_up=warm_up)


def _keeps_baseline(before: ReleaseMemory | None) -> bool:
    """Return whether a new release is compared with what was counted before the one that it replaces."""
    if before is None:
        return False
    return lifecycle.is_fix(before) or (lifecycle.is_unproven(before) and bool(before.baseline))


def _memory_of(memory: Memory, policy: Policy, target: TargetState, now: float) -> Memory:
    """Return the memory that applies to the target. That of another object with the same name does not."""
    if memory.target_uid != target.uid:
        memory = Memory(target_uid=target.uid)
    return memory if policy.mode is Mode.DRY_RUN else leave_dry_run(memory, target, now)


def _mark_suspect(memory: Memory, policy: Policy, target: TargetState) -> Memory:
    """Charge a release that fails by its counts when another revision replaces it before the proof is complete.

    Otherwise a fix that fails alike would be compared with it.
    """
    release = memory.release
    if release is None or release.phase not in lifecycle.ANALYSED_PHASES or target.revision in (None, release.revision):
        return memory
    return replace(memory, release=mark_failed(release)) if is_suspect(release, policy) else memory


def _with_deadline(target: TargetState, policy: Policy) -> TargetState:
    """Return the target with the policy's progress deadline, if its kind has none of its own."""
    deadline = policy.release.progress_deadline
    if deadline is None or target.kind == "Deployment":
        return target
    return replace(target, progress_deadline=deadline)


def _reverts(
    memory: Memory, policy: Policy, target: TargetState, lifted_by: str | None, now: float
) -> tuple[Revert, ...]:
    """Return how often other writers reverted the operator's changes. lifted_by: who has just lifted its pause."""
    reverts = current_reverts(memory.reverts, target, policy.generation, now)
    if lifted_by is None:
        return reverts
    return record_revert(reverts, PAUSED, lifted_by, now, policy.generation)[0]


def _with_evidence(
    release: ReleaseMemory,
    policy: Policy,
    signals: Mapping[str, SignalView],
    target: TargetState,
    not_a_baseline: Collection[str],
    now: float,
    *,
    warm_up: float,
) -> ReleaseMemory:
    """Return the release with the requests since the last evaluation counted, except those of an outage by strategy."""
    release = follow_outage(release, target, now)
    if shows_outage(release, policy, now):
        return release
    if release.unproven:
        not_a_baseline = {*release.unproven, *not_a_baseline}
    return update_scores(release, policy, signals, target, not_a_baseline, now, warm_up=warm_up)


def canary_context(
    policy: Policy,
    release: ReleaseMemory,
    revision: str | None,
    quarantined: Container[str],
    now: float,
    *,
    warm_up: float,
    shared: bool = False,
) -> CanaryContext:
    """Return what a release is compared with. The tests of all rules share the budget of false alarms."""
    live = release.live.scores if release.live is not None else ()
    tests = len({*release.scores, *live})
    if release.live is not None:
        tests += len(release.live.means)
    return CanaryContext(
        revision,
        quarantined,
        release.baseline,
        release.canary_measured_since,
        release,
        limit(policy.release.false_alarms, tests or 1),
        now,
        warm_up,
        shared,
    )


def _pause_lifted(release: ReleaseMemory, target: TargetState, by: str) -> Notice:
    who = display_name(by) if by else "A writer that replaced the whole object"
    return Notice(
        f"pause-lifted/{release.revision}",
        "PauseLifted",
        f"{who} lifted the operator's pause of {target.kind} {target.name} without changing the pod template. Revision "
        f"{release.revision} stays on trial: it is paused again or rolled back. To prevent this: "
        f"{how_to_stop(by, PAUSED)}",
        warning=True,
        transient=True,
    )


def _ok_rules(policy: Policy, memory: Memory, lookback: float, now: float) -> Iterator[str]:
    """Yield the rules that were Ok when last measured, at most `lookback` ago. Only read when a release begins.

    A metrics gap at the start of a release therefore does not exempt it from analysis. It may be longer for rules with
    counts of the last good state.
    """
    for rule in policy.rules:
        last = memory.rules.get(rule.name)
        gap = max(lookback, MAX_GAP) if is_counted(rule, memory.good_counts, now) else lookback
        since = now - gap
        if last and last.timers and combine(rule, [last_known(t, since) for t in last.timers]) is Verdict.OK:
            yield rule.name


def _with_real_replicas(memory: Memory, overlay: DryRunOverlay | None) -> ScalingMemory:
    """Return the scaling memory. After a real change ended a simulated size, it starts from the real size."""
    before = memory.overlay
    if before is None or before.replicas is None or (overlay is not None and overlay.replicas is not None):
        return memory.scaling
    return replace(memory.scaling, last_replicas=before.real_replicas)
