"""Pods of a target: listed on demand, never watched, and projected to what a verdict on their health needs.

A pod counts as a target's if its controller reference names the target or one of its ReplicaSets. Labels alone are not
sufficient: another workload's selector may overlap.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from resilience_operator.api.text import cut, one_line
from resilience_operator.decision.model.target import Pod, TargetState
from resilience_operator.kube.cache.revisions import REVISION_HASH
from resilience_operator.kube.cache.selectors import Selector
from resilience_operator.kube.cache.workloads import POD_TEMPLATE_HASH, Obj, epoch, number
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import EVENTS, PODS
from resilience_operator.resilience import Deadline

MOST_PODS = 500
"""Pods read per list. A larger target is judged by this many pods of its newest revision and as many others."""

MAX_MESSAGE = 300
"""Bytes kept of a kubelet's, a scheduler's or a controller's message."""

WAS_READY_AFTER = 5.0
"""Seconds after a pod's start from which a change of its condition Ready to False shows that it was ready before. A
kubelet sets the condition when it starts the pod, and changes it only with readiness."""

_CREATE_EVENTS = 50
"""Events read to find why a controller cannot create pods."""

_NORMAL_WAITS = frozenset(("ContainerCreating", "PodInitializing"))
_ENDED = frozenset(("Succeeded", "Failed"))


async def list_pods(kube: KubeClient, target: TargetState, selector: Selector, *, deadline: Deadline) -> list[Obj]:
    """List the pods of a target.

    From the API server's watch cache, which costs etcd nothing. That ignores a limit, so of a target of more than
    MOST_PODS pods only pages are listed: one of its newest revision, and one of the others.
    """
    path, text = PODS.collection(target.namespace), selector_text(selector)
    if not text:
        return []
    if max(target.replicas, sum(r.replicas for r in target.revisions)) <= MOST_PODS:
        params: dict[str, str | int | bool] = {"labelSelector": text, "resourceVersion": "0"}
        return (await kube.list(path, deadline=deadline, params=params)).items
    label = POD_TEMPLATE_HASH if target.kind == "Deployment" else REVISION_HASH
    found: list[Obj] = []
    for operator in ("=", "!=") if target.revision and "/" not in target.revision else ("",):
        narrowed = f"{text},{label}{operator}{target.revision}" if operator else text
        async for page in kube.pages(path, deadline=deadline, params={"labelSelector": narrowed}, page=MOST_PODS):
            found += page.items
            break
    return found


async def create_failure(kube: KubeClient, target: TargetState, *, deadline: Deadline, since: float) -> str:
    """Return why a StatefulSet's or DaemonSet's controller cannot create pods; empty if no Event says so.

    These kinds have no condition like a Deployment's ReplicaFailure. since: older Events do not count.
    """
    params: dict[str, str | int | bool] = {
        "fieldSelector": f"regarding.uid={target.uid},reason=FailedCreate",
        "resourceVersion": "0",
    }
    path = EVENTS.collection(target.namespace)
    async for page in kube.pages(path, deadline=deadline, params=params, page=_CREATE_EVENTS):
        latest = max(page.items, key=_last_seen, default=None)
        if latest is not None and _last_seen(latest) >= since:
            return message_text(latest.get("note"))
        break
    return ""


def _last_seen(event: Obj) -> float:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("eventTime"), event.get("deprecatedLastTimestamp"))
    return max(epoch(time) for time in times)


