"""Shared code of all workload kinds: pod template digests, field managers and the projected records.

An API object is about 5 to 20 kB of JSON, and a decision needs a dozen fields of it. The records here keep only those,
for up to ten thousand targets: slots, interned strings, and a digest instead of the template.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from resilience_operator.decision.configuration.names import RESTORED, Restored, read_restored
from resilience_operator.decision.field_managers import HPA_CONTROLLER, KUBECTL_APPLY, KUBECTL_SCALE
from resilience_operator.decision.model.target import DEFAULT_PROGRESS_DEADLINE, MANAGER, DeliveredBy
from resilience_operator.kube.cache.delivery import delivered_by
from resilience_operator.kube.cache.nodes import ANYWHERE, Placement, placement_of
from resilience_operator.kube.cache.selectors import NOTHING, Selector, selector_of
from resilience_operator.kube.writes.gitops_hold import is_disabled, is_held

Obj = dict[str, Any]

POD_TEMPLATE_HASH = "pod-template-hash"

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation in which a client-side apply stores its manifest."""

COMMIT_TIME = "resilience-operator.io/commit-time"
"""The annotation in which a pipeline stores the time of the commit that it deploys, as RFC 3339."""

CLIENT_SIDE_APPLY = "kubectl-client-side-apply"

MOST_REPLICAS = 2**31 - 1
"""The largest int32, in which the API keeps numbers of pods."""


@dataclass(frozen=True, slots=True)
class FieldManagers:
    """The field manager that last wrote each field; empty if unknown.

    paused: also while it is not paused.
    owns_fields: this operator owns fields that it gives up after a write: of the template, or the replicas.
    """

    paused: str = ""
    template: str = ""
    replicas: str = ""
    owns_fields: bool = False


NOBODY = FieldManagers()

