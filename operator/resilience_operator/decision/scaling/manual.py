"""Detects that somebody else changed the size of the target: its replicas, or the `minReplicas` of its HPA.

A person's number becomes the floor. A machine's number is only a state: it never becomes a floor, and it is a revert if
it undoes the operator's last change. An unknown manager's number becomes a floor, because keeping pods is safe.

A manifest with fewer replicas than the operator chose knows nothing of the load. If it is applied, the operator
restores its size at once (`bounds.restore_size`).
"""

from __future__ import annotations

from resilience_operator.decision.field_managers import ManagerKind, classify, display_name, restates_manifest
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.memory import Revert, ScalingMemory
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import MANAGER, TargetState
from resilience_operator.decision.reverts import MIN_REPLICAS, REPLICAS, describe_revert, record_revert
from resilience_operator.decision.scaling.bounds import via

_MANIFESTS = (ManagerKind.GITOPS, ManagerKind.HELM, ManagerKind.CI)

Found = tuple[ScalingMemory, tuple[Revert, ...], tuple[Notice, ...]]


def detect_manual_scaling(
    scaling: ScalingMemory,
    reverts: tuple[Revert, ...],
    target: TargetState,
    generation: int,
    now: float,
    *,
    deployed: bool = False,
) -> Found:
    """Return the scaling memory after comparing the size with the last one, the reverts, and notices.

    deployed: the pod template changed too. A deployment that resets the replicas is not a fight over them.
    """
    if scaling.baseline is None:
        scaling = replace(scaling, baseline=target.replicas, last_replicas=target.replicas)
    if target.hpa is not None:
        if target.replicas != scaling.last_replicas:
            scaling = replace(scaling, last_replicas=target.replicas, changed_from=None)
        return _minimum_changed(scaling, reverts, target, generation, now)
    if scaling.min_written is not None:
        scaling = replace(scaling, min_written=None, min_changed_from=None)
    if target.replicas == scaling.last_replicas:
        return scaling, reverts, ()
    if target.scaled_by == MANAGER:
        # The operator scaled, and the response was lost.
        return replace(scaling, last_replicas=target.replicas), reverts, ()
    return _replicas_changed(scaling, reverts, target, generation, now, deployed=deployed)


def _replicas_changed(
    scaling: ScalingMemory,
    reverts: tuple[Revert, ...],
    target: TargetState,
    generation: int,
    now: float,
    *,
    deployed: bool,
) -> Found:
    before, after, by = scaling.last_replicas, target.replicas, target.scaled_by
    found = replace(scaling, last_replicas=after, changed_from=None, stable_since=None, reset_from=None, reset_at=None)
    machine = restates_manifest(by)
    found = replace(found, manual_floor=None if machine else after)
    if machine and classify(by) in _MANIFESTS:
        found = replace(found, baseline=after)
        # Equal: the change was only simulated.
        written = scaling.changed_from not in (None, before)
        if written and before is not None and 0 < after < before:
            found = replace(found, reset_from=before, reset_at=now)
    notice = Notice(f"scaled/{after}", "ReplicasChanged", _changed(target, before, machine=machine), transient=True)
    if not machine:
        notice = replace(notice, key=f"manual-scale/{after}", reason="ManualScale")
    if not deployed and _undoes(scaling.changed_from, before, after):
        reverts, revert = record_revert(reverts, REPLICAS, by, now, generation)
        if machine:
            message = describe_revert(revert, target, before, after)
            notice = Notice(f"revert/{after}", "ReplicasReverted", message, warning=True, transient=True)
    return found, reverts, (notice,)


def _changed(target: TargetState, before: int | None, *, machine: bool) -> str:
    what = f"{display_name(target.scaled_by)} scaled {target.kind} {target.name} from {before} to {target.replicas}"
    if machine:
        return f"{what}; that is not a person's decision, so it is not a lower bound"
    return (
        f"{what}; the operator will not scale down below that. To end this, scale it to replicas.min, or to a number "
        "of your choice"
    )


def _undoes(start: int | None, written: int | None, now: int) -> bool:
    """Return whether `now` undoes a change from `start` to `written`, at least in part."""
    if start is None or written is None:
        return False
    return now < written if start < written else now > written


def _minimum_changed(
    scaling: ScalingMemory, reverts: tuple[Revert, ...], target: TargetState, generation: int, now: float
) -> Found:
    """Notice that another writer changed the minimum that the operator had written."""
    hpa, written = target.hpa, scaling.min_written
    assert hpa is not None
    if written is None or hpa.min_replicas == written or hpa.min_by in ("", MANAGER):
        return scaling, reverts, ()
    found = replace(scaling, min_written=None, min_changed_from=None, stable_since=None)
    if not _undoes(scaling.min_changed_from, written, hpa.min_replicas):
        return found, reverts, ()
    reverts, revert = record_revert(reverts, MIN_REPLICAS, hpa.min_by, now, generation)
    if not restates_manifest(hpa.min_by):
        return found, reverts, ()
    message = describe_revert(revert, target, written, hpa.min_replicas)
    notice = Notice(f"revert/{hpa.min_replicas}", "MinimumReverted", message, warning=True, transient=True)
    return found, reverts, (notice,)


def adopt_minimum(target: TargetState) -> Command | None:
    """Return the command that forgets the original minimum of an HPA whose minimum another manager has set since.

    That manager's number is the lower bound from now on, whoever it is: the operator must not walk it back.
    """
    hpa = target.hpa
    if hpa is None or hpa.original_min is None or hpa.raised_from is not None or hpa.owner:
        return None
    return Command(
        Verb.ADOPT_MINIMUM,
        "MinimumChanged",
        f"{display_name(hpa.min_by)} set minReplicas of HorizontalPodAutoscaler {hpa.name} to {hpa.min_replicas}: that "
        f"is the lower bound now, and the operator forgets the original value of {hpa.original_min}",
        from_=hpa.min_replicas,
        to=hpa.min_replicas,
        via=via(target),
    )
