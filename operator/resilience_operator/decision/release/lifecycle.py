"""The phases of a release, derived from the target's state alone.

Stable → Progressing → Baking → Stable, with Paused in between if it is paused, and
RollingBack → RolledBack → Stable after a rollback. Scaling is not a release. A new template is a release once its
controller has created a revision for it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from resilience_operator.decision.configuration.keep import in_effect
from resilience_operator.decision.configuration.names import content_of, template_of
from resilience_operator.decision.field_managers import display_name, is_manual, is_person, restates_manifest
from resilience_operator.decision.model.commands import Notice
from resilience_operator.decision.model.members import BAKING, PAUSED, PROGRESSING, ROLLED_BACK, ROLLING_BACK, STABLE
from resilience_operator.decision.model.memory import ConfigurationChange, Phase, ReleaseMemory, RollbackResult
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import MANAGER, TargetState

ANALYSED_PHASES = (PROGRESSING, PAUSED, BAKING)
"""Phases in which a breach counts against the release."""

MAX_UNPROVEN = 10
"""Revisions remembered as no baseline: as many as a workload keeps by default (`revisionHistoryLimit`)."""


def advance(
    release: ReleaseMemory | None,
    policy: Policy,
    target: TargetState,
    quarantined: Container[str],
    ok_rules: Iterable[str],
    now: float,
) -> tuple[ReleaseMemory, tuple[Notice, ...]]:
    """Return the release after comparing it with the target, and its notices; the same object if nothing changed.

    ok_rules: rules that were Ok at the last evaluation.
    """
    if release is None:
        release = _initial_state(policy, target, now)
    release = with_templates(release, target)
    if _is_another(release, target):
        release = _new_revision(release, target, quarantined, ok_rules, now)
    release = _follow_pause(release, target, now)
    release = _follow_rollout(release, policy, target, now)
    if target.paused or target.progress_deadline_exceeded or release.manual_override or release.phase is ROLLING_BACK:
        return release, tuple(_notices(release, policy, target, now))
    return release, ()


def _initial_state(policy: Policy, target: TargetState, now: float) -> ReleaseMemory:
    """Return the initial state. A fully rolled out target starts in its bake, or Stable if its revision is older."""
    current = target.find(target.revision)
    if target.rolled_out and current is not None:
        if now - current.created >= policy.release.bake:
            return ReleaseMemory(Phase.STABLE, now, current.name, good=current.name, good_template=current.template)
        return ReleaseMemory(Phase.BAKING, now, current.name, bake_started=now)
    return ReleaseMemory(Phase.PROGRESSING, now, target.revision)


def with_templates(release: ReleaseMemory, target: TargetState) -> ReleaseMemory:
    """Return the release with missing template digests: of a new revision, or from the memory of an older version.

    A running revision has the target's own template. A good revision that does not run is known by name only. Its
    stored template is used if it was created before the current phase began: a later one was never analysed. An edit
    before the upgrade cannot be detected.
    """
    if release.template or not target.template:
        return release
    template = _template_of(target, release.revision) if target.revision == release.revision else ""
    good = release.good_template
    if release.good is not None and not good:
        kept = target.find(release.good)
        if kept is not None and (release.good == target.revision or kept.created <= release.since):
            good = kept.template
    if (template, good) == (release.template, release.good_template):
        return release
    return replace(release, template=template, good_template=good)


def _is_another(release: ReleaseMemory, target: TargetState) -> bool:
    """Return whether the target's revision changed: another name, or another template with the same name."""
    if target.revision is None:
        return False
    return target.revision != release.revision or _template_of(target, target.revision) != release.template


def _template_of(target: TargetState, revision: str | None) -> str:
    found = target.find(revision)
    return found.template if found is not None else ""


def _new_revision(
    release: ReleaseMemory,
    target: TargetState,
    quarantined: Container[str],
    ok_rules: Iterable[str],
    now: float,
) -> ReleaseMemory:
    if release.paused is not None and target.paused:
        # The template changed during the operator's own pause. `remediation` lifts the pause and needs the paused
        # revision for that; the new release begins afterwards.
        return release
    begun = release.phase in (Phase.PROGRESSING, Phase.PAUSED) and release.revision is None
    change = _configuration_change(release, target, now)
    fix, unproven = is_fix(release), is_unproven(release)
    ok_before = release.ok_before if begun or fix else tuple(sorted(ok_rules))
    if unproven and not fix:
        # The predecessor may have broken a rule that was Ok before it.
        ok_before = tuple(sorted({*release.ok_before, *ok_before}))
    return replace(
        release,
        phase=Phase.PROGRESSING,
        since=release.since if begun else now,
        revision=target.revision,
        template=_template_of(target, target.revision),
        bake_started=None,
        unmeasured=None,
        observed_at=None,
        ok_before=ok_before,
        baseline=release.baseline if begun or fix or unproven else {},
        unproven=_with_unproven(release) if unproven else () if not fix else release.unproven,
        canary_measured_since=None,
        shared_breaches=(),
        paused=None,
        paused_rules=(),
        rollback_limit_reached=False,
        # Who wrote the template did not change the content.
        manual_override=change is None and target.revision in quarantined and is_manual(target.template_by),
        rolled_from=None,
        health=None,
        pause_marked=False,
        lifted_rules=(),
        resumes=0,
        held_unmeasured=False,
        ready_since=None,
        rollback_result=RollbackResult.OPEN,
        configuration=change,
        kept_content="",
    )


def _configuration_change(release: ReleaseMemory, target: TargetState, now: float) -> ConfigurationChange | None:
    """Return the change if the new revision has the same template as the one before, and reads another content."""
    found = target.configuration
    if found is None or release.revision is None or template_of(release.revision) != template_of(target.revision):
        return None
    before = found.objects_of(content_of(release.revision))
    changed = [key for key, digest in found.objects.items() if before is None or before.get(key) != digest]
    return ConfigurationChange(now, at_start=not found.at_start.isdisjoint(changed))


