"""Where a release stands: followed from the target's state, without judging it.

Stable → Progressing → Baking → Stable, with Paused in between when somebody paused it, and
RollingBack → RolledBack → Stable after a rollback. A change of scale is no release.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace

from resilience_operator.decision.commands import Notice
from resilience_operator.decision.memory import Phase, ReleaseMemory
from resilience_operator.decision.people import is_by_hand, manager_name
from resilience_operator.decision.policy import Policy
from resilience_operator.decision.target import MANAGER, TargetState

UNDER_WATCH = (Phase.PROGRESSING, Phase.PAUSED, Phase.BAKING)
"""Phases in which a breach counts against the release."""


def follow(
    release: ReleaseMemory | None,
    policy: Policy,
    target: TargetState,
    quarantined: Container[str],
    ok_rules: Iterable[str],
    now: float,
    notices: list[Notice],
) -> ReleaseMemory:
    """The release after looking at the target; the same object when nothing moved.

    ok_rules: rules that were Ok at the last evaluation. What people are to be told is added to `notices`.
    """
    if release is None:
        return _first_sight(policy, target, now)
    # During a rollback the controller may not have seen the restored template yet; that is no new release.
    awaited = (None, release.revision) if release.phase is Phase.ROLLING_BACK else (release.revision,)
    if target.revision not in awaited:
        release = _new_revision(release, target, quarantined, ok_rules, now)
    release = _follow_pause(release, target, now)
    if target.paused and release.paused is None:
        who = manager_name(target.paused_by)
        notices.append(
            Notice(
                f"manual-pause/{release.revision}",
                "ManualPause",
                f"{who} paused the rollout of {target.kind} {target.name}; the operator will neither resume it nor "
                "roll it back",
            )
        )
    if release.hands_off and release.phase in UNDER_WATCH:
        notices.append(
            Notice(
                f"hands-off/{release.revision}",
                "HandsOff",
                f"{manager_name(target.template_by)} overruled the operator on revision {release.revision}: it is "
                "watched, and no longer paused or rolled back",
            )
        )
    return _follow_rollout(release, policy, target, now)


def _first_sight(policy: Policy, target: TargetState, now: float) -> ReleaseMemory:
    """A target that is fully rolled out starts in its bake, unless its revision is older than that."""
    current = target.find(target.revision)
    if target.paused and target.paused_by == MANAGER:
        # A pause of the operator's own whose reason is not remembered: `judging` lifts it unless it is needed still.
        return ReleaseMemory(Phase.PAUSED, now, target.revision, paused=now)
    if target.rolled_out and current is not None:
        if now - current.created >= policy.release.bake:
            return ReleaseMemory(Phase.STABLE, now, current.name, good=current.name)
        return ReleaseMemory(Phase.BAKING, now, current.name, ready=now)
    return ReleaseMemory(Phase.PAUSED if target.paused else Phase.PROGRESSING, now, target.revision)


def _new_revision(
    release: ReleaseMemory,
    target: TargetState,
    quarantined: Container[str],
    ok_rules: Iterable[str],
    now: float,
) -> ReleaseMemory:
    if release.paused is not None and target.paused:
        # The template changed under the operator's own pause. It is lifted by `judging.act`, which needs to see
        # for which revision it was made; the new release begins then.
        return release
    begun = release.phase in (Phase.PROGRESSING, Phase.PAUSED) and release.revision is None
    return replace(
        release,
        phase=Phase.PROGRESSING,
        since=release.since if begun else now,
        revision=target.revision,
        ready=None,
        unmeasured=None,
        ok_before=release.ok_before if begun else tuple(sorted(ok_rules)),
        paused=None,
        paused_rule="",
        held=False,
        hands_off=target.revision in quarantined and is_by_hand(target.template_by),
        rolled_from=None,
    )


def _follow_pause(release: ReleaseMemory, target: TargetState, now: float) -> ReleaseMemory:
    if target.paused:
        if release.phase in (Phase.PROGRESSING, Phase.BAKING):
            ours = target.paused_by == MANAGER
            return replace(release, phase=Phase.PAUSED, since=now, paused=now if ours else None)
        return release
    if release.phase is not Phase.PAUSED:
        return release
    overruled = release.paused is not None
    return replace(
        release,
        phase=Phase.PROGRESSING,
        since=now,
        paused=None,
        held=False,
        hands_off=release.hands_off or overruled,
    )


def _follow_rollout(release: ReleaseMemory, policy: Policy, target: TargetState, now: float) -> ReleaseMemory:
    complete = target.rolled_out and target.revision == release.revision
    match release.phase:
        case Phase.PROGRESSING if complete:
            return replace(release, phase=Phase.BAKING, since=now, ready=now)
        case Phase.ROLLING_BACK if complete:
            return replace(release, phase=Phase.ROLLED_BACK, since=now)
        case Phase.ROLLED_BACK if now - release.since >= policy.release.bake:
            return replace(release, phase=Phase.STABLE, since=now)
        case _:
            return release


def bake(
    release: ReleaseMemory,
    policy: Policy,
    *,
    measured: bool,
    clean: bool,
    now: float,
    notices: list[Notice],
) -> ReleaseMemory:
    """The bake after one more evaluation. What could not be measured does not count as watched.

    measured: every rule that guards releases had a verdict. clean: none of them is crossed.
    """
    if release.phase is not Phase.BAKING or release.ready is None:
        return release
    ready = release.ready
    if not measured:
        if release.unmeasured is None:
            release = replace(release, unmeasured=now)
    elif release.unmeasured is not None:
        ready += now - release.unmeasured
        release = replace(release, ready=ready, unmeasured=None)
    if now - ready < policy.release.bake:
        return release
    if not measured:
        notices.append(
            Notice(
                f"unmeasured/{release.revision}",
                "BakeUnmeasured",
                f"revision {release.revision} cannot be called good: its signals were not measured for a whole bake",
                warning=True,
            )
        )
        return release
    if not clean:
        return release
    notices.append(
        Notice(
            f"good/{release.revision}",
            "ReleaseGood",
            f"revision {release.revision} was watched for its bake and is the last known good one",
        )
    )
    return replace(release, phase=Phase.STABLE, since=now, good=release.revision, unmeasured=None)
