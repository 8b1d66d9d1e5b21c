"""Changes to a workload: each is one small patch that applies only while the target matches the decision's input.

Each change reads its target, checks the fields that the decision used, and sends them as `test`s of a JSON patch. So a
busy rollout, whose status changes many times a second, is not a conflict. Neither is a new annotation, which even
increases `metadata.generation` of a Deployment. An edit of the tested fields between the read and the patch is a
conflict: the change reads and checks again, and raises Conflict if the fields differ from the decision's input.

All return None if the target already has the wanted state. All raise Conflict (decide again), NotFound (the target does
not exist) and the other `CallError`s.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from resilience_operator.decision.configuration.names import template_of as template_of_name
from resilience_operator.decision.model.target import Revision, TargetState
from resilience_operator.kube.cache.controller_revisions import project_controller_revision, template_of
from resilience_operator.kube.cache.daemonsets import project_daemon_set
from resilience_operator.kube.cache.deployments import project_deployment, project_replica_set
from resilience_operator.kube.cache.revisions import RevisionRecord, owned_by
from resilience_operator.kube.cache.statefulsets import project_stateful_set
from resilience_operator.kube.cache.workloads import (
    Workload,
    normalized_template,
    template_digest,
    with_restart,
    writers_of,
)
from resilience_operator.kube.client.client import KubeClient, KubeObject, PatchKind
from resilience_operator.kube.client.errors import DEPENDENCY
from resilience_operator.kube.client.paths import (
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    WORKLOADS,
    Resource,
)
from resilience_operator.kube.writes import field_ownership, gitops_hold, last_applied
from resilience_operator.kube.writes.json_patch import TRIES, Ops, annotation_path, remove_op, set_op, test_op
from resilience_operator.kube.writes.managed_fields import give_up
from resilience_operator.kube.writes.rollout_pause import can_pause, is_paused, pause_ops, resume_ops
from resilience_operator.resilience import Conflict, Deadline, GiveUp, NotFound, Unprocessable

log = logging.getLogger(__name__)

_SCALABLE: dict[str, Resource] = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS}
_TRIMS: dict[str, Callable[[KubeObject], Workload]] = {
    "Deployment": project_deployment,
    "StatefulSet": project_stateful_set,
    "DaemonSet": project_daemon_set,
}
_CHANGE_CAUSE = "kubernetes.io/change-cause"


@dataclass(frozen=True, slots=True)
class Change:
    """A completed change.

    verb: scale, pause, resume, rollback, lift-hold, raise-hpa-min, lower-hpa-min, restore-hpa-min or
        adopt-hpa-min.
    kind, namespace, name: of the object that was written.
    before, after: the field's values: replicas, whether paused, or a revision's name (None: it had none).
    resource_version: the object's version after the change.
    """

    verb: str
    kind: str
    namespace: str
    name: str
    before: int | bool | str | None
    after: int | bool | str | None
    resource_version: str


async def scale(kube: KubeClient, target: TargetState, to: int, *, deadline: Deadline) -> Change | None:
    """Set the replicas to `to` through the `scale` subresource, if they still match the decision's input.

    A write to the subresource can change nothing else, and admission webhooks for the workload do not see it. So a
    scale never becomes a rollout. The ownership of the field is then given up (`hand_back`).
    """
    resource = _SCALABLE.get(target.kind)
    if resource is None:
        raise _unsupported(target, "cannot be scaled")

    fields: list[dict[str, Any]] = []

    async def plan(live: KubeObject) -> Ops | None:
        fields[:] = live["metadata"].get("managedFields") or ()
        replicas = live["spec"].get("replicas", 1)
        if replicas == to:
            return None
        if replicas != target.replicas:
            raise _conflict(target, f"has {replicas} replicas, not {target.replicas}")
        # A Scale has no field `replicas` if the value is 0.
        return [test_op("/spec/replicas", replicas or None), set_op("/spec/replicas", to)]

    written = await _write(kube, resource, target, plan, deadline, subresource="scale")
    if written is not None and field_ownership.is_applied(fields):
        written = await hand_back(kube, target, deadline=deadline) or written
    return _change("scale", target, target.replicas, to, written)


async def pause(kube: KubeClient, target: TargetState, *, deadline: Deadline) -> Change | None:
    """Pause the rollout, if the pod template still matches the decision's input."""

    async def plan(live: KubeObject) -> Ops | None:
        if is_paused(target.kind, live):
            return None
        if not can_pause(target.kind, live):
            raise _unsupported(target, "with this update strategy cannot be paused")
        _check_template(live, target)
        return [_same_template(live), *pause_ops(target.kind, live, target.revision or "")]

    written = await _write(kube, _pausable(target, "cannot be paused"), target, plan, deadline)
    return _change("pause", target, False, True, written)


