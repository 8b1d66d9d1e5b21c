"""Prepares the context of one evaluation from its inputs."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace

from resilience_operator.api.spec import Mode
from resilience_operator.decision.analysis.judgement import CanaryContext
from resilience_operator.decision.analysis.scores import update_scores
from resilience_operator.decision.analysis.sequential import limit
from resilience_operator.decision.analysis.verdicts import MAX_UNKNOWN_INTERVALS, combine, last_known
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
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release import lifecycle
from resilience_operator.decision.release.attribution import update_baseline
from resilience_operator.decision.release.outage import follow_outage, shows_outage
from resilience_operator.decision.release.quarantine import current_quarantine
from resilience_operator.decision.reverts import PAUSED, current_reverts, record_revert, stopped_notices
from resilience_operator.decision.scaling.manual import detect_manual_scaling


@dataclass(slots=True)
class EvaluationContext:
    """The inputs of one evaluation, and what follows from the target alone. Not frozen, for speed.

    memory: the memory of this target (by UID). target: the target with the dry-run overlay.
    release, scaling: the memory updated from the target, before any rule is evaluated.
    same_release: the last evaluation analysed the same revision. analysed: a breach counts against the release.
    reverts: changes of the operator that others reverted.
    lookback: seconds for which a metrics gap is tolerated. notices: about the release and manual scaling.
    """

    policy: Policy
    memory: Memory
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
    """Prepare an evaluation. A signal without an observation counts as Unknown.

    shared_incident: other workloads came into breach at the same time.
    """
    if memory.target_uid != target.uid:
        # A different object with the same name: the memory of the old one does not apply.
        memory = Memory(target_uid=target.uid)
    if policy.mode is not Mode.DRY_RUN:
        memory = leave_dry_run(memory, target, now)
    patience = MAX_UNKNOWN_INTERVALS * policy.interval
    lookback = max(patience, policy.window)
    overlay = prune(memory.overlay, target)
    target = apply_overlay(target, overlay)
    signals = signal_views(policy, observations, now, patience, target.replicas)
    if policy.release.progress_deadline is not None and target.kind != "Deployment":
        target = replace(target, progress_deadline=policy.release.progress_deadline)
    still, ended = current_quarantine(memory.quarantined, policy, now)
    quarantined = {q.revision: q for q in still}
    ok_rules = _ok_rules(policy, memory, now - lookback)
    release, notices = lifecycle.advance(memory.release, policy, target, quarantined, ok_rules, now)
    analysed = release.phase in lifecycle.ANALYSED_PHASES
    # Breaches of one revision do not count against the next.
    same = memory.release is not None and release.continues(memory.release)
    reverts = current_reverts(memory.reverts, target, policy.generation, now)
    if memory.release is not None and (by := lifecycle.lifted_by(memory.release, target)) is not None and same:
        reverts, _ = record_revert(reverts, PAUSED, by, now, policy.generation)
        ended = (*ended, _pause_lifted(release, target, by))
    deployed = not same or target.revision != release.revision
    scaling, reverts, manual = detect_manual_scaling(
        _with_real_replicas(memory, overlay), reverts, target, policy.generation, now, deployed=deployed
    )
    if (not same or not analysed) and (release.scores or release.live is not None):
        release = replace(release, scores={}, live=None)
    not_a_baseline = {*quarantined, *release.charged} if release.charged else quarantined
    if analysed:
        fix = memory.release is not None and lifecycle.is_fix(memory.release)
        release = update_baseline(release, policy, signals, now, anew=not same and not fix)
        release = follow_outage(release, target, now)
        if not shows_outage(release, policy, now):
            release = update_scores(release, policy, signals, target, not_a_baseline, now)
    suspect = release.revision if analysed else release.rolled_from
    return EvaluationContext(
        policy,
        memory,
        target,
        overlay,
        signals,
        quarantined,
        release,
        same,
        analysed,
        canary_context(policy, release, suspect, not_a_baseline, now, shared_incident=shared_incident),
        scaling,
        reverts,
        notices + ended + manual + (stopped_notices(reverts, target, now) if reverts else ()),
        now,
        patience,
        lookback,
    )


def canary_context(
    policy: Policy,
    release: ReleaseMemory,
    revision: str | None,
    quarantined: Container[str],
    now: float,
    *,
    shared_incident: bool = False,
) -> CanaryContext:
    """Return what a release is compared with. The tests of all rules share the budget of false alarms."""
    live = release.live.scores if release.live is not None else ()
    tests = len({*release.scores, *live}) or 1
    return CanaryContext(
        revision,
        quarantined,
        release.baseline,
        release.canary_measured_since,
        release,
        limit(policy.release.false_alarms, tests),
        now,
        policy.release.warm_up,
        shared_incident,
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


def _ok_rules(policy: Policy, memory: Memory, since: float) -> Iterator[str]:
    """Yield the rules that were Ok when last measured, at `since` or later. Only read when a release begins.

    A metrics gap at the start of a release therefore does not exempt it from analysis.
    """
    for rule in policy.rules:
        last = memory.rules.get(rule.name)
        if last and last.timers and combine(rule, [last_known(t, since) for t in last.timers]) is Verdict.OK:
            yield rule.name


def _with_real_replicas(memory: Memory, overlay: DryRunOverlay | None) -> ScalingMemory:
    """Return the scaling memory. After a real change ended a simulated size, it starts from the real size."""
    before = memory.overlay
    if before is None or before.replicas is None or (overlay is not None and overlay.replicas is not None):
        return memory.scaling
    return replace(memory.scaling, last_replicas=before.real_replicas)