def is_fix(release: ReleaseMemory) -> bool:
    """Return whether the next revision replaces a charged release, which has not ended or was just rolled back.

    It is compared with the last good state, and not with the bad one.
    """
    if release.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
        return release.rollback_result is RollbackResult.OPEN
    return release.phase in ANALYSED_PHASES and bool(release.charged)


def is_unproven(release: ReleaseMemory) -> bool:
    """Return whether the next revision replaces one of which nobody knows yet whether it is good.

    It is then compared with the state before both of them. A revision that was measured to serve like its baseline, or
    whose pods were ready for a whole bake, is as good a baseline as any.
    """
    if release.phase not in ANALYSED_PHASES or release.revision is None or not release.ok_before:
        return False
    if any(s.revision == release.revision and s.template == release.template for s in release.served):
        return False
    scores = [x.score for x in release.live.scores.values()] if release.live is not None else release.scores.values()
    return not scores or any(score.served_clean is None for score in scores)


def _with_unproven(release: ReleaseMemory) -> tuple[str, ...]:
    assert release.revision is not None
    others = tuple(name for name in release.unproven if name != release.revision)
    return (*others, release.revision)[-MAX_UNPROVEN:]


def lifted_by(release: ReleaseMemory, target: TargetState) -> str | None:
    """Return the machine that lifted the operator's pause; empty if it has no name, None if it was not a machine.

    The API server records who sets a field, but not who removes it, as `kubectl rollout resume` does with `paused`.
    That leaves the annotation of the pause. A writer that replaces the object from a manifest removes it too.
    """
    if release.paused is None or release.phase is not Phase.PAUSED:
        return None
    return machine_that_resumed(target, marked=release.pause_marked)


def machine_that_resumed(target: TargetState, *, marked: bool) -> str | None:
    """Return the machine that resumed a paused rollout, as `lifted_by` does. marked: the annotation was there."""
    if target.paused:
        return None
    if target.resumed_by:
        return None if is_person(target.resumed_by) or target.resumed_by == MANAGER else target.resumed_by
    if marked and not target.pause_marked:
        return target.template_by if restates_manifest(target.template_by) else ""
    return None


def _follow_pause(release: ReleaseMemory, target: TargetState, now: float) -> ReleaseMemory:
    if not target.paused:
        if release.phase is not PAUSED:
            return release
        machine = lifted_by(release, target) is not None
        resumed_by_hand = release.paused is not None and not machine and target.resumed_by != MANAGER
        return replace(
            release,
            phase=Phase.PROGRESSING,
            since=now,
            paused=None,
            paused_rules=(),
            rollback_limit_reached=False,
            manual_override=release.manual_override or resumed_by_hand,
            lifted_rules=release.paused_rules if machine else (),
            pause_marked=False,
        )
    if target.paused_by == MANAGER:
        if release.paused is not None:
            return release if release.pause_marked is target.pause_marked else replace(release, pause_marked=True)
        # The operator's own pause, missing from the memory: `remediation` lifts it unless it is still needed.
        return replace(
            release, phase=Phase.PAUSED, since=now, paused=now, paused_rules=(), bake_started=None, unmeasured=None
        )
    if release.phase in (Phase.PROGRESSING, Phase.BAKING):
        return replace(release, phase=Phase.PAUSED, since=now, paused=None, bake_started=None, unmeasured=None)
    if release.paused is not None and target.paused_by:
        # Someone resumed and paused it again: the pause is now manual.
        return replace(release, paused=None, paused_rules=(), rollback_limit_reached=False)
    return release


def _follow_rollout(release: ReleaseMemory, policy: Policy, target: TargetState, now: float) -> ReleaseMemory:
    phase = release.phase
    if phase is ROLLED_BACK and now - release.since >= policy.release.bake:
        return replace(release, phase=STABLE, since=now)
    if phase is not PROGRESSING and phase is not ROLLING_BACK:
        return release
    if not (target.rolled_out and target.revision == release.revision and in_effect(release, policy, target, now)):
        return release
    if phase is ROLLING_BACK:
        return replace(release, phase=ROLLED_BACK, since=now)
    return replace(release, phase=BAKING, since=now, bake_started=now, observed_at=now)


def rollback_is_late(release: ReleaseMemory, policy: Policy, target: TargetState, now: float) -> bool:
    """Return whether a rollback exceeded the progress deadline.

    The condition may briefly be that of the failed release, so it counts from the second evaluation on.
    """
    if target.progress_deadline_exceeded and now - release.since >= policy.interval:
        return True
    return target.kind != "Deployment" and now - release.since >= target.progress_deadline


def _notices(release: ReleaseMemory, policy: Policy, target: TargetState, now: float) -> Iterator[Notice]:
    if target.paused and release.paused is None:
        yield Notice(
            f"manual-pause/{release.revision}",
            "ManualPause",
            f"{display_name(target.paused_by)} paused the rollout of {target.kind} {target.name}; the operator "
            "will neither resume it nor roll it back",
        )
    if release.manual_override and release.phase in ANALYSED_PHASES:
        yield Notice(
            f"hands-off/{release.revision}",
            "HandsOff",
            f"someone overrode the operator on revision {release.revision}: the operator observes it but no longer "
            "pauses it or rolls it back",
        )
    if release.phase is Phase.ROLLING_BACK and rollback_is_late(release, policy, target, now):
        yield Notice(
            f"rollback-stuck/{release.revision}",
            "RollbackStuck",
            f"revision {release.revision} was restored, but its pods did not become ready within the progress "
            "deadline: check the pods",
            warning=True,
        )