async def resume(kube: KubeClient, target: TargetState, *, deadline: Deadline) -> Change | None:
    """Resume the rollout, if the pause and the template still match the decision's input."""

    async def plan(live: KubeObject) -> Ops | None:
        if not is_paused(target.kind, live):
            return None
        _check_pause(live, target)
        _check_template(live, target)
        return [_same_template(live), *resume_ops(target.kind, live)]

    written = await _write(kube, _pausable(target, "cannot be resumed"), target, plan, deadline)
    return _change("resume", target, True, False, written)


async def rollback(
    kube: KubeClient,
    target: TargetState,
    revision: str,
    *,
    deadline: Deadline,
    restart_at: int | None = None,
    held: Sequence[str] | None = None,
) -> Change | None:
    """Restore the pod template of `revision` and lift a pause, in one patch.

    With two patches, a paused bad release would continue between them, or stay paused forever after a crash. The whole
    template is replaced: a merge would keep fields that the bad release added. Raises NotFound if the revision is no
    longer kept, and Conflict if the revision under that name differs from the decision's input.

    restart_at: the pods are replaced although the template may be the same, to read restored configuration. The time
    identifies the restart. held: if it is set, the patch also suspends the tool that applies the target from git;
    these objects are suspended already.

    The fields are then returned to their previous manager (`hand_back`). A crash before that leaves them to the next
    start of the operator.

    A StatefulSet that replaces its pods in order waits for a pod that never becomes ready, even with the old template:
    https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
    """
    resource = WORKLOADS.get(target.kind)
    if resource is None:
        raise _unsupported(target, "cannot be rolled back")
    goal = target.find(revision)
    if goal is None:
        raise NotFound(f"{_named(target)} has no revision {revision}", dependency=DEPENDENCY, reason="no_revision")

    async def plan(live: KubeObject) -> Ops | None:
        kept = await _revision_object(kube, live, target, goal, deadline)
        template = normalized_template(_template_in(kept))
        if restart_at is not None:
            template = with_restart(template, template_of_name(revision), restart_at)
        paused = is_paused(target.kind, live)
        there = template_digest(live["spec"]["template"]) == template_digest(template)
        if there and not paused:
            return None
        if paused != target.paused:
            raise _conflict(target, "was paused" if paused else "was resumed")
        _check_pause(live, target)
        ops = [_same_template(live), set_op("/spec/template", template)]
        if not there:
            _check_template(live, target)
            if target.kind == "Deployment":
                ops += _change_cause(live, kept)
            ops += _last_applied(live, template)
        if paused:
            ops += resume_ops(target.kind, live)
        if held is not None and target.delivered_by is not None:
            ops += gitops_hold.hold_ops(live["metadata"], target.delivered_by, held)
        return ops

    written = await _write(kube, resource, target, plan, deadline)
    if written is not None:
        written = await hand_back(kube, target, written, deadline=deadline)
    return _change("rollback", target, target.revision, revision, written)


async def lift_hold(kube: KubeClient, target: TargetState, *, deadline: Deadline) -> Change | None:
    """Let the tool that applies the target from git reconcile it again."""

    async def plan(live: KubeObject) -> Ops | None:
        return gitops_hold.lift_ops(live["metadata"]) if gitops_hold.is_held(live["metadata"]) else None

    resource = WORKLOADS.get(target.kind)
    if resource is None:
        raise _unsupported(target, "cannot be held")
    return _change("lift-hold", target, True, False, await _write(kube, resource, target, plan, deadline))


async def hand_back(
    kube: KubeClient, target: TargetState, live: KubeObject | None = None, *, deadline: Deadline
) -> KubeObject | None:
    """Give up the ownership of the template and of the replicas. Returns the object after that; None if not read.

    live: the object, if it was just read. A failure is logged only: the fields themselves are as they should be.
    The replicas are kept if a webhook would use the occasion to change the object: a scale must not become a rollout.
    """

    def returned(live: KubeObject) -> list[field_ownership.Entry] | None:
        meta = live["metadata"]
        return field_ownership.hand_back(meta.get("managedFields")) if meta["uid"] == target.uid else None

    async def allows(live: KubeObject, ops: Ops) -> bool:
        if field_ownership.owns_template(live["metadata"].get("managedFields")):
            return True
        expected = await kube.patch(path, ops, kind=PatchKind.JSON, deadline=deadline, dry_run=True)
        if expected["spec"] == live["spec"]:
            return True
        log.warning("%s keeps spec.replicas owned: a webhook changes each update", _named(target))
        return False

    path = WORKLOADS[target.kind].item(target.namespace, target.name)
    return await give_up(kube, path, live, returned, deadline=deadline, allows=allows)


