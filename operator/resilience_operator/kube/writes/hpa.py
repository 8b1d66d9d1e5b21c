"""Changes `minReplicas` of a HorizontalPodAutoscaler that scales the target, and restores it later.

The same patch stores the original value in an annotation, so a crash cannot separate the two. An HPA has no generation
to test and its status is written only every 15 s, so the precondition is the resourceVersion.
"""

from __future__ import annotations

from collections.abc import Callable

from resilience_operator.decision.model.target import MANAGER, HorizontalPodAutoscaler, TargetState
from resilience_operator.kube.cache.hpa import ORIGINAL_MIN, min_replicas, min_replicas_by, original_min
from resilience_operator.kube.client.client import KubeClient, KubeObject, PatchKind
from resilience_operator.kube.client.errors import DEPENDENCY
from resilience_operator.kube.client.paths import AUTOSCALERS
from resilience_operator.kube.writes.field_ownership import Entry, hand_back
from resilience_operator.kube.writes.json_patch import TRIES
from resilience_operator.kube.writes.managed_fields import give_up
from resilience_operator.kube.writes.mutations import Change
from resilience_operator.resilience import Conflict, Deadline, GiveUp


async def raise_hpa_min(kube: KubeClient, target: TargetState, to: int, *, deadline: Deadline) -> Change | None:
    """Set `minReplicas` to `to`: above the original, or part of the way back. Returns None if it is set already.

    Keeps the first original value. Raises Conflict if `minReplicas` differs from the decision's input, NotFound if the
    HPA does not exist, and Unprocessable if `to` is above its `maxReplicas`.
    """
    seen = _hpa_of(target)

    def plan(live: KubeObject) -> KubeObject | None:
        now = min_replicas(live)
        if now == to:
            return None
        if now != seen.min_replicas:
            raise _conflict(target, seen, now)
        original = original_min(live) if min_replicas_by(live) in ("", MANAGER) else None
        return {
            "metadata": {"annotations": {ORIGINAL_MIN: str(now if original is None else original)}},
            "spec": {"minReplicas": to},
        }

    written = await _write(kube, target, seen, plan, deadline)
    verb = "raise-hpa-min" if to > seen.min_replicas else "lower-hpa-min"
    return _change(verb, target, seen, seen.min_replicas, to, written)


async def restore_hpa_min(kube: KubeClient, target: TargetState, *, deadline: Deadline) -> Change | None:
    """Restore the original `minReplicas` and remove the annotation. Returns None if there is no annotation.

    Raises Conflict if `minReplicas` differs from the decision's input: then a person has changed it since.
    """
    seen = _hpa_of(target)

    def plan(live: KubeObject) -> KubeObject | None:
        original = original_min(live)
        if original is None:
            return None
        now = min_replicas(live)
        if now != seen.min_replicas or original != seen.original_min or min_replicas_by(live) != seen.min_by:
            raise _conflict(target, seen, now)
        return {"metadata": {"annotations": {ORIGINAL_MIN: None}}, "spec": {"minReplicas": original}}

    written = await _write(kube, target, seen, plan, deadline)
    return _change("restore-hpa-min", target, seen, seen.min_replicas, seen.original_min, written)


async def forget_original(kube: KubeClient, target: TargetState, *, deadline: Deadline) -> Change | None:
    """Remove the annotation and keep `minReplicas`, which another manager has set. Returns None if it is not there.

    Raises Conflict if `minReplicas` or its manager differs from the decision's input.
    """
    seen = _hpa_of(target)

    def plan(live: KubeObject) -> KubeObject | None:
        if ORIGINAL_MIN not in (live["metadata"].get("annotations") or {}):
            return None
        now = min_replicas(live)
        if now != seen.min_replicas or min_replicas_by(live) != seen.min_by:
            raise _conflict(target, seen, now)
        return {"metadata": {"annotations": {ORIGINAL_MIN: None}}}

    written = await _write(kube, target, seen, plan, deadline)
    return _change("adopt-hpa-min", target, seen, seen.min_replicas, seen.min_replicas, written)


async def _write(
    kube: KubeClient,
    target: TargetState,
    seen: HorizontalPodAutoscaler,
    plan: Callable[[KubeObject], KubeObject | None],
    deadline: Deadline,
) -> KubeObject | None:
    path = AUTOSCALERS.item(target.namespace, seen.name)
    tried = False
    for attempt in range(TRIES):
        live = await kube.get(path, deadline=deadline)
        body = plan(live)
        if body is None:
            return live if tried else None
        meta = {**body["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
        tried = True
        try:
            written = await kube.patch(path, {**body, "metadata": meta}, kind=PatchKind.MERGE, deadline=deadline)
            return await give_up(kube, path, written, _returned, deadline=deadline)
        except Conflict:
            await kube.retry.pause(attempt, deadline)
    raise Conflict(
        f"HorizontalPodAutoscaler {target.namespace}/{seen.name} changed {TRIES} times while it was written",
        dependency=DEPENDENCY,
        reason="moved",
    )


async def give_up_minimum(kube: KubeClient, target: TargetState, *, deadline: Deadline) -> None:
    """Give up the ownership of `minReplicas`, after a write that a crash interrupted. A failure is logged only."""
    path = AUTOSCALERS.item(target.namespace, _hpa_of(target).name)
    await give_up(kube, path, None, _returned, deadline=deadline)


def _returned(live: KubeObject) -> list[Entry] | None:
    """The managed fields without `minReplicas`, for the next apply of the HPA's manifest."""
    return hand_back(live["metadata"].get("managedFields"))


def _hpa_of(target: TargetState) -> HorizontalPodAutoscaler:
    if target.hpa is None:
        raise GiveUp(
            f"{target.kind} {target.namespace}/{target.name} has no HorizontalPodAutoscaler",
            dependency=DEPENDENCY,
            reason="unsupported",
        )
    return target.hpa


def _conflict(target: TargetState, seen: HorizontalPodAutoscaler, now: int) -> Conflict:
    return Conflict(
        f"HorizontalPodAutoscaler {target.namespace}/{seen.name} has minReplicas {now}, not {seen.min_replicas}",
        dependency=DEPENDENCY,
        reason="moved",
    )


def _change(
    verb: str,
    target: TargetState,
    seen: HorizontalPodAutoscaler,
    before: int,
    after: int | None,
    written: KubeObject | None,
) -> Change | None:
    if written is None:
        return None
    version = written["metadata"]["resourceVersion"]
    return Change(verb, AUTOSCALERS.kind, target.namespace, seen.name, before, after, version)