_OWN = "~"
"""Sorts after every time."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The record of a Deployment, a StatefulSet or a DaemonSet.

    generation, observed: the version of `spec`, and the version that the controller's status describes.
    template: the digest of the pod template. selector: matches its pods and revisions.
    replicas: the desired number of pods. total, updated, ready: the controller's counts of all pods, of pods of the
        newest revision, and of ready pods.
    current, newest: a StatefulSet's revisions by name (`status.currentRevision`, `status.updateRevision`).
    pause_marked: the annotation that the operator sets with its pause exists. resumed_by: as in `TargetState`.
    placement: the nodes on which its pods may run.
    create_failure, progress_deadline, min_ready_seconds: as in `TargetState`.
    max_unavailable: how many pods a rollout may take away, as a number or a percentage.
    can_pause, delivered_by, hold_marked, reconcile_disabled, committed: as in `TargetState`.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    observed: int
    template: str
    replicas: int
    total: int
    updated: int
    ready: int
    paused: bool = False
    pause_marked: bool = False
    resumed_by: str = ""
    progress_deadline_exceeded: bool = False
    current: str = ""
    newest: str = ""
    writers: FieldManagers = NOBODY
    placement: Placement = ANYWHERE
    selector: Selector = NOTHING
    create_failure: str = ""
    progress_deadline: float = DEFAULT_PROGRESS_DEADLINE
    min_ready_seconds: float = 0.0
    max_unavailable: int | str = 1
    can_pause: bool = True
    delivered_by: DeliveredBy | None = None
    hold_marked: bool = False
    reconcile_disabled: bool = False
    committed: float | None = None


def template_digest(template: Mapping[str, Any]) -> str:
    """A digest of a pod template: 32 hexadecimal digits, equal for a workload's template and its revision's.

    Ignores the hash label that the controller adds to a ReplicaSet's template, as the controller does when it compares
    (`EqualIgnoreHash` in pkg/controller/deployment/util). The API server fills in defaults and canonical forms in each
    response, so equivalent templates are identical.
    """
    bare = normalized_template(template)
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sys.intern(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest())


def normalized_template(template: Mapping[str, Any]) -> Obj:
    """The template without the fields that a controller adds to the copy in its revision."""
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    if POD_TEMPLATE_HASH in metadata.get("labels", ()):
        metadata["labels"] = {k: v for k, v in metadata["labels"].items() if k != POD_TEMPLATE_HASH}
    # A ControllerRevision's data is a patch and contains a `$patch` directive.
    return {**{k: v for k, v in template.items() if k != "$patch"}, "metadata": metadata}


def restored_from(template: Mapping[str, Any]) -> Restored | None:
    """Of which template this one is a copy whose pods were restarted to read restored configuration, or None.

    None if the template was changed since.
    """
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    if not isinstance(annotations, dict) or RESTORED not in annotations:
        return None
    found = read_restored(annotations[RESTORED])
    return found if found is not None and template_digest(without_restored(template)) == found.template else None


def with_restart(template: Mapping[str, Any], revision: str, at: int) -> Obj:
    """The template with the annotation that restarts its pods. revision: its name without that."""
    bare = without_restored(template)
    restored = Restored(revision, template_digest(bare), at)
    annotations = {**(bare["metadata"].get("annotations") or {}), RESTORED: str(restored)}
    return {**bare, "metadata": {**bare["metadata"], "annotations": annotations}}


def without_restored(template: Mapping[str, Any]) -> Obj:
    """The template without the annotation that restarts its pods, normalized."""
    bare = normalized_template(template)
    annotations = {k: v for k, v in (bare["metadata"].get("annotations") or {}).items() if k != RESTORED}
    metadata = {k: v for k, v in bare["metadata"].items() if k != "annotations"}
    return {**bare, "metadata": {**metadata, "annotations": annotations} if annotations else metadata}


def writers_of(managed_fields: Sequence[Mapping[str, Any]] | None) -> FieldManagers:
    """Who last wrote `spec.paused`, `spec.template` and `spec.replicas`, from `metadata.managedFields`.

    A manager that changes a scalar field becomes its only owner, so `paused` and `replicas` are exact. An `Apply` of
    the same value only adds an owner: while this operator owns the field, the value is its own. Several managers may
    own parts of a template: the latest entry wins, and within one second the one that owns an image. The time of an
    entry is its manager's last write to any field, so for a template this is a hint. `_keep_template_manager` protects
    it from later writes to other fields.
    """
    latest: dict[str, tuple[str, bool, str]] = {}
    owns_fields = owns_replicas = applied = False
    for entry in managed_fields or ():
        spec = (entry.get("fieldsV1") or {}).get("f:spec")
        if not isinstance(spec, dict):
            continue
        if entry.get("manager") == MANAGER:
            owns_fields = owns_fields or "f:template" in spec
            owns_replicas = owns_replicas or "f:replicas" in spec
        applied = applied or entry.get("operation") == "Apply"
        rolling = (spec.get("f:updateStrategy") or {}).get("f:rollingUpdate")
        if isinstance(rolling, dict) and "f:partition" in rolling:
            spec = {**spec, "f:paused": {}}  # the field that pauses a StatefulSet
        time = str(entry.get("time") or "")  # RFC 3339 in UTC: sorts as text
        for field in ("f:paused", "f:template", "f:replicas"):
            if field in spec:
                manager = manager_of(entry)
                written = _OWN if manager == MANAGER and field != "f:template" else time
                found = (written, _owns_image(spec[field]), manager)
                latest[field] = max(latest.get(field, found), found, key=lambda one: one[:2])
    if not latest:
        return NOBODY
    paused, template, replicas = (latest[f][2] if f in latest else "" for f in ("f:paused", "f:template", "f:replicas"))
    return FieldManagers(paused, template, replicas, owns_fields or (owns_replicas and applied))


def manager_of(entry: Mapping[str, Any]) -> str:
    """The manager of an entry. `kubectl` and the controller manager are named after what they did.

    Both use one name for several writers: the operation and the subresource tell these apart.
    """
    manager = str(entry.get("manager") or "")
    if manager == "kubectl" and entry.get("operation") == "Apply":
        return KUBECTL_APPLY
    if entry.get("subresource") == "scale":
        manager = {"kubectl": KUBECTL_SCALE, "kube-controller-manager": HPA_CONTROLLER}.get(manager, manager)
    return sys.intern(manager)


def _keep_template_manager(old: Workload | None, template: str, writers: FieldManagers) -> FieldManagers:
    """The field managers, with the template's from the previous record if the template has not changed."""
    if old is not None and old.template == template and old.writers.template:
        return replace(writers, template=old.writers.template)
    return writers


def template_and_writers(obj: Obj, old: Workload | None) -> tuple[str, FieldManagers]:
    """The digest of a workload's template, and the managers of its fields.

    old: the record before this event. `metadata.generation` grows with each change of `spec`, so both are reused while
    it is unchanged. Most events change only the status. Returning the ownership of a template does not change `spec`.
    """
    meta = obj["metadata"]
    if old is not None and old.uid != meta["uid"]:
        old = None
    if old is not None and old.generation == number(meta.get("generation")) and not old.writers.owns_fields:
        return old.template, old.writers
    template = template_digest(obj["spec"]["template"])
    return template, _keep_template_manager(old, template, writers_of(meta.get("managedFields")))