def selector_text(selector: Selector) -> str:
    """The selector as the API's `labelSelector`; empty if it matches nothing."""
    parts = [one.strip(",") for one in selector.equal]
    for key, operator, values in selector.expressions:
        match operator:
            case "In":
                parts.append(f"{key} in ({','.join(values)})")
            case "NotIn":
                parts.append(f"{key} notin ({','.join(values)})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
            case _:
                return ""
    return ",".join(parts)


def project_pods(items: Iterable[Obj], target: TargetState) -> dict[str, Pod]:
    """The pods of `target` among these objects, by uid. Other objects and malformed ones are skipped."""
    owners = {r.uid: r.name for r in target.revisions if r.uid}
    kept_in = {r.kept_in: r.name for r in target.revisions}
    return project_all(items, lambda meta: _revision_of(meta, target, owners, kept_in))


def project_all(items: Iterable[Obj], revision_of: Callable[[Obj], str | None]) -> dict[str, Pod]:
    """The pods among these objects, by uid. Pods that ended and malformed objects are skipped.

    revision_of: the revision by the metadata of a pod; None for a pod to skip.
    """
    found: dict[str, Pod] = {}
    for item in items:
        try:
            meta, phase = item["metadata"], (item.get("status") or {}).get("phase")
            revision = revision_of(meta)
            if revision is not None and phase not in _ENDED:
                found[str(meta["uid"])] = project_pod(item, revision)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    return found


def _revision_of(
    meta: Mapping[str, Any], target: TargetState, owners: Mapping[str, str], kept_in: Mapping[str, str]
) -> str | None:
    """The name of a pod's revision, empty if it is unknown; None if the pod is not the target's."""
    controller = next((r for r in meta.get("ownerReferences") or () if r.get("controller") is True), None)
    if controller is None:
        return None
    uid, labels = str(controller.get("uid")), meta.get("labels") or {}
    if target.kind == "Deployment":
        return owners.get(uid)
    if uid != target.uid:
        return None
    label = str(labels.get(REVISION_HASH, ""))
    return kept_in.get(label) or kept_in.get(f"{target.name}-{label}") or ""


def project_pod(obj: Obj, revision: str) -> Pod:
    """Project a pod. revision: the name of its revision."""
    meta, status = obj["metadata"], obj.get("status") or {}
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    ready, changed = _condition(conditions, "Ready")
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    waiting, message = _waiting(statuses)
    terminated, terminated_at = _last_terminated(statuses)
    unscheduled = conditions.get("PodScheduled") or {}
    started = epoch(status.get("startTime"))
    served_before = not ready and started > 0 and changed > started + WAS_READY_AFTER
    return Pod(
        name=meta["name"],
        revision=sys.intern(revision),
        created=epoch(meta.get("creationTimestamp")),
        ready=ready,
        ready_at=changed if ready else None,
        unready_since=None if ready else changed or None,
        started_serving=changed if ready else started if served_before else None,
        waiting=waiting,
        message=message,
        restarts=max((number(s.get("restartCount")) for s in statuses), default=0),
        last_terminated=terminated,
        last_terminated_at=terminated_at,
        unschedulable=message_text(unscheduled.get("message"))
        if unscheduled.get("status") == "False" and unscheduled.get("reason") == "Unschedulable"
        else "",
        terminating=bool(meta.get("deletionTimestamp")),
        node=sys.intern(str((obj.get("spec") or {}).get("nodeName") or "")),
    )


def _condition(conditions: Mapping[str, Mapping[str, Any]], kind: str) -> tuple[bool, float]:
    """Whether a condition is True, and when that changed."""
    found = conditions.get(kind) or {}
    return found.get("status") == "True", epoch(found.get("lastTransitionTime"))


def _waiting(statuses: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """Why a container does not run, and the message: of the first one that waits for anything out of the ordinary."""
    for status in statuses:
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if reason and reason not in _NORMAL_WAITS:
            return sys.intern(reason), message_text(waiting.get("message"))
    return "", ""


def _last_terminated(statuses: Iterable[Mapping[str, Any]]) -> tuple[str, float | None]:
    """Why and when a container last ended, of those that were restarted or wait for it."""
    latest: tuple[float, str] | None = None
    for status in statuses:
        for state in (status.get("lastState") or {}, status.get("state") or {}):
            ended = state.get("terminated")
            # An init container that completed is no failure.
            if ended and (ended.get("exitCode") or number(status.get("restartCount"))):
                reason = str(ended.get("reason") or "Error")
                found = (epoch(ended.get("finishedAt")), reason)
                latest = max(latest or found, found)
    return (latest[1], latest[0]) if latest is not None else ("", None)


def message_text(value: object) -> str:
    """A message of another component on one line, cut to MAX_MESSAGE bytes."""
    return cut(one_line(value), MAX_MESSAGE) if isinstance(value, str) else ""