async def _write(
    kube: KubeClient,
    resource: Resource,
    target: TargetState,
    plan: Callable[[KubeObject], Awaitable[Ops | None]],
    deadline: Deadline,
    *,
    subresource: str = "",
) -> KubeObject | None:
    """Read, plan and patch until a patch meets its preconditions. Returns None if no change is needed.

    subresource: the target of the patch. Reads and plans always use the workload itself.
    """
    path = resource.item(target.namespace, target.name)
    patched = resource.item(target.namespace, target.name, subresource)
    tried = False
    refused: tuple[Ops, Unprocessable] | None = None
    for attempt in range(TRIES):
        live = await kube.get(path, deadline=deadline)
        if live["metadata"]["uid"] != target.uid:
            raise _conflict(target, "was deleted and made anew")
        ops = await plan(live)
        if ops is None:
            # An earlier patch may have succeeded with its response lost: then the change is ours, and counts as done.
            return live if tried else None
        if refused is not None and refused[0] == ops:
            raise refused[1]  # no `test` failed, since nothing has changed: the result itself is invalid
        tried = True
        try:
            guarded = [test_op("/metadata/uid", target.uid), *ops]
            return await kube.patch(patched, guarded, kind=PatchKind.JSON, deadline=deadline)
        except Conflict:
            pass
        except Unprocessable as error:
            # A failed `test` and an invalid result have the same error: read again to find out which.
            refused = (ops, error)
        await kube.retry.pause(attempt, deadline)
    raise _conflict(target, f"changed {TRIES} times while it was being written")


def _check_template(live: KubeObject, target: TargetState) -> None:
    """Raise Conflict unless the pod template still matches the decision's input."""
    if template_digest(live["spec"]["template"]) != target.template:
        raise _conflict(target, f"no longer runs the template of revision {target.revision or '(none yet)'}")


def _check_pause(live: KubeObject, target: TargetState) -> None:
    """Raise Conflict if somebody else than in the decision's input has paused it since."""
    if is_paused(target.kind, live):
        by = writers_of(live["metadata"].get("managedFields")).paused
        if by != target.paused_by:
            raise _conflict(target, f"was paused by {by or 'another'}")


async def _revision_object(
    kube: KubeClient, live: KubeObject, target: TargetState, revision: Revision, deadline: Deadline
) -> KubeObject:
    """Read the ReplicaSet or ControllerRevision with a revision's template. live: the workload.

    It is read by name, so it is compared with the decision's input: the same object, still a revision of this
    workload, with the same template. Raises NotFound, Conflict.
    """
    resource = REPLICA_SETS if target.kind == "Deployment" else CONTROLLER_REVISIONS
    kept = await kube.get(resource.item(target.namespace, revision.kept_in), deadline=deadline)
    record: RevisionRecord | None
    record = project_replica_set(kept) if target.kind == "Deployment" else project_controller_revision(kept)
    if record is None or not owned_by(_TRIMS[target.kind](live), [record]):
        raise _conflict(target, f"does not own {resource.kind} {revision.kept_in} any more")
    templates = (record.template, record.restored.template if record.restored is not None else record.template)
    if record.uid != revision.uid or revision.template not in templates:
        raise _conflict(
            target, f"has another template or uid in {resource.kind} {revision.kept_in} than the decision saw"
        )
    return kept


def _template_in(kept: KubeObject) -> KubeObject:
    template: KubeObject = kept["spec"]["template"] if "spec" in kept else template_of(kept)
    return template


def _change_cause(live: KubeObject, kept: KubeObject) -> Ops:
    """The patch that restores the revision's own change cause, as `kubectl rollout undo` does.

    The controller copies the Deployment's change cause to the ReplicaSet, which would then have the bad release's.
    """
    now = live["metadata"].get("annotations") or {}
    then = (kept["metadata"].get("annotations") or {}).get(_CHANGE_CAUSE)
    path = annotation_path(_CHANGE_CAUSE)
    if not now or now.get(_CHANGE_CAUSE) == then:
        return []
    return [remove_op(path)] if then is None else [set_op(path, then)]


def _last_applied(live: KubeObject, template: KubeObject) -> Ops:
    """The patch that keeps the manifest of `kubectl apply` in step with the restored template."""
    annotations = live["metadata"].get("annotations") or {}
    manifest = last_applied.with_template(annotations, template)
    return [] if manifest is None else [set_op(annotation_path(last_applied.LAST_APPLIED), manifest)]


def _same_template(live: KubeObject) -> dict[str, Any]:
    return test_op("/spec/template", live["spec"]["template"])


def _change(
    verb: str, target: TargetState, before: int | bool | str | None, after: int | bool | str, written: KubeObject | None
) -> Change | None:
    if written is None:
        return None
    version = written["metadata"]["resourceVersion"]
    return Change(verb, target.kind, target.namespace, target.name, before, after, version)


def _pausable(target: TargetState, what: str) -> Resource:
    resource = _SCALABLE.get(target.kind)
    if resource is None:
        raise _unsupported(target, what)
    return resource


def _unsupported(target: TargetState, what: str) -> GiveUp:
    return GiveUp(f"a {target.kind} {what}", dependency=DEPENDENCY, reason="unsupported")


def _conflict(target: TargetState, what: str) -> Conflict:
    return Conflict(f"{_named(target)} {what}", dependency=DEPENDENCY, reason="moved")


def _named(target: TargetState) -> str:
    return f"{target.kind} {target.namespace}/{target.name}"