def _resumed_by(meta: Mapping[str, Any], writers: FieldManagers, *, paused: bool) -> str:
    """Who set `spec.paused` to false, if that is recorded: by its owner, or by the manifest of `kubectl apply`."""
    if paused or writers.paused:
        return "" if paused else writers.paused
    applied = str((meta.get("annotations") or {}).get(LAST_APPLIED) or "")
    if '"paused":false' not in applied.replace(" ", ""):
        return ""
    for entry in meta.get("managedFields") or ():
        annotations = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {}
        if f"f:{LAST_APPLIED}" in annotations:
            return manager_of(entry)
    return CLIENT_SIDE_APPLY


def project_workload(kind: str, obj: Obj, old: Workload | None, **kind_fields: Any) -> Workload:
    """Build the record of a workload.

    old: the record before this event. kind_fields: fields that depend on the kind, at least the pod counts.
    """
    meta = obj["metadata"]
    template, writers = template_and_writers(obj, old)
    if old is not None and old.writers is writers and old.paused == kind_fields.get("paused", False):
        resumed_by = old.resumed_by
    else:
        resumed_by = _resumed_by(meta, writers, paused=bool(kind_fields.get("paused")))
    owner = delivered_by(meta)
    return Workload(
        kind=kind,
        namespace=sys.intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=number(meta.get("generation")),
        observed=number((obj.get("status") or {}).get("observedGeneration")),
        template=template,
        writers=writers,
        resumed_by=resumed_by,
        placement=placement_in(obj, old),
        selector=_selector_in(obj, old),
        min_ready_seconds=float(number(obj["spec"].get("minReadySeconds"))),
        delivered_by=owner,
        hold_marked=is_held(meta),
        reconcile_disabled=is_disabled(meta, owner),
        committed=epoch((meta.get("annotations") or {}).get(COMMIT_TIME)) or None,
        **kind_fields,
    )


def max_unavailable_in(strategy: Mapping[str, Any]) -> int | str:
    """`rollingUpdate.maxUnavailable` of a strategy. 1 if it is missing: the API server fills in a Deployment's."""
    rolling = strategy.get("rollingUpdate")
    value = rolling.get("maxUnavailable", 1) if isinstance(rolling, dict) else 1
    return sys.intern(value) if isinstance(value, str) else number(value)


def replaces_all(workload: Workload) -> bool:
    """Whether a rollout may leave no pod ready: it may take all of them away at once."""
    most = workload.max_unavailable
    if isinstance(most, str):
        return number(most.removesuffix("%")) >= 100  # a percentage is rounded down to pods
    return most >= workload.replicas


def placement_in(obj: Obj, old: Workload | None) -> Placement:
    """The nodes on which a workload's pods may run. old: the record before this event."""
    meta = obj["metadata"]
    if old is not None and old.uid == meta["uid"] and old.generation == number(meta.get("generation")):
        return old.placement
    return placement_of(obj["spec"]["template"])


def _selector_in(obj: Obj, old: Workload | None) -> Selector:
    """A workload's selector, which is immutable. old: the record before this event."""
    return old.selector if old is not None and old.uid == obj["metadata"]["uid"] else selector_of(obj["spec"])


def _owns_image(fields: object) -> bool:
    if not isinstance(fields, dict):
        return False
    pod = fields.get("f:spec") or {}
    lists = (pod.get("f:containers"), pod.get("f:initContainers"))
    return any("f:image" in one for some in lists if some for one in some.values() if isinstance(one, dict))


def epoch(timestamp: str | None) -> float:
    """Seconds since the epoch of an RFC 3339 timestamp; 0 if it is missing or invalid."""
    if not timestamp:
        return 0.0
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0


def count(value: object, missing: int = 0) -> int:
    """The number of pods in a typed field, or `missing`. Raises ValueError: what is not a count is not zero."""
    if value is None:
        return missing
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_REPLICAS:
        raise ValueError(f"{value!r} is not a number of pods")
    return value


def number(value: object, *, most: int = 2**63 - 1) -> int:
    """The integer in a field or annotation; 0 if it is missing, malformed or out of bounds."""
    try:
        found = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return 0
    return found if -most <= found <= most else 0
